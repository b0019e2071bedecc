"""ICT-FaceKit: reading it, preparing it, and the effects of its action units."""

import cv2
import numpy as np
import pytest

from edgeau.runtime.errors import InputError, MissingExtraError
from edgeau.runtime.manifest import CropSpec
from edgeau.train.faces.base import FrameSpec
from edgeau.train.faces.ict import gl
from edgeau.train.faces.ict import load as ict_load
from edgeau.train.faces.ict import mesh as ict_mesh
from edgeau.train.faces.ict import renderer as ict
from edgeau.train.faces.ict import shapes as ict_shapes
from edgeau.train.faces.ict.expression import Expressions

CROP = CropSpec(size_px=96)
STILL = [0, 1, 2, 14, 15, 16, 27, 28, 29, 36, 39, 42, 45]
# The 68 points around which each AU's change is centred.
REGIONS = {
    "AU01": range(19, 25), "AU02": range(17, 27), "AU04": range(17, 28), "AU05": range(36, 48), "AU06": range(36, 48),
    "AU07": range(36, 48), "AU09": range(27, 36), "AU10": range(48, 68), "AU12": range(48, 68), "AU14": range(48, 68),
    "AU15": range(48, 68), "AU17": [6, 7, 8, 9, 10, *range(55, 60)], "AU20": range(48, 68), "AU23": range(48, 68),
    "AU24": range(48, 68), "AU25": range(48, 68), "AU26": [*range(4, 13), *range(48, 68)],
}  # fmt: skip


def spec_of(au=None, *, seed=2, **changes):
    identity = np.random.default_rng(seed).normal(0, 0.6, 60).astype(np.float32)
    values = {"look_seed": 5, "scene_seed": 2, "frame_seed": 3, "au": au or {}, **changes}
    return FrameSpec(identity, **values)


@pytest.fixture(scope="module")
def ict_prepared(data_folder, tmp_path_factory):
    path = data_folder / "ict-facekit"
    if not path.is_dir():
        pytest.skip("ICT-FaceKit is not in the test data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEAU_CACHE", str(tmp_path_factory.mktemp("cache")))
        return ict_mesh.prepare(str(path))


@pytest.fixture(scope="module")
def ict_renderer(ict_prepared):
    try:
        context = gl.open_context()
    except (InputError, MissingExtraError) as error:
        pytest.skip(str(error))
    renderer = ict.IctRenderer(ict_prepared, context)
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def drawn(ict_renderer):
    """A function that renders one subject with the given AUs and changes."""
    return lambda au=None, **changes: ict_renderer.render(spec_of(au, **changes), CROP)


def test_the_same_spec_gives_the_same_pixels(drawn):
    first = drawn({"AU12": (3.0, 2.0)}, yaw_deg=10.0)
    drawn({"AU04": (5.0, 5.0)}, seed=9, look_seed=8, scene_seed=4)  # another subject between
    again = drawn({"AU12": (3.0, 2.0)}, yaw_deg=10.0)
    np.testing.assert_array_equal(first.face, again.face)
    np.testing.assert_array_equal(first.landmarks, again.landmarks)


def test_the_output_has_the_documented_shapes_and_types(drawn):
    rendered = drawn()
    assert rendered.face.shape == (96, 96, 3)
    assert rendered.face.dtype == np.uint8
    assert rendered.landmarks.shape == (68, 2)
    assert rendered.landmarks.dtype == np.float32
    assert rendered.visible.dtype == bool


def test_frontal_inner_points_lie_inside_the_crop_and_are_visible(drawn):
    rendered = drawn()
    inner = rendered.landmarks[17:]
    assert ((inner > 0) & (inner < 95)).all()
    assert rendered.visible[17:60].mean() > 0.9


def test_a_profile_hides_the_far_side(drawn):
    rendered = drawn(yaw_deg=45.0)  # to the subject's left: the left cheek's outline turns away
    assert rendered.visible[:5].sum() > rendered.visible[12:17].sum()


@pytest.mark.parametrize("au", sorted(REGIONS))
def test_an_au_changes_the_picture_most_in_its_region(drawn, au):
    neutral, active = drawn(), drawn({au: (4.0, 4.0)})
    # The crop follows the points, which move slightly with the AU, so align the still ones first.
    back, _ = cv2.estimateAffinePartial2D(active.landmarks[STILL], neutral.landmarks[STILL])
    moved = cv2.warpAffine(active.face, back, (96, 96), borderMode=cv2.BORDER_REPLICATE)
    change = np.abs(moved.astype(float) - neutral.face).sum(axis=2)
    change = np.maximum(change - 24, 0)  # beyond what noise and compression do
    assert change.sum() > 500
    points = neutral.landmarks[list(REGIONS[au])]
    low, high = points.min(axis=0) - 9, points.max(axis=0) + 9
    y, x = np.mgrid[0:96, 0:96]
    inside = (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])
    assert change[inside].mean() > 2 * change[~inside].mean()


@pytest.mark.parametrize(
    ("au", "points", "sign"), [("AU12", (48, 54), -1), ("AU15", (48, 54), 1), ("AU02", (18, 25), -1)]
)
def test_one_sided_aus_move_their_own_side(ict_prepared, au, points, sign):
    expressions, landmarks = Expressions(ict_prepared), ict_prepared.landmarks[list(points)]
    moved = []
    for sides in ((5.0, 0.0), (0.0, 5.0)):
        weights = ict_shapes.shape_weights({au: sides}, 0.0, (0.0, 0.0))
        shift = expressions.displacement(weights)[landmarks, 1]
        moved.append(-sign * shift)
    assert moved[0][0] > 0.2 > abs(moved[0][1])
    assert moved[1][1] > 0.2 > abs(moved[1][0])


@pytest.mark.parametrize("au", ["AU09", "AU10", "AU12", "AU17", "AU26"])
def test_lips_stay_closed_without_au25(drawn, au):
    points = drawn({au: (5.0, 5.0)}).landmarks
    gap = points[65:68, 1] - points[[63, 62, 61], 1]
    assert gap.max() < 0.02 * 96
    opened = drawn({au: (5.0, 5.0), "AU25": (4.0, 4.0)}).landmarks
    assert (opened[66, 1] - opened[62, 1]) > gap.max() + 2


def test_the_prepared_mesh_is_small_and_valid(ict_prepared):
    mesh = ict_prepared
    assert 5000 < len(mesh.triangles) < 9000
    assert mesh.triangles.max() < len(mesh.neutral)
    assert (np.diff(mesh.part[mesh.triangles[:, 0]].astype(int)) >= 0).all()
    assert np.isfinite(mesh.position_map).all()
    np.testing.assert_allclose(mesh.eye_centres[0] * [-1, 1, 1], mesh.eye_centres[1], atol=0.05)


def test_a_checkout_of_obj_files_is_read(tmp_path):
    model = tmp_path / "FaceXModel"
    model.mkdir()
    faces = "vt 0.5 0.25\nvt 1 0\nvt 0 1\nvt 1 1\nusemtl M_Face\nf 1/1 2/2 3/3 4/4\nusemtl M_Teeth\nf 1/1 2/2 3/3\n"
    base = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
    (model / "generic_neutral_mesh.obj").write_text(base + faces)
    (model / "identity000.obj").write_text(base.replace("v 0 0 0", "v 0.5 0 0") + faces)
    (model / "jawOpen.obj").write_text(base.replace("v 0 1 0", "v 0 1 -2") + faces)
    (model / "vertex_indices.json").write_text('{"idx_to_landmark_verts": [' + ",".join(["0"] * 68) + "]}")
    arrays = ict_load.load(tmp_path)
    assert arrays.quads.tolist() == [[0, 1, 2, 3], [0, 1, 2, -1]]
    assert arrays.materials.tolist() == ["M_Face", "M_Teeth"]
    assert arrays.identity[0, 0].tolist() == [0.5, 0, 0]
    assert arrays.expressions["jawOpen"][3].tolist() == [0, 0, -2]


def test_a_missing_face_model_says_where_to_get_it(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGEAU_ICT", raising=False)
    with pytest.raises(InputError, match="git clone https"):
        ict_mesh.prepare()
    with pytest.raises(InputError, match="no FaceXModel/generic_neutral_mesh"):
        ict_mesh.prepare(str(tmp_path))

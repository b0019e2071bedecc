import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeau.runtime.manifest import CropSpec
from edgeau.train.faces.base import FrameSpec
from edgeau.train.faces.builtin import shapes
from edgeau.train.faces.builtin.head import head
from edgeau.train.faces.builtin.renderer import BuiltinRenderer, rotation

# The landmarks (Multi-PIE, from 0) around which each AU changes the face.
BROWS, EYES, NOSE, MOUTH, CHIN = range(17, 27), range(36, 48), range(27, 36), range(48, 68), range(6, 11)
REGION = {
    "AU01": [*BROWS], "AU02": [*BROWS], "AU04": [*BROWS, *EYES], "AU05": [*EYES], "AU06": [*EYES], "AU07": [*EYES],
    "AU09": [*NOSE, *EYES, *BROWS], "AU10": [*NOSE, *MOUTH], "AU12": [*MOUTH], "AU14": [*MOUTH], "AU15": [*MOUTH],
    "AU17": [*MOUTH, *CHIN], "AU20": [*MOUTH], "AU23": [*MOUTH], "AU24": [*MOUTH], "AU25": [*MOUTH],
    "AU26": [*MOUTH, *CHIN],
}  # fmt: skip


def near(points, reach, size):
    """bool [size, size]: pixels within ``reach`` of one of the points."""
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1)[:, :, None]
    return (np.linalg.norm(grid - points[None, None], axis=-1) < reach).any(axis=-1)


@pytest.mark.parametrize("au", sorted(REGION))
def test_each_au_moves_mostly_the_skin_of_its_region(au):
    mesh = head()
    one = shapes.expression_basis()[2 * shapes.SIDED.index(au) : 2 * shapes.SIDED.index(au) + 2].sum(axis=0)
    skin = mesh.groups["skin"]
    moved = np.linalg.norm(one[skin], axis=1)
    reach = 0.55
    away = np.linalg.norm(mesh.rest[skin][:, None, :2] - mesh.rest[mesh.landmarks[REGION[au]]][None, :, :2], axis=-1)
    inside = away.min(axis=1) < reach
    assert moved.max() > 0.03
    assert moved[inside].sum() > 0.9 * moved.sum()


@pytest.mark.parametrize("au", sorted(REGION))
def test_each_au_is_visible_at_the_crops_resolution(renderer, crop, frame, au):
    calm, acting = (renderer.render(frame(au=a), crop) for a in ({}, {au: (5.0, 5.0)}))
    change = np.abs(calm.face.astype(int) - acting.face.astype(int)).mean(axis=-1)
    region = near(calm.landmarks[REGION[au]], 14, crop.size_px)
    assert np.sort(change[region])[-60:].mean() > 12


def test_a_one_sided_au_moves_its_side(renderer, crop, frame):
    calm, acting = (renderer.render(frame(au=a), crop) for a in ({}, {"AU02": (5.0, 0.0)}))
    rise = calm.landmarks[:, 1] - acting.landmarks[:, 1]
    assert rise[18] > rise[25] + 2  # the subject's right brow is on the left of the picture


def test_rendering_does_not_depend_on_earlier_calls(renderer, crop, frame):
    spec = frame(au={"AU12": (3.0, 2.0)}, yaw_deg=12.0)
    first = renderer.render(spec, crop)
    for subject in range(20, 27):
        renderer.render(frame(subject), crop)
    again, fresh = renderer.render(spec, crop), BuiltinRenderer().render(spec, crop)
    np.testing.assert_array_equal(first.face, again.face)
    np.testing.assert_array_equal(first.face, fresh.face)
    np.testing.assert_array_equal(first.landmarks, fresh.landmarks)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    yaw=st.floats(-35, 35),
    pitch=st.floats(-20, 20),
    size=st.sampled_from([64, 112, 128]),
    level=st.floats(0, 5),
    domain=st.sampled_from(["train", "heldout"]),
)
def test_any_face_has_its_landmarks_inside_the_picture(renderer, seed, yaw, pitch, size, level, domain):
    rng = np.random.default_rng(seed)
    au = dict.fromkeys(rng.choice(sorted(REGION), 3, replace=False).tolist(), (level, level * 0.8))
    spec = FrameSpec(
        rng.normal(size=20).astype(np.float32), seed, seed, seed, au, yaw, pitch, float(rng.normal(0, 8)), domain=domain
    )
    rendered = renderer.render(spec, CropSpec(size_px=size))
    assert rendered.face.shape == (size, size, 3)
    assert rendered.face.dtype == np.uint8
    assert rendered.face.std() > 4
    inner = rendered.landmarks[17:]
    assert (inner > -0.05 * size).all()
    assert (inner < 1.05 * size).all()
    assert rendered.visible[[27, 28, 29, 30]].any()


def test_eyes_and_mouth_are_where_the_crop_template_has_them(renderer, crop, frame):
    marks = np.mean([renderer.render(frame(frame_seed=seed), crop).landmarks for seed in range(12)], axis=0)
    right, left = marks[36:42].mean(axis=0), marks[42:48].mean(axis=0)
    template = np.array(crop.template) * crop.size_px
    np.testing.assert_allclose([right, left], template[:2], atol=4)  # pixels of 112; faces differ from the template
    assert marks[48, 0] < marks[54, 0]
    assert marks[8, 1] > marks[57, 1] > marks[51, 1] > marks[33, 1]


def test_a_turned_head_hides_its_far_side(renderer, crop, frame):
    turned = renderer.render(frame(yaw_deg=38.0), crop)  # to the subject's left: its left cheek turns away
    assert turned.visible[:6].all()
    assert not turned.visible[12:16].all()


def test_lids_and_lips_never_cross():
    mesh = head()
    everything = shapes.weights(dict.fromkeys(REGION, (5.0, 5.0)), 1.0)
    points = mesh.rest + np.tensordot(everything, shapes.expression_basis(), 1)
    shapes.close_gaps(points)
    for name in ("lid_r", "lid_l", "lip_inner"):
        upper, lower = mesh.groups[name]
        assert (points[upper, 1] >= points[lower, 1] - 1e-5).all()


def test_rotations_have_the_documented_directions():
    nose, crown = np.array([0, 0, 1]), np.array([0, 1, 0])
    assert (rotation(30, 0, 0) @ nose)[0] > 0  # the subject's left is +x
    assert (rotation(0, 30, 0) @ nose)[1] > 0
    assert (rotation(0, 0, 30) @ crown)[0] > 0


def test_the_builtin_face_needs_neither_torch_nor_graphics():
    code = (
        "import sys\n"
        "from edgeau.runtime.crop_source import read_crops\n"
        "from edgeau.runtime.manifest import CropSpec\n"
        "found = read_crops('synthetic:subjects=1,frames=2,seed=1,face=builtin', CropSpec(size_px=64))\n"
        "assert found.faces.shape == (2, 64, 64, 3)\n"
        "print(sorted(m for m in ('torch', 'moderngl', 'scipy', 'onnx', 'skimage') if m in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

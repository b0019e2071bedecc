import numpy as np
import pytest

from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.train.faces.renderers import make_renderer
from edgeau.train.faces.source import parse

SMALL = CropSpec(size_px=64)


def test_a_specification_renders_labelled_faces_with_neutrals():
    crops = read_crops("synthetic:subjects=3,frames=5,seed=2", SMALL)
    assert crops.faces.shape == crops.neutrals.shape == (15, 64, 64, 3)
    assert crops.intensity.shape == (15, 15)
    assert set(crops.subjects) == {"S00000", "S00001", "S00002"}
    assert crops.intensity.max() > 2
    assert (crops.faces != crops.neutrals).any(axis=(1, 2, 3)).all()


def test_a_limit_renders_a_subset_of_the_same_set():
    whole, some = (read_crops("synthetic:subjects=3,frames=5,seed=2", SMALL, limit=limit) for limit in (None, 4))
    assert len(some) == 4
    rows = np.linspace(0, 14, 4).round().astype(int)
    np.testing.assert_array_equal(some.faces, whole.faces[rows])
    np.testing.assert_array_equal(some.neutrals, whole.neutrals[rows])


def test_another_seed_gives_other_faces():
    assert read_crops("synthetic:subjects=1,frames=2", SMALL, seed=1).sha256 != (
        read_crops("synthetic:subjects=1,frames=2", SMALL, seed=2).sha256
    )


@pytest.mark.parametrize(
    ("options", "word"),
    [("subjects=0", "at least 1"), ("subject=3", "subject=3"), ("frames=x", "whole number"), ("labels=ck", "bp4d"),
     ("domain=night", "heldout"), ("frames=1", "2 frames"), ("seed", "seed")],
)  # fmt: skip
def test_errors_name_the_wrong_option(options, word):
    with pytest.raises(InputError, match=word):
        parse(options)


def test_errors_name_an_unknown_face_model():
    with pytest.raises(InputError, match="no-such-face"):
        make_renderer("no-such-face.npz")

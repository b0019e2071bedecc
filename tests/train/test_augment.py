"""Augmentations for camera, light, size and file format, which change a face and its neutral identically."""

import cv2
import numpy as np
import pytest

from edgeau.train.augment import LEVELS, STRONG, Augmenter, AugmentOptions, draw

OFF = dict.fromkeys(AugmentOptions.__dataclass_fields__, 0.0) | {"lowest_px": 24}
SIZE = 96


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 256, (24, 24, 3)).astype(np.uint8), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


def both(image, seed=1, count=1, **chances):
    """Face and neutral from the same picture: uint8 [count, S, S, 3] each."""
    options = AugmentOptions(**{**OFF, **chances})
    drawn = draw(np.full(count, SIZE), SIZE, options, np.random.default_rng(seed))
    augmenter = Augmenter(SIZE)
    faces, neutrals = np.empty((2, count, SIZE, SIZE, 3), np.uint8)
    for row in range(count):
        augmenter.face(image, drawn, row, faces[row])
        augmenter.neutral(image, drawn, row, neutrals[row])
    return faces, neutrals


@pytest.mark.parametrize("part", ["grey", "shade", "low_resolution", "soft", "compressed", "cut_off"])
def test_each_augmentation_changes_face_and_neutral_identically(image, part):
    faces, neutrals = both(image, count=8, **{part: 1.0})
    assert np.array_equal(faces, neutrals)
    assert (faces != image).any(axis=(1, 2, 3)).all()


def test_grey_pictures_have_no_colour(image):
    faces, _ = both(image, grey=1.0)
    assert np.array_equal(faces[..., 0], faces[..., 1])
    assert np.array_equal(faces[..., 0], faces[..., 2])


def test_low_resolution_never_goes_below_lowest_px(image):
    faces, _ = both(image, count=200, low_resolution=1.0, lowest_px=24)
    contrast = np.abs(np.diff(faces.astype(int), axis=2)).mean(axis=(1, 2, 3))
    at_24 = cv2.resize(cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA), (SIZE, SIZE))
    assert contrast.min() > 0.9 * np.abs(np.diff(at_24.astype(int), axis=1)).mean()
    assert contrast.max() > 1.3 * contrast.min()


def test_cut_off_pictures_repeat_their_last_row(image):
    faces, _ = both(image, count=20, cut_off=1.0)
    assert (faces[:, -1] == faces[:, -2]).all()
    rows_repeated = [(face == face[-1]).all(axis=(1, 2)).sum() - 1 for face in faces]
    assert min(rows_repeated) >= 2
    assert max(rows_repeated) <= 0.16 * SIZE


def test_shading_keeps_black_and_darkens_one_side(image):
    black = np.zeros_like(image)
    assert both(black, count=10, shade=1.0)[0].max() == 0
    grey = np.full_like(image, 120)
    spread = [int(face.max()) - int(face.min()) for face in both(grey, count=20, shade=1.0)[0]]
    assert max(spread) > 40


def test_strong_adds_every_picture_augmentation_to_plain(image):
    assert LEVELS["strong"] is STRONG
    plain = draw(np.full(4, SIZE), SIZE, AugmentOptions(), np.random.default_rng(0))
    assert plain.picture is None
    drawn = draw(np.full(400, SIZE), SIZE, STRONG, np.random.default_rng(0)).picture
    assert drawn is not None
    for values, none in ((drawn.grey, False), (drawn.shade, -1), (drawn.low_px, 0), (drawn.quality, 0)):
        assert 0.2 < (values != none).mean() < 0.6

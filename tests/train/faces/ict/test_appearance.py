"""Skin, light and camera as determined by seeds and domains."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeau.runtime.errors import InputError
from edgeau.train.faces.base import DOMAINS
from edgeau.train.faces.ict import appearance, photo

SEEDS = st.integers(0, 2**31)


@given(SEEDS, st.sampled_from(DOMAINS))
def test_skin_has_a_human_colour(seed, domain):
    red, green, blue = appearance.draw_look(seed, domain).skin
    assert 0.01 < blue < green < red < 0.98  # never greenish or blue
    assert red / blue < 4.5


@given(SEEDS)
def test_heldout_ranges_are_left_out_of_training(seed):
    train, heldout = (appearance.draw_scene(seed, domain) for domain in DOMAINS)
    assert train.distance_cm > 43 > heldout.distance_cm
    assert train.quality > 45 > heldout.quality
    sideways = [abs(np.degrees(np.arctan2(s.key_direction[0], s.key_direction[2]))) for s in (train, heldout)]
    assert sideways[0] < 56 < sideways[1]


@given(SEEDS)
def test_heldout_skin_tones_are_left_out_of_training(seed):
    tones = {domain: appearance.draw_look(seed, domain).tone for domain in DOMAINS}
    assert 0.42 <= tones["heldout"] <= 0.58
    assert not 0.42 < tones["train"] < 0.58


@given(SEEDS)
def test_the_same_seed_gives_the_same_scene(seed):
    first, again = (appearance.draw_scene(seed, "train") for _ in range(2))
    np.testing.assert_array_equal(first.key_direction, again.key_direction)
    assert first.distance_cm == again.distance_cm


def test_an_unknown_domain_is_refused():
    with pytest.raises(InputError, match="expected train or heldout"):
        appearance.draw_look(0, "test")


def test_grey_scenes_have_no_colour():
    seed = next(s for s in range(1000) if appearance.draw_scene(s, "train").grey)
    scene = appearance.draw_scene(seed, "train")
    picture = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    developed = photo.develop(picture, 64, scene, appearance.draw_shot(1, scene, "train")).astype(int)
    assert developed.shape == (64, 64, 3)
    assert np.abs(developed - developed.mean(axis=2, keepdims=True)).max() <= 4


def test_the_frame_seed_moves_the_crop_slightly():
    scene = appearance.draw_scene(0, "train")
    jitter = np.stack([appearance.draw_shot(s, scene, "train").point_jitter for s in range(200)])
    assert 0.01 < jitter.std() < 0.04

from __future__ import annotations

from pathlib import Path
from typing import List

import cv2
import numpy as np
import pytest

from edgeau.runtime.crop import crop_face
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.crop_source import SHIPPED_PARITY, read_crops
from edgeau.runtime.detect import open_yunet
from edgeau.runtime.images import read_image
from edgeau.runtime.look import SAME_AFTER_LOSS, SAME_ELSEWHERE, UNLIKE, Looks, look_of, similarity
from edgeau.runtime.manifest import CropSpec


@pytest.fixture(scope="module")
def crops() -> CropSet:
    """32 rendered faces of 4 people, uint8 [112, 112, 3] RGB, from the shipped package."""
    return read_crops(SHIPPED_PARITY, CropSpec(112))


@pytest.fixture(scope="module")
def people(crops: CropSet) -> List[np.ndarray]:
    return [crops.faces[crops.subjects.index(name)] for name in sorted(set(crops.subjects))]


def test_a_face_looks_like_itself_in_other_light_and_slightly_moved(people: List[np.ndarray]) -> None:
    for face in people:
        look = look_of(face)
        assert similarity(look, look) == pytest.approx(1, abs=1e-5)
        assert similarity(look, look_of(cv2.convertScaleAbs(face, alpha=0.7, beta=20))) > SAME_ELSEWHERE
        assert similarity(look, look_of(np.roll(face, 2, axis=1))) > SAME_ELSEWHERE


def test_rendered_people_with_the_same_skin_are_rarely_confused(crops: CropSet) -> None:
    looks = np.stack([look_of(face) for face in crops.faces])
    others = np.array(crops.subjects)[:, None] != np.array(crops.subjects)
    assert ((looks @ looks.T)[others] > SAME_ELSEWHERE).mean() < 0.01


def test_different_people_on_photos_are_rarely_confused(data_folder: Path, yunet_path: Path) -> None:
    """Press photos, one person each."""
    files = sorted((data_folder / "real-expressions" / "judge").glob("neutral-*.jpg"))[:60:2]
    if not files:
        pytest.skip("no photos in the test data")
    detector = open_yunet(yunet_path, 1)
    detected = [(image, detector.detect(image)) for image in map(read_image, files)]
    photos = [crop_face(image[:, :, ::-1], faces[0].points_xy, CropSpec(112)) for image, faces in detected if faces]
    looks = np.stack([look_of(np.ascontiguousarray(photo)) for photo in photos])
    pairs = (looks @ looks.T)[np.triu_indices(len(looks), 1)]
    assert len(pairs) > 300
    assert (pairs > SAME_AFTER_LOSS).mean() < 0.02
    assert np.median(pairs) < UNLIKE


def test_the_look_of_a_uniform_crop_is_finite() -> None:
    assert np.isfinite(look_of(np.full((112, 112, 3), 9, np.uint8))).all()


def test_looks_are_computed_on_demand_and_cached(people: List[np.ndarray]) -> None:
    looks = Looks(people)
    assert 1 not in looks
    assert looks[1] is looks[1]
    assert 1 in looks

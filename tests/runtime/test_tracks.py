from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import List

import numpy as np

from edgeau.runtime.crop import crop_face
from edgeau.runtime.detect import open_yunet
from edgeau.runtime.look import Looks
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.sources import open_source
from edgeau.runtime.tracks import Tracker, overlap


def box(x: float, y: float = 0, side: float = 10) -> np.ndarray:
    return np.array([x, y, x + side, y + side])


def test_overlap_of_equal_halved_and_disjoint_boxes() -> None:
    assert overlap(box(0), box(0)) == 1
    assert overlap(box(0), box(5)) == 50 / 150
    assert overlap(box(0), box(10)) == 0


def test_faces_keep_their_ids_when_they_move_and_change_order() -> None:
    tracker = Tracker()
    assert tracker.update([box(0), box(100)]) == [0, 1]
    assert tracker.update([box(102), box(2)]) == [1, 0]


def test_a_face_keeps_its_id_if_it_returns_in_time_and_otherwise_gets_a_new_one() -> None:
    tracker = Tracker(patience_frames=2)
    tracker.update([box(0)])
    tracker.update([])
    assert tracker.update([box(1)]) == [0]
    for _ in range(3):
        tracker.update([])
    assert tracker.update([box(1)]) == [1]


def test_two_faces_never_share_an_id() -> None:
    tracker = Tracker()
    tracker.update([box(0)])
    assert sorted(tracker.update([box(1), box(2)])) == [0, 1]


def test_reset_restarts_ids_at_0() -> None:
    tracker = Tracker()
    tracker.update([box(0)])
    tracker.reset()
    assert tracker.update([box(50)]) == [0]


def test_a_cut_to_another_person_at_the_same_place_gives_a_new_id(two_people: List[np.ndarray]) -> None:
    tracker, (one, other) = Tracker(), two_people
    numbers = [tracker.update([box(i * 0.1)], Looks([one])) for i in range(8)]
    assert numbers == [[0]] * 8
    assert tracker.update([box(3)], Looks([other])) == [1]
    assert tracker.update([box(0)], Looks([one])) == [0]


def test_another_person_at_exactly_the_same_place_gets_a_new_id_within_six_frames(
    two_people: List[np.ndarray],
) -> None:
    tracker, (one, other) = Tracker(), two_people
    for _ in range(7):
        tracker.update([box(0)], Looks([one]))
    numbers = [tracker.update([box(0)], Looks([other]))[0] for _ in range(6)]
    assert numbers[-1] == 1


def test_after_a_loss_a_stranger_gets_a_new_id_and_the_returning_person_the_old_one(
    two_people: List[np.ndarray],
) -> None:
    tracker, (one, other) = Tracker(), two_people
    tracker.update([box(0)], Looks([one]))
    for _ in range(10):
        tracker.update([], Looks([]))
    assert tracker.update([box(0)], Looks([other])) == [1]
    for _ in range(100):
        tracker.update([], Looks([]))
    assert tracker.update([box(300), box(0)], Looks([one, other])) == [0, 1]


def test_ids_are_forgotten_after_memory_frames(two_people: List[np.ndarray]) -> None:
    tracker = Tracker(memory_frames=30)
    tracker.update([box(0)], Looks(two_people[:1]))
    for _ in range(31):
        tracker.update([], Looks([]))
    assert tracker.alive == set()
    assert tracker.update([box(0)], Looks(two_people[:1])) == [1]


def test_a_person_acting_expressions_keeps_one_id(clip_path: Path, yunet_path: Path) -> None:
    """Every third frame of the clip, 8 per second: her face changes more between frames than at full rate."""
    detector, tracker = open_yunet(yunet_path, 1), Tracker()
    numbers = set()
    for frame in islice(open_source(str(clip_path)).frames, 0, None, 3):
        assert frame.image_bgr is not None
        faces = detector.detect(frame.image_bgr)
        crops = [crop_face(frame.image_bgr[:, :, ::-1], face.points_xy, CropSpec(112)) for face in faces]
        looks = Looks([np.ascontiguousarray(crop) for crop in crops])
        numbers.update(tracker.update([face.box_xyxy for face in faces], looks))
    assert numbers == {0}

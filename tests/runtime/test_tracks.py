from __future__ import annotations

import numpy as np

from edgeau.runtime.tracks import Tracker, overlap


def box(x: float, y: float = 0, side: float = 10) -> np.ndarray:
    return np.array([x, y, x + side, y + side])


def test_overlap_of_equal_halved_and_disjoint_boxes() -> None:
    assert overlap(box(0), box(0)) == 1
    assert overlap(box(0), box(5)) == 50 / 150
    assert overlap(box(0), box(10)) == 0


def test_faces_keep_their_numbers_when_they_move_and_change_order() -> None:
    tracker = Tracker()
    assert tracker.update([box(0), box(100)]) == [0, 1]
    assert tracker.update([box(102), box(2)]) == [1, 0]


def test_a_face_that_returns_in_time_keeps_its_number_and_later_gets_a_new_one() -> None:
    tracker = Tracker(patience_frames=2)
    tracker.update([box(0)])
    tracker.update([])
    assert tracker.update([box(1)]) == [0]
    for _ in range(3):
        tracker.update([])
    assert tracker.update([box(1)]) == [1]


def test_two_faces_never_share_a_number() -> None:
    tracker = Tracker()
    tracker.update([box(0)])
    assert sorted(tracker.update([box(1), box(2)])) == [0, 1]


def test_reset_starts_anew() -> None:
    tracker = Tracker()
    tracker.update([box(0)])
    tracker.reset()
    assert tracker.update([box(50)]) == [0]

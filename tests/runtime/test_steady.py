from __future__ import annotations

import numpy as np

from edgeau.runtime.face import Face
from edgeau.runtime.steady import Steady


def face(left: float, number: int = 0) -> Face:
    box = (left, 10.0, left + 100, 110.0)
    points = np.array([[left + x, 50] for x in (30, 70, 50, 35, 65)], np.float32)
    return Face(number, box, points, 0.9, {}, {}, {}, True)


def lefts(places: np.ndarray) -> np.ndarray:
    steady = Steady()
    return np.array([steady([face(x)], i / 25)[0].box_xyxy[0] for i, x in enumerate(places)])


def test_jitter_of_a_still_face_is_reduced_by_more_than_half() -> None:
    raw = 200 + np.random.default_rng(0).normal(0, 1.5, 100)
    shown = lefts(raw)
    assert np.abs(np.diff(shown)).mean() < 0.4 * np.abs(np.diff(raw)).mean()
    assert abs(shown[50:].mean() - 200) < 1


def test_a_face_moving_one_width_per_second_lags_less_than_a_tenth_of_its_width() -> None:
    raw = 200 + 100 * np.arange(50) / 25
    assert np.abs(lefts(raw) - raw)[10:].max() < 10


def test_a_face_that_returns_later_or_has_a_new_track_id_is_not_smoothed() -> None:
    steady = Steady()
    steady([face(0)], 0.0)
    assert steady([face(300)], 2.0)[0].box_xyxy[0] == 300
    assert steady([face(500, number=1)], 2.04)[0].box_xyxy[0] == 500


def test_sources_without_timestamps_are_smoothed_too() -> None:
    steady = Steady()
    steady([face(0)], 0.0)
    assert 0 < steady([face(10)], 0.0)[0].box_xyxy[0] < 10

"""Following faces by searching near their last position, compared with searching every whole frame."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence

import cv2
import numpy as np
import pytest

from edgeau.runtime.backends import missing
from edgeau.runtime.choose import load
from edgeau.runtime.detection import Detection
from edgeau.runtime.following import Follower

# Mean absolute difference in presence from searching every frame.
PRESENCE_MARGIN = 0.02
FRAME = np.zeros((100, 100, 3), np.uint8)


def face(left: float) -> Detection:
    return Detection(np.float32([left, 10, left + 30, 40]), np.zeros((5, 2), np.float32), 0.9)


class Scripted:
    """A detector with fixed results for whole frames and close-ups, which records its calls."""

    name = "scripted"

    def __init__(self, whole: Sequence[Detection], near: Optional[Sequence[Detection]]) -> None:
        self.whole, self.near = list(whole), near
        self.calls: List[str] = []

    def detect(self, image_bgr: np.ndarray) -> List[Detection]:
        self.calls.append("whole")
        return self.whole

    def detect_near(self, image_bgr: np.ndarray, boxes_xyxy: Sequence[np.ndarray]) -> Optional[List[Detection]]:
        self.calls.append("near")
        return None if self.near is None else list(self.near)


def calls(detector: Scripted, frames: int, every: int = 15) -> List[str]:
    follower = Follower(detector, every)
    for _ in range(frames):
        follower.detect(FRAME)
    return detector.calls


def test_the_whole_frame_is_searched_first_and_on_schedule() -> None:
    assert calls(Scripted([face(0)], [face(1)]), 9, every=4) == ["whole", *["near"] * 3] * 2 + ["whole"]


def test_without_a_face_every_frame_is_searched() -> None:
    assert calls(Scripted([], [face(1)]), 3) == ["whole"] * 3


def test_a_lost_face_is_searched_for_at_once() -> None:
    assert calls(Scripted([face(0)], None), 3) == ["whole", "near", "whole", "near", "whole"]


def test_two_faces_that_merge_are_searched_for_at_once() -> None:
    two = [face(0), face(60)]
    assert calls(Scripted(two, [face(0), face(2)]), 2) == ["whole", "near", "whole"]


def test_a_detector_without_detect_near_searches_every_frame() -> None:
    class Whole:
        name = "whole"
        count = 0

        def detect(self, image_bgr: np.ndarray) -> List[Detection]:
            self.count += 1
            return [face(0)]

    detector = Whole()
    follower = Follower(detector)
    for _ in range(5):
        follower.detect(FRAME)
    assert detector.count == 5


@pytest.mark.slow
def test_presence_on_the_clip_is_close_to_searching_every_frame(clip_path: Path, yunet_path: Path) -> None:
    if missing("onnxruntime") is not None:
        pytest.skip("onnxruntime is not installed")
    capture = cv2.VideoCapture(str(clip_path))
    frames = [capture.read()[1] for _ in range(200)]
    followed, searched = (presence(frames, yunet_path, every) for every in (15, 1))
    assert np.abs(followed - searched).mean() < PRESENCE_MARGIN


def presence(frames: List[np.ndarray], yunet_path: Path, every: int) -> np.ndarray:
    """Presence of the one face in the frames, float [frames, A]."""
    with load(detector=str(yunet_path), threads=1, search_every=every) as analyzer:
        return np.array([list(analyzer(frame)[0].au.values()) for frame in frames])

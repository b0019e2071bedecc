"""Find faces in a video: near where they were in the last frame, and in the whole frame from time to time."""

from __future__ import annotations

from typing import List, Optional

import numpy as np

from .detection import Detection, Detector, FollowingDetector, largest_first
from .tracks import overlap

# A face that enters is found within this many frames: a second of most videos. Searching the whole frame costs five
# times as much as a close-up.
SEARCH_EVERY = 25
# Two known faces whose close-ups show the same one.
_SAME_FACE_IOU = 0.3


class Follower:
    """Faces in successive frames of one video.

    The whole frame is searched in the first frame, in every ``every``-th, when a face is lost, when two become one, and
    as long as there is none.

    Args:
        detector: one that can't look near a box searches every frame.
        every: 1 searches every frame.
    """

    def __init__(self, detector: Detector, every: int = SEARCH_EVERY) -> None:
        self.detector, self._every = detector, every
        self._following = detector if isinstance(detector, FollowingDetector) else None
        self.reset()

    def reset(self) -> None:
        """Forget the faces."""
        self._last: List[Detection] = []
        self._since_whole = 0

    def detect(self, frame_bgr: np.ndarray) -> List[Detection]:
        """Faces of the next frame, uint8 [H, W, 3] BGR, largest first."""
        self._since_whole += 1
        found = self._near(frame_bgr)
        if found is None:
            found = self.detector.detect(frame_bgr)
            self._since_whole = 0
        self._last = found
        return found

    def _near(self, frame_bgr: np.ndarray) -> Optional[List[Detection]]:
        due = self._since_whole >= self._every
        if due or not self._last or self._following is None:
            return None
        found = self._following.detect_near(frame_bgr, [face.box_xyxy for face in self._last])
        if found is None or _any_overlap(found):
            return None
        return largest_first(found)


def _any_overlap(faces: List[Detection]) -> bool:
    boxes = [face.box_xyxy for face in faces]
    return any(overlap(a, b) > _SAME_FACE_IOU for i, a in enumerate(boxes) for b in boxes[:i])

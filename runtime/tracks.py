"""Face tracking: matches the boxes of successive frames by overlap, best match first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Sequence

import numpy as np


@dataclass
class _Track:
    box_xyxy: np.ndarray
    last_frame: int


class Tracker:
    """Gives each face a track number that lasts while it is visible.

    Args:
        min_overlap: intersection over union from which two boxes count as the same face.
        patience_frames: how many frames a face may be missing before its number is retired.
    """

    def __init__(self, *, min_overlap: float = 0.3, patience_frames: int = 25) -> None:
        self._min_overlap = min_overlap
        self._patience_frames = patience_frames
        self.reset()

    def reset(self) -> None:
        """Forget every face and restart numbering at 0."""
        self._tracks: Dict[int, _Track] = {}
        self._next_id = 0
        self._frame = 0

    def update(self, boxes_xyxy: Sequence[np.ndarray]) -> List[int]:
        """Track numbers of the boxes of the next frame, in the same order."""
        self._frame += 1
        self._tracks = {n: t for n, t in self._tracks.items() if self._frame - t.last_frame <= self._patience_frames}
        free = set(self._tracks)
        numbers: List[int] = [-1] * len(boxes_xyxy)
        pairs = sorted(
            ((overlap(box, self._tracks[n].box_xyxy), i, n) for i, box in enumerate(boxes_xyxy) for n in free),
            reverse=True,
        )
        for shared, i, number in pairs:
            if shared >= self._min_overlap and numbers[i] < 0 and number in free:
                numbers[i] = number
                free.discard(number)
        for i, box in enumerate(boxes_xyxy):
            if numbers[i] < 0:
                numbers[i] = self._next_id
                self._next_id += 1
            self._tracks[numbers[i]] = _Track(np.asarray(box), self._frame)
        return numbers

    @property
    def alive(self) -> set[int]:
        """Track numbers still in use."""
        return set(self._tracks)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = float(width * height)
    total = float((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])) - shared
    return shared / total

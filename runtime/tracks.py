"""Face tracking: matches the faces of successive frames by overlap, and by look where overlap is not enough.

A number belongs to one person: a face that appears where another was, as after a cut, gets a number of its own, and one
that returns within seconds gets its old number back, also elsewhere in the image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Set

import numpy as np

from .look import SAME_AFTER_LOSS, SAME_ELSEWHERE, SAME_NEXT_FRAME, Looks, similarity

_LOOK_EVERY = 5  # frames between looks at a face that overlaps well with its last place
_CLEAR_OVERLAP = 0.8
_MOST_LOOKS, _NEW_LOOK = 8, 0.85


@dataclass
class _Track:
    box_xyxy: np.ndarray
    last_frame: int
    last_look: int = -_LOOK_EVERY
    looks: List[np.ndarray] = field(default_factory=list)  # the last one, and earlier ones that differ from it

    def resembles(self, look: np.ndarray) -> float:
        return max((similarity(look, known) for known in self.looks), default=1.0)

    def add(self, look: np.ndarray, frame: int) -> None:
        if self.looks and similarity(self.looks[0], look) > _NEW_LOOK:
            self.looks[0] = look
        else:
            self.looks = [look, *self.looks][:_MOST_LOOKS]
        self.last_look = frame


class Tracker:
    """Gives each face a track number that lasts while it is visible, and over short losses.

    Args:
        min_overlap: intersection over union from which two boxes may be the same face.
        patience_frames: how many frames a face may be missing and still be matched by overlap.
        memory_frames: how many frames a face may be missing and still get its number back by its look.
    """

    def __init__(self, *, min_overlap: float = 0.3, patience_frames: int = 25, memory_frames: int = 250) -> None:
        self._min_overlap, self._patience_frames = min_overlap, patience_frames
        self._memory_frames = max(memory_frames, patience_frames)
        self.reset()

    def reset(self) -> None:
        """Forget every face and restart numbering at 0."""
        self._tracks: Dict[int, _Track] = {}
        self._next_id = 0
        self._frame = 0

    def update(self, boxes_xyxy: Sequence[np.ndarray], looks: Optional[Looks] = None) -> List[int]:
        """Track numbers of the faces of the next frame, in the same order.

        Args:
            boxes_xyxy: left, top, right, bottom of each face.
            looks: of the same faces. Without them faces are matched by overlap alone.
        """
        self._frame += 1
        memory = self._patience_frames if looks is None else self._memory_frames
        self._tracks = {n: t for n, t in self._tracks.items() if self._frame - t.last_frame <= memory}
        numbers: Dict[int, int] = {}
        free = set(self._tracks)
        self._match_by_overlap(boxes_xyxy, looks, numbers, free)
        if looks is not None:
            self._match_by_look(len(boxes_xyxy), looks, numbers, free)
        for i, box in enumerate(boxes_xyxy):
            if i not in numbers:
                numbers[i] = self._next_id
                self._next_id += 1
            track = self._tracks.setdefault(numbers[i], _Track(np.asarray(box), self._frame))
            track.box_xyxy, track.last_frame = np.asarray(box), self._frame
            if looks is not None and (i in looks or self._frame - track.last_look >= _LOOK_EVERY):
                track.add(looks[i], self._frame)
        return [numbers[i] for i in range(len(boxes_xyxy))]

    @property
    def alive(self) -> Set[int]:
        """Track numbers still in use."""
        return set(self._tracks)

    def _match_by_overlap(
        self, boxes: Sequence[np.ndarray], looks: Optional[Looks], numbers: Dict[int, int], free: Set[int]
    ) -> None:
        recent = [n for n in free if self._frame - self._tracks[n].last_frame <= self._patience_frames]
        pairs = sorted(
            ((overlap(box, self._tracks[n].box_xyxy), i, n) for i, box in enumerate(boxes) for n in recent),
            reverse=True,
        )
        for shared, i, number in pairs:
            if shared < self._min_overlap or i in numbers or number not in free:
                continue
            if self._may_be(self._tracks[number], shared, i, looks):
                numbers[i] = number
                free.discard(number)

    def _may_be(self, track: _Track, shared: float, face: int, looks: Optional[Looks]) -> bool:
        """Whether a face that overlaps with a track looks like it too, where that is in doubt."""
        if looks is None:
            return True
        lost = self._frame - track.last_frame > 1
        if not lost and shared >= _CLEAR_OVERLAP and self._frame - track.last_look < _LOOK_EVERY:
            return True
        return track.resembles(looks[face]) >= (SAME_AFTER_LOSS if lost else SAME_NEXT_FRAME)

    def _match_by_look(self, count: int, looks: Looks, numbers: Dict[int, int], free: Set[int]) -> None:
        new = [i for i in range(count) if i not in numbers]
        known = [n for n in free if self._tracks[n].looks]
        pairs = sorted(((self._tracks[n].resembles(looks[i]), i, n) for i in new for n in known), reverse=True)
        for alike, i, number in pairs:
            if alike >= SAME_ELSEWHERE and i not in numbers and number in free:
                numbers[i] = number
                free.discard(number)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = float(width * height)
    total = float((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])) - shared
    return shared / total

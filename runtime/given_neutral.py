"""A neutral picture from the user, which belongs to one person: it is used for that person's face and for no other.

It goes to the face that looks most like it, once one does. Where several faces are there, where none looks like it for
half a second, and where it passes to another face, a warning says so, once.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Set

import numpy as np

from .errors import EdgeauWarning
from .look import SAME_AFTER_LOSS, UNLIKE, Looks, look_of, similarity

_SEVERAL = "several faces, one neutral picture: it is used for the face that looks most like it"
_UNLIKE = "a face doesn't look like the one in the neutral picture, which is not used for it"
_PASSES = "the neutral picture passes to a face that looks more like it"
_TRIAL_FRAMES = 12
_CLEARLY_MORE = 0.1


@dataclass
class _Evidence:
    """The highest similarity of a face to the picture so far, and in how many frames the face was seen."""

    best: float = -1.0
    frames: int = 0


class GivenNeutral:
    """Decides which face a neutral picture belongs to.

    Args:
        crop_rgb: uint8 [S, S, 3], the picture's face.
    """

    def __init__(self, crop_rgb: np.ndarray) -> None:
        self.crop_rgb = crop_rgb
        self._look = look_of(crop_rgb)
        self._said: Set[str] = set()
        self.reset()

    def reset(self) -> None:
        """Forget faces, as before a new video."""
        self._owner: Optional[int] = None
        self._had_owner = False
        self._evidence: Dict[int, _Evidence] = {}

    def owner(self, numbers: Sequence[int], looks: Looks, alive: Set[int]) -> Optional[int]:
        """The track number that the picture belongs to, or None.

        Args:
            numbers: of the faces in this frame.
            looks: of the same faces.
            alive: track numbers still in use.
        """
        self._evidence = {n: e for n, e in self._evidence.items() if n in alive}
        for i, number in enumerate(numbers):
            seen = self._evidence.setdefault(number, _Evidence())
            if seen.best < SAME_AFTER_LOSS:  # beyond doubt afterwards
                seen.best = max(seen.best, similarity(looks[i], self._look))
            seen.frames += 1
        if self._owner not in alive:
            self._owner = None
        self._choose(numbers)
        if len(numbers) > 1:
            self._say(_SEVERAL)
        return self._owner

    def closest(self, looks: Looks, count: int) -> Optional[int]:
        """Which of a still's faces the picture belongs to; None if none looks like it."""
        if not count:
            return None
        alike = [similarity(looks[i], self._look) for i in range(count)]
        best = int(np.argmax(alike))
        if count > 1:
            self._say(_SEVERAL)
        if alike[best] < UNLIKE:
            self._say_unlike(best, alike[best])
            return None
        return best

    def _choose(self, numbers: Sequence[int]) -> None:
        alike = {number: self._evidence[number].best for number in numbers}
        best = max(numbers, key=lambda number: alike[number], default=None)
        if best is None:
            return
        if self._owner is None:
            # The first face may look different than in the picture, as with an expression; later ones may not.
            if alike[best] >= (SAME_AFTER_LOSS if self._had_owner else UNLIKE):
                self._owner, self._had_owner = best, True
            elif self._evidence[best].frames == _TRIAL_FRAMES:
                self._say_unlike(best, alike[best])
        elif alike[best] > self._evidence[self._owner].best + _CLEARLY_MORE:
            self._say(_PASSES, f": from face {self._owner} to face {best}")
            self._owner = best

    def _say_unlike(self, number: int, alike: float) -> None:
        self._say(_UNLIKE, f": face {number}, similarity {alike:.2f}, expected at least {UNLIKE}")

    def _say(self, text: str, detail: str = "") -> None:
        if text not in self._said:
            self._said.add(text)
            warnings.warn(text + detail, EdgeauWarning, stacklevel=3)

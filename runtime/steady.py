"""Steady outlines for display: boxes and points without the detector's jitter. Results themselves are left as they are.

The filter is Casiez, Roussel and Vogel's "1 Euro Filter" (CHI 2012): a low-pass whose cutoff rises with speed, so that
a face at rest doesn't tremble and a moving one isn't followed late.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Dict, List, Sequence

import numpy as np

from .face import Face

_SLOWEST_HZ = 0.8  # cutoff for a face at rest
_HZ_PER_SPEED = 4.0  # added per face width per second
_SPEED_HZ = 1.0  # cutoff of the speed's own filter
_USUAL_STEP_S = 0.04  # where a source has no times
_FORGOTTEN_AFTER_S = 0.5


@dataclass
class _State:
    """Filtered corners and points, pixels [7, 2]; their speed, face widths per second; and when that was."""

    places: np.ndarray
    speed: np.ndarray
    time_s: float


class Steady:
    """Filters the faces of one video, frame by frame."""

    def __init__(self) -> None:
        self._states: Dict[int, _State] = {}
        self._last_s = -_USUAL_STEP_S

    def __call__(self, faces: Sequence[Face], time_s: float) -> List[Face]:
        """The same faces with steady boxes and points.

        Args:
            faces: the results of a frame.
            time_s: when the frame was; frames whose time doesn't advance are taken to be 0.04 s apart.
        """
        now = time_s if time_s > self._last_s else self._last_s + _USUAL_STEP_S
        self._last_s = now
        self._states = {n: s for n, s in self._states.items() if now - s.time_s <= _FORGOTTEN_AFTER_S}
        return [self._filtered(face, now) for face in faces]

    def _filtered(self, face: Face, now: float) -> Face:
        places = np.vstack([np.reshape(face.box_xyxy, (2, 2)), np.asarray(face.points_xy)]).astype(np.float64)
        width = max(1.0, float(places[1, 0] - places[0, 0]))
        last = self._states.get(face.track_id)
        if last is None:
            self._states[face.track_id] = _State(places, np.zeros_like(places), now)
            return face
        step_s = now - last.time_s
        raw_speed = (places - last.places) / width / step_s
        speed = last.speed + _share(_SPEED_HZ, step_s) * (raw_speed - last.speed)
        cutoff_hz = _SLOWEST_HZ + _HZ_PER_SPEED * float(np.abs(speed).max())
        places = last.places + _share(cutoff_hz, step_s) * (places - last.places)
        self._states[face.track_id] = _State(places, speed, now)
        left, top, right, bottom = (float(v) for v in places[:2].ravel())
        return dataclasses.replace(face, box_xyxy=(left, top, right, bottom), points_xy=places[2:].astype(np.float32))


def _share(cutoff_hz: float, step_s: float) -> float:
    """How much of a new value a low-pass of first order takes over in one step."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff_hz * step_s))

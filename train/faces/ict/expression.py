"""Moves the head's vertices: sums expression shapes and keeps the lips together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .mesh import SKIN, FaceMesh
from .shapes import dense_weights, extra_shapes, shape_weights

_LIPS_TOUCH_CM = 0.03
_PARTS_LIPS = ("AU16", "AU22", "AU25", "AU27")  # without any of these, the lips stay together whatever else moves
_UPPER_LIP, _LOWER_LIP = [61, 62, 63], [67, 66, 65]  # inner-lip landmarks in opposing pairs


class Expressions:
    """The expression shapes of ICT-FaceKit and our own, over all vertices of a mesh."""

    def __init__(self, mesh: FaceMesh) -> None:
        extra = extra_shapes(mesh.neutral)
        names = [*(str(name) for name in mesh.shape_names), *extra]
        self._columns = {name: column for column, name in enumerate(names)}
        shapes = np.concatenate([mesh.shapes, np.stack(list(extra.values()))]).astype(np.float32)
        shapes[len(mesh.shapes) :, mesh.part != SKIN] = 0
        self._shapes = shapes.reshape(len(shapes), -1)
        self._close_lips = shapes[self._columns["mouthClose"]]
        self._upper_lip, self._lower_lip = mesh.landmarks[_UPPER_LIP], mesh.landmarks[_LOWER_LIP]

    def posed(
        self, neutral: np.ndarray, au: Mapping[str, tuple[float, float]], blink: float, gaze_deg: tuple[float, float]
    ) -> np.ndarray:
        """Apply an expression to a neutral head, float32 [V, 3]; see FrameSpec for the arguments."""
        points = neutral + self.displacement(shape_weights(au, blink, gaze_deg))
        if not any(max(au.get(name, (0.0, 0.0))) > 0 for name in _PARTS_LIPS):
            points = self.lips_closed(points)
        return points

    def displacement(self, weights: Mapping[str, float]) -> np.ndarray:
        """float32 [V, 3], centimetres: the sum of the weighted shapes, which applies to any identity."""
        from scipy.linalg.blas import saxpy

        dense = dense_weights(weights, self._columns)
        total = np.zeros(self._shapes.shape[1], np.float32)
        for index in np.flatnonzero(dense):
            total = saxpy(self._shapes[index], total, a=dense[index])
        return total.reshape(-1, 3)

    def lips_closed(self, points: np.ndarray) -> np.ndarray:
        """Raise the lower lip until the lips touch. Some identities and AU10 part them: AU25 without its label."""
        gap = points[self._upper_lip, 1] - points[self._lower_lip, 1]
        rise = self._close_lips[self._lower_lip, 1] - self._close_lips[self._upper_lip, 1]
        weight = max(float(np.max((gap - _LIPS_TOUCH_CM) / rise)), 0.0)
        closed: np.ndarray = (points + weight * self._close_lips).astype(np.float32)
        return closed

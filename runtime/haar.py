"""Face detection with OpenCV's Haar cascades, which need no other file: frontal faces only, less exact points."""

from __future__ import annotations

from typing import List, Optional

import numpy as np

from .detection import Detection, bounded, largest_first
from .opencv import cascade_folder

# Mean places of YuNet's five points inside a Haar box, in fractions of its side: the mean over 39 frames of a frontal
# clip; standard deviations are 0.02 to 0.06.
_HAAR_POINTS = np.array([[0.304, 0.388], [0.692, 0.393], [0.488, 0.620], [0.325, 0.790], [0.665, 0.795]])


class HaarDetector:
    """OpenCV's bundled cascades: the frontal face, and the eyes inside it, which set scale and roll."""

    name = "haar"

    def __init__(self, *, max_side_px: int = 360) -> None:
        import cv2

        folder = cascade_folder()
        self._face = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_default.xml"))
        self._eye = cv2.CascadeClassifier(str(folder / "haarcascade_eye.xml"))
        self._max_side_px = max_side_px

    def detect(self, image_bgr: np.ndarray) -> List[Detection]:
        """As in Detector. Faces are searched for in a reduced image, eyes in the full one."""
        import cv2

        grey = cv2.equalizeHist(cv2.cvtColor(image_bgr, cv2.COLOR_BGR2GRAY))
        small, scale = bounded(image_bgr, self._max_side_px)
        small_grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))
        faces = []
        for box in self._face.detectMultiScale(small_grey, 1.1, 5, minSize=(32, 32)):
            x, y, side = (float(v) / scale for v in box[:3])
            points = self._refine(grey, np.array([x, y]) + _HAAR_POINTS * side, side)
            edges = np.array([x, y, x + side, y + side], np.float32)
            faces.append(Detection(edges, points.astype(np.float32), 1.0))
        return largest_first(faces)

    def _refine(self, grey: np.ndarray, points: np.ndarray, side: float) -> np.ndarray:
        """Move the mean points by the similarity that maps the two mean eyes to the two detected ones."""
        right, left = (self._find_eye(grey, points[i], side) for i in (0, 1))
        if right is None or left is None:
            return points
        mean_right, mean_left = complex(*points[0]), complex(*points[1])
        factor = (left - right) / (mean_left - mean_right)
        if not 0.75 < abs(factor) < 1.35:
            return points
        moved = (points[:, 0] + 1j * points[:, 1] - mean_right) * factor + right
        return np.stack([moved.real, moved.imag], axis=1)

    def _find_eye(self, grey: np.ndarray, near: np.ndarray, side: float) -> Optional[complex]:
        """The eye closest to a point, in a square of 0.42 of the face reduced to 48 pixels; None if there is none."""
        half = max(1, int(side * 0.21))
        x, y = (max(0, int(v) - half) for v in near)
        region, scale = bounded(grey[y : y + 2 * half, x : x + 2 * half], 48)
        boxes = self._eye.detectMultiScale(region, 1.05, 3, minSize=(20, 20)) if min(region.shape) >= 20 else ()
        centres = [complex(x + (u + w / 2) / scale, y + (v + h / 2) / scale) for u, v, w, h in boxes]
        return min(centres, key=lambda c: abs(c - complex(*near)), default=None)

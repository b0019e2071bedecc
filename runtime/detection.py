"""Face detections, and the interface of face detectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Protocol, Tuple

import numpy as np


@dataclass(frozen=True)
class Detection:
    """One face in an image.

    Attributes:
        box_xyxy: float32 [4], left, top, right, bottom in pixels; may extend beyond the image.
        points_xy: float32 [5, 2], right eye, left eye, nose tip, right and left mouth corner (the subject's right).
        score: 0..1; 1 if the detector gives none.
    """

    box_xyxy: np.ndarray
    points_xy: np.ndarray
    score: float


class Detector(Protocol):
    """Anything that finds faces; measurements record its ``name``."""

    name: str

    def detect(self, image_bgr: np.ndarray) -> List[Detection]:
        """Faces of a uint8 [H, W, 3] BGR image, largest first; empty if there are none."""
        ...


def bounded(image: np.ndarray, max_side_px: int) -> Tuple[np.ndarray, float]:
    import cv2

    scale = min(1.0, max_side_px / max(image.shape[:2]))
    if scale == 1.0:
        return image, 1.0
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


def largest_first(faces: List[Detection]) -> List[Detection]:
    def area(face: Detection) -> float:
        left, top, right, bottom = face.box_xyxy
        return float((right - left) * (bottom - top))

    return sorted(faces, key=area, reverse=True)

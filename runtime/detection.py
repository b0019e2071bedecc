"""Face detections, and the interface of face detectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Protocol, Sequence, Tuple, runtime_checkable

import numpy as np

from .errors import InputError

# Mean places of YuNet's five points in its box, in fractions of width and height: the mean over 146 press photos of
# faces; standard deviations are 0.03 (0.07 to 0.11 across, with yaw).
_POINTS_IN_BOX = np.array([[0.28, 0.38], [0.72, 0.38], [0.50, 0.59], [0.31, 0.75], [0.69, 0.75]])


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


def nearest_middle(faces: Sequence[Detection], image: np.ndarray) -> Detection:
    """The face whose box's middle is nearest the middle of the picture, uint8 [H, W, 3]."""
    middle = np.array([image.shape[1], image.shape[0]]) / 2
    return min(faces, key=lambda face: float(np.linalg.norm(np.reshape(face.box_xyxy, (2, 2)).mean(axis=0) - middle)))


@runtime_checkable
class FollowingDetector(Detector, Protocol):
    """A detector that can look for known faces alone, which costs less than searching the whole image."""

    def detect_near(self, image_bgr: np.ndarray, boxes_xyxy: Sequence[np.ndarray]) -> Optional[List[Detection]]:
        """Find faces again.

        Args:
            image_bgr: uint8 [H, W, 3].
            boxes_xyxy: float [4] each: where the faces were in the last frame.

        Returns:
            A detection per box, in order; None if a face is not there any more, or was not looked for.
        """
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


def from_boxes(boxes_xyxy: np.ndarray) -> List[Detection]:
    """Detections at boxes that the caller knows, with the points of the mean face.

    Args:
        boxes_xyxy: float [N, 4], left, top, right, bottom in pixels.

    Raises:
        InputError: another shape, or a box without area.
    """
    boxes = np.asarray(boxes_xyxy, np.float32)
    expected = "float [N, 4]: left, top, right, bottom in pixels"
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError("boxes", got=f"{list(boxes.shape)}", expected=expected)
    if not np.isfinite(boxes).all() or not (boxes[:, 2:] > boxes[:, :2]).all():
        raise InputError("boxes", got="a box without area", expected=expected)
    return [Detection(box, box[:2] + (_POINTS_IN_BOX * (box[2:] - box[:2])).astype(np.float32), 1.0) for box in boxes]


def from_points(points_xy: np.ndarray) -> List[Detection]:
    """Detections at points that the caller knows, with the box that YuNet would give the mean face.

    Args:
        points_xy: float [N, 5, 2], as in `Detection`.

    Raises:
        InputError: another shape, or points that aren't finite.
    """
    points = np.asarray(points_xy, np.float32)
    if points.ndim != 3 or points.shape[1:] != (5, 2) or not np.isfinite(points).all():
        got = f"{points.dtype} {list(points.shape)}"
        raise InputError("points", got=got, expected="finite float [N, 5, 2], in pixels")
    return [Detection(_box_around(face), face, 1.0) for face in points]


def _box_around(points_xy: np.ndarray) -> np.ndarray:
    """float32 [4]: the box in which the mean points have the same centre and spread."""
    sides = np.maximum(points_xy.std(axis=0) / _POINTS_IN_BOX.std(axis=0), 1.0)
    left_top = points_xy.mean(axis=0) - _POINTS_IN_BOX.mean(axis=0) * sides
    return np.concatenate([left_top, left_top + sides]).astype(np.float32)

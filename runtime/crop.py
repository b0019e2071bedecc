"""The crop rule: five facial points to the square that a model sees, and back.

This module owns every coordinate transform between image and crop. Training, export and runtime use the same code.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np

from .errors import InputError
from .manifest import CropSpec

# Larger than any image; beyond it, sums of squares lose precision.
_FARTHEST_PX = 1e7


def crop_matrix(points_xy: np.ndarray, spec: CropSpec) -> np.ndarray:
    """The similarity that maps five image points to the crop's template, by weighted least squares.

    Args:
        points_xy: float [5, 2], right eye, left eye, nose tip, right and left mouth corner (the subject's right), in
            image pixels, x to the right, y down.
        spec: the crop.

    Returns:
        float64 [2, 3]: image coordinates to crop coordinates, both with pixel centres at whole numbers.

    The solution is Umeyama's (IEEE TPAMI 13(4), 1991), restricted to rotations without reflection. In two dimensions a
    similarity is a complex factor and an offset, so it needs no singular value decomposition.

    Raises:
        InputError: not five finite points, or all at the same position.
    """
    points = np.asarray(points_xy, np.float64)
    if points.shape != (5, 2) or not (np.abs(points) <= _FARTHEST_PX).all():
        expected = f"five (x, y) within {_FARTHEST_PX:.0e} pixels of the corner"
        raise InputError("facial points", got=f"{points.shape}", expected=expected)
    source = points[:, 0] + 1j * points[:, 1]
    template = np.asarray(spec.template, np.float64) * spec.size_px - 0.5
    target = template[:, 0] + 1j * template[:, 1]
    weights = np.asarray(spec.weights, np.float64) / np.sum(spec.weights)
    source_mean, target_mean = np.sum(weights * source), np.sum(weights * target)
    centred = source - source_mean
    power = float(np.sum(weights * np.abs(centred) ** 2))
    if power < 1e-6:
        raise InputError("facial points", got="all in one place", expected="five distinct points")
    factor = np.sum(weights * np.conj(centred) * (target - target_mean)) / power
    offset = target_mean - factor * source_mean
    return np.array([[factor.real, -factor.imag, offset.real], [factor.imag, factor.real, offset.imag]])


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a [2, 3] affine transform: crop coordinates to image coordinates."""
    (a, b, x), (c, d, y) = matrix.tolist()
    size = a * d - b * c
    a, b, c, d = d / size, -b / size, -c / size, a / size
    return np.array([[a, b, -a * x - b * y], [c, d, -c * x - d * y]])


def transform(points_xy: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a [2, 3] transform to points [..., 2]."""
    moved: np.ndarray = np.asarray(points_xy, np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return moved


def crop_face(image_rgb: np.ndarray, points_xy: np.ndarray, spec: CropSpec) -> np.ndarray:
    """Crop one face.

    Args:
        image_rgb: uint8 [H, W, 3]; any channel order, which is kept.
        points_xy: as for ``crop_matrix``.
        spec: the crop.

    Returns:
        uint8 [size_px, size_px, 3]. Pixels outside the image repeat its edge.
    """
    import cv2

    matrix = crop_matrix(points_xy, spec)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    image, matrix = _shrink(image_rgb, matrix, spec.size_px, scale)
    if image.shape[:2] == (1, 1):
        # OpenCV 4.5 refuses an array of one pixel. Its edge is repeated below, so a second one changes nothing.
        image = np.repeat(image, 2, axis=0)
    size = (spec.size_px, spec.size_px)
    crop: np.ndarray = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return crop


def _shrink(image: np.ndarray, matrix: np.ndarray, size_px: int, scale: float) -> Tuple[np.ndarray, np.ndarray]:
    """Reduce a large face to about the crop's size by area averaging, because bilinear sampling alone would alias."""
    import cv2

    height, width = image.shape[:2]
    step = int(min(1 / scale + 1e-6, max(height, width)))
    if step < 2:
        return image, matrix
    corners = np.array([[0, 0], [size_px, 0], [0, size_px], [size_px, size_px]], np.float64)
    bounds = transform(corners, invert(matrix))
    x0, y0 = np.clip(np.floor(bounds.min(axis=0)) - step, 0, [width - 1, height - 1]).astype(int)
    x1, y1 = np.clip(np.ceil(bounds.max(axis=0)) + step, [x0 + 1, y0 + 1], [width, height]).astype(int)
    columns, rows = max(1, (x1 - x0) // step), max(1, (y1 - y0) // step)
    # A whole multiple of the step is reduced several times as fast.
    part = image[y0 : min(y1, y0 + rows * step), x0 : min(x1, x0 + columns * step)]
    small = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    ratio = np.array([part.shape[1] / small.shape[1], part.shape[0] / small.shape[0]])
    # small -> image coordinates (pixel centres at whole numbers), then image -> crop
    to_image = np.array([[ratio[0], 0, x0 + (ratio[0] - 1) / 2], [0, ratio[1], y0 + (ratio[1] - 1) / 2]])
    combined = np.hstack([matrix[:, :2] @ to_image[:, :2], (matrix[:, :2] @ to_image[:, 2] + matrix[:, 2])[:, None]])
    return small, combined

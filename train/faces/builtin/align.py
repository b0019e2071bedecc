"""Derives the five alignment points from 68 landmarks, as a face detector would place them."""

from __future__ import annotations

import numpy as np

# How far above the landmarks YuNet (2023mar) places right eye, left eye, nose tip, right and left mouth corner, in
# distances between the eyes: medians over 80 renders of the built-in head, all of which it detects.
DETECTOR_RISE = (0.01, 0.01, 0.09, 0.18, 0.18)


def five_points(landmarks_xy: np.ndarray, rise: tuple[float, ...] = DETECTOR_RISE) -> np.ndarray:
    """Return right eye, left eye, nose tip, right and left mouth corner (the subject's right and left).

    Args:
        landmarks_xy: float [68, 2], Multi-PIE order, y down.
        rise: how far a detector places each point above the landmarks, in distances between the eyes.

    Returns:
        float64 [5, 2].
    """
    points = np.asarray(landmarks_xy, np.float64)
    right, left = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    across = left - right
    up = np.array([across[1], -across[0]])
    return np.stack([right, left, points[30], points[48], points[54]]) + np.array(rise)[:, None] * up


def jitter(points_xy: np.ndarray, rng: np.random.Generator, spread: float = 0.025) -> np.ndarray:
    """Jitter the points as a detector does from frame to frame: all together, and each on its own by slightly less.

    ``spread`` is a standard deviation in distances between the eyes.
    """
    scale = spread * float(np.hypot(*(points_xy[1] - points_xy[0])))
    together = rng.normal(0, scale, (1, 2)) * (2.0 if rng.random() < 0.15 else 1.0)
    moved: np.ndarray = points_xy + together + rng.normal(0, scale * 0.8, points_xy.shape)
    return moved

"""From 68 landmarks to the five points that crops are aligned by, as a detector would place them."""

from __future__ import annotations

import numpy as np

# What a face detector's mouth corners lie above landmarks 48 and 54, in distances between the eyes.
DETECTOR_MOUTH_RISE = 0.0


def five_points(landmarks_xy: np.ndarray, mouth_rise: float = DETECTOR_MOUTH_RISE) -> np.ndarray:
    """Right eye, left eye, nose tip, right and left mouth corner (the subject's right first).

    Args:
        landmarks_xy: float [68, 2], Multi-PIE order, y down.
        mouth_rise: how far a detector places mouth corners above landmarks 48 and 54, in distances between the eyes.

    Returns:
        float64 [5, 2].
    """
    points = np.asarray(landmarks_xy, np.float64)
    right, left = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    nose = points[30]
    corners = points[[48, 54]]
    up = -np.array([-(left - right)[1], (left - right)[0]])
    return np.concatenate([np.stack([right, left, nose]), corners + mouth_rise * up])


def jitter(points_xy: np.ndarray, rng: np.random.Generator, spread: float = 0.025) -> np.ndarray:
    """Move the points as a detector's do from frame to frame: together by little, each by less.

    ``spread`` is a standard deviation in distances between the eyes.
    """
    scale = spread * float(np.hypot(*(points_xy[1] - points_xy[0])))
    together = rng.normal(0, scale, (1, 2)) * (2.0 if rng.random() < 0.15 else 1.0)
    moved: np.ndarray = points_xy + together + rng.normal(0, scale * 0.8, points_xy.shape)
    return moved

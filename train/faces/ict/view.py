"""From a posed head to crop pixels: the pinhole camera, and face-detector points with their jitter."""

from __future__ import annotations

import numpy as np

from .appearance import Shot

# Offset of YuNet's five points from ours, measured on renders, in eye distances: (outwards, up).
_DETECTOR_OFFSET = np.array([(0.01, 0.05), (0.01, 0.05), (0.0, -0.02), (0.05, 0.125), (0.05, 0.125)])
_DETECTOR_SCALE = 1.035  # remaining difference: YuNet's points lie slightly closer together
_CORNERS_FOLLOW = 0.3  # fraction of a mouth corner's motion from neutral that YuNet's corner follows
_NOSE_LAG = 0.2  # eye distances by which YuNet's nose tip lags in profile


class Camera:
    """A pinhole camera on the z axis, facing the head. Its image plane passes through the head, in centimetres."""

    def __init__(self, distance_cm: float) -> None:
        self._distance = distance_cm

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points [..., 3] to the image plane: [..., 2], x to the right, y down."""
        depth = 1 - points[..., 2:] / self._distance
        projected: np.ndarray = points[..., :2] * [1, -1] / depth
        return projected

    def clip(self, matrix: np.ndarray, size_px: int) -> np.ndarray:
        """[4, 4]: from the camera frame to clip coordinates of a crop; the first row of pixels is at the bottom."""
        scale = 2 / size_px
        linear, offset = matrix[:, :2] * scale, (matrix[:, 2] + 0.5) * scale - 1
        projection = np.zeros((4, 4))
        depth = np.array([0, 0, -1 / self._distance, 1])
        projection[:2, 0], projection[:2, 1] = linear[:, 0], -linear[:, 1]
        projection[:2] += offset[:, None] * depth
        projection[2] = 0.9 * (depth - [0, 0, 0, 1])
        projection[3] = depth
        return projection

    def z_of_depth(self, depth: np.ndarray) -> np.ndarray:
        """z in the camera frame (cm) of depth-buffer values."""
        z: np.ndarray = self._distance * (1 - 1 / (1 - (depth * 2 - 1) / 0.9))
        return z


def head_rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    """[3, 3]: yaw to the subject's left, pitch up, roll to the subject's left; roll is applied first."""
    (cy, cp, cr), (sy, sp, sr) = (f(np.radians([yaw_deg, pitch_deg, roll_deg])) for f in (np.cos, np.sin))
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    roll = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    rotation: np.ndarray = yaw @ pitch @ roll
    return rotation


_FIVE_OF_68 = np.zeros((5, 68), np.float32)
for _row, _points in enumerate((range(36, 42), range(42, 48), (30,), (48,), (54,))):
    _FIVE_OF_68[_row, list(_points)] = 1 / len(_points)


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """[5, D]: right and left eye, nose tip, right and left mouth corner, from 68 points [68, D]."""
    five: np.ndarray = _FIVE_OF_68 @ landmarks
    return five


def followed(landmarks: np.ndarray, resting: np.ndarray) -> np.ndarray:
    """[5, 3]: the five points of landmarks [68, 3], moved from rest only as far as a detector follows."""
    five, rest = five_points(landmarks), five_points(resting)
    five[3:] = rest[3:] + _CORNERS_FOLLOW * (five[3:] - rest[3:])
    return five


def detected(points: np.ndarray, yaw_deg: float, shot: Shot) -> np.ndarray:
    """Move five image points [5, 2] to where a detector would report them in this shot."""
    across = points[1] - points[0]
    up = np.array([across[1], -across[0]])
    sideways = np.array([-1.0, 1.0, 0.0, -1.0, 1.0]) * _DETECTOR_OFFSET[:, 0]
    sideways[2] -= _NOSE_LAG * np.sin(np.radians(yaw_deg))
    offset = sideways[:, None] * across + _DETECTOR_OFFSET[:, 1:] * up
    reported: np.ndarray = points + offset + shot.point_jitter * np.linalg.norm(across)
    return reported


def jittered(matrix: np.ndarray, shot: Shot, size_px: int) -> np.ndarray:
    angle = np.radians(shot.roll_deg)
    turn = _DETECTOR_SCALE * shot.scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.full(2, size_px / 2 - 0.5)
    moved = np.hstack(
        [turn @ matrix[:, :2], (turn @ (matrix[:, 2] - centre) + centre + shot.shift * size_px * 0.3)[:, None]]
    )
    return moved

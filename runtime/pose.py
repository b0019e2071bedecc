"""Where a head points, from five facial points.

The method is the first step of POSIT (DeMenthon and Davis, "Model-Based Object Pose in 25 Lines of Code", IJCV 15,
1995): under scaled orthographic projection the image of known 3D points is linear in the first two rows of the
rotation, which are fitted by least squares. It needs no camera parameters; perspective at arm's length costs it a few
degrees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, List, Tuple

import numpy as np

# Right and left eye (centres), nose tip, right and left mouth corner of the mean head of ICT-FaceKit's light model (USC
# ICT, MIT licence), in centimetres; x to the subject's left, y up, z to the front.
_HEAD_CM = np.array(
    [[-3.26, 3.44, 9.22], [3.26, 3.44, 9.22], [0.0, 0.41, 13.07], [-2.53, -3.52, 10.19], [2.53, -3.52, 10.19]]
)
# [3, 5]: what solves the least squares for points relative to their mean.
_SOLVE = np.linalg.pinv(_HEAD_CM - _HEAD_CM.mean(axis=0))


@dataclass(frozen=True)
class HeadPose:
    """Rotation of a head from facing the camera: by pitch, then yaw, then roll in the image's plane.

    Attributes:
        yaw_deg: -90..90; positive where the nose points to the image's right.
        pitch_deg: -180..180; positive where it points up.
        roll_deg: -180..180; positive where the head is tilted clockwise in the image.
    """

    yaw_deg: float
    pitch_deg: float
    roll_deg: float

    def to_dict(self) -> Dict[str, float]:
        """Plain values by name."""
        return {"yaw_deg": self.yaw_deg, "pitch_deg": self.pitch_deg, "roll_deg": self.roll_deg}


def head_pose(points_xy: np.ndarray) -> HeadPose:
    """Pose from five image points.

    Args:
        points_xy: float [5, 2], as in ``Detection``.
    """
    points = np.asarray(points_xy, np.float64) * (1, -1)
    side, up = _orthonormal(*(_SOLVE @ (points - points.mean(axis=0))).T)
    front = (side[1] * up[2] - side[2] * up[1], side[2] * up[0] - side[0] * up[2], side[0] * up[1] - side[1] * up[0])
    yaw = math.asin(max(-1.0, min(1.0, -front[0])))
    pitch, roll = math.atan2(-front[1], front[2]), -math.atan2(up[0], side[0])
    return HeadPose(math.degrees(yaw), math.degrees(pitch), math.degrees(roll))


def _orthonormal(a: np.ndarray, b: np.ndarray) -> Tuple[List[float], List[float]]:
    """The nearest two orthogonal unit vectors: (A A^T)^(-1/2) A, with a 2 by 2 matrix's root in closed form."""
    aa, ab, bb = float(a @ a), float(a @ b), float(b @ b)
    root = math.sqrt(max(aa * bb - ab * ab, 0.0))
    scale = math.sqrt(aa + bb + 2 * root) / max((aa + root) * (bb + root) - ab * ab, 1e-12)
    return (scale * ((bb + root) * a - ab * b)).tolist(), (scale * ((aa + root) * b - ab * a)).tolist()

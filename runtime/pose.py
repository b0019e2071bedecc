"""Where a head points, from five facial points.

The method is the first step of POSIT (DeMenthon and Davis, "Model-Based Object Pose in 25 Lines of Code", IJCV 15,
1995): under scaled orthographic projection the image of known 3D points is linear in the first two rows of the
rotation, which are fitted by least squares. It needs no camera parameters; perspective at arm's length costs it a few
degrees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict

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
    rows = (_SOLVE @ (points - points.mean(axis=0))).T
    # The nearest two orthogonal unit vectors.
    left, _, right = np.linalg.svd(rows, full_matrices=False)
    side, up = left @ right
    front = np.cross(side, up)
    yaw = math.asin(max(-1.0, min(1.0, -front[0])))
    pitch, roll = math.atan2(-front[1], front[2]), -math.atan2(up[0], side[0])
    return HeadPose(math.degrees(yaw), math.degrees(pitch), math.degrees(roll))

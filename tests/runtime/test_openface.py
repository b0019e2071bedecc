from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeau.runtime.face import Face
from edgeau.runtime.openface import openface_columns, openface_line, openface_rotation
from edgeau.runtime.pose import HeadPose
from edgeau.runtime.records import rows_of

AUS = ("AU12", "AU04")
FACE = Face(
    3, (1.0, 2.0, 3.0, 4.0), np.zeros((5, 2)), 0.876, {"AU12": 0.75, "AU04": 0.2}, {"AU12": True, "AU04": False}, {},
    True, {"AU12": 3.14159, "AU04": 0.0},
)  # fmt: skip


def test_a_line_has_the_columns_and_precision_of_openface() -> None:
    """The precision of each column is that of ``setprecision`` in OpenFace 2.2.0's RecorderCSV.cpp."""
    (row,) = rows_of("clip.mp4", 7, 0.28, [FACE], AUS, intensity=True)
    row.update(HeadPose(0.0, 10.0, 0.0).to_dict())
    columns = openface_columns(AUS, intensity=True)
    cells = dict(zip(columns, openface_line(row, AUS, intensity=True).split(",")))
    assert cells == {
        "frame": "8", "face_id": "3", "timestamp": "0.280", "confidence": "0.88", "success": "1",
        "pose_Rx": "-0.175", "pose_Ry": "0.000", "pose_Rz": "0.000",
        "AU04_r": "0.00", "AU12_r": "3.14", "AU04_c": "0.0", "AU12_c": "1.0",
    }  # fmt: skip


def test_a_frame_without_a_face_has_success_0_and_zeros() -> None:
    (row,) = rows_of("clip.mp4", 0, 0.0, [], AUS)
    assert openface_line(row, AUS, intensity=False) == "1,0,0.000,0.00,0,0.000,0.000,0.000,0.0,0.0"


def euler_to_rotation(rx: float, ry: float, rz: float) -> np.ndarray:
    """OpenFace's own matrix for its angles: the entries of ``Euler2RotationMatrix`` in its RotationHelpers.h."""
    (s1, s2, s3), (c1, c2, c3) = np.sin([rx, ry, rz]), np.cos([rx, ry, rz])
    return np.array(
        [
            [c2 * c3, -c2 * s3, s2],
            [c1 * s3 + c3 * s1 * s2, c1 * c3 - s1 * s2 * s3, -c2 * s1],
            [s1 * s3 - c1 * c3 * s2, c3 * s1 + c1 * s2 * s3, c1 * c2],
        ]
    )


@pytest.mark.parametrize(
    ("angles", "towards"),
    [((30, 0, 0), (1, 0)), ((-30, 0, 0), (-1, 0)), ((0, 30, 0), (0, -1)), ((0, -30, 0), (0, 1))],
)
def test_the_nose_points_in_the_direction_of_the_pose(angles: tuple[int, int, int], towards: tuple[int, int]) -> None:
    """Positive yaw is the image's right and positive pitch is up; OpenFace's x is right, y down, z away."""
    nose = euler_to_rotation(*openface_rotation(*angles)) @ (0, 0, -1)
    assert nose[:2] == pytest.approx(np.multiply(towards, math.sin(math.radians(30))), abs=1e-9)


@given(st.floats(-80, 80), st.floats(-80, 80), st.floats(-170, 170))
def test_the_rotation_is_pitch_then_yaw_then_roll(yaw: float, pitch: float, roll: float) -> None:
    ours = (
        euler_to_rotation(0, 0, math.radians(roll))
        @ euler_to_rotation(0, math.radians(-yaw), 0)
        @ euler_to_rotation(math.radians(-pitch), 0, 0)
    )
    assert euler_to_rotation(*openface_rotation(yaw, pitch, roll)) == pytest.approx(ours, abs=1e-9)

"""Rows in the columns of OpenFace 2, so that scripts written for its files read ours.

Names, order and units are those of OpenFace 2.2 (Baltrusaitis et al., FG 2018), ``RecorderCSV.cpp`` and the wiki page
"Output Format": frames count from 1, ``confidence`` is the detector's score, ``AU12_c`` is presence 0 or 1 and
``AU12_r`` intensity 0..5. Columns of what edgeau doesn't measure (gaze, landmarks, position) are left out, as OpenFace
does without the matching option. There is no column for the source, so that a file holds one.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

Row = Dict[str, Any]

_PLACE = ("frame", "face_id", "timestamp", "confidence", "success")
_POSE = ("pose_Rx", "pose_Ry", "pose_Rz")


def openface_columns(aus: Sequence[str], *, intensity: bool) -> Tuple[str, ...]:
    """Column names, in OpenFace's order; ``_r`` only for a model with intensities."""
    names = sorted(aus)
    rated = [f"{au}_r" for au in names] if intensity else []
    return (*_PLACE, *_POSE, *rated, *(f"{au}_c" for au in names))


def openface_line(row: Row, aus: Sequence[str], *, intensity: bool) -> str:
    """A row of ``records.rows_of`` as a line, without its newline. A frame without a face is 0 in all columns, as in
    OpenFace: tell it by its ``success``."""
    names, present = sorted(aus), bool(row["success"])
    cells = [str(row["frame"] + 1), str(row["track_id"] or 0), f"{row['time_s']:.3f}"]
    cells += [f"{row['score'] or 0:.2f}", str(row["success"])]
    pose = openface_rotation(row["yaw_deg"], row["pitch_deg"], row["roll_deg"]) if present else (0.0, 0.0, 0.0)
    cells += [f"{round(angle, 3) + 0.0:.3f}" for angle in pose]
    rated: List[str] = [f"{row[f'{au}_intensity'] or 0:.2f}" for au in names] if intensity else []
    return ",".join([*cells, *rated, *(f"{row[f'{au}_present'] or 0:.1f}" for au in names)])


def openface_rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Tuple[float, float, float]:
    """OpenFace's ``pose_Rx``, ``pose_Ry`` and ``pose_Rz`` in radians for a `HeadPose`.

    OpenFace's rotation is ``Rx Ry Rz`` with x to the image's right, y down and z away from the camera (its
    ``RotationHelpers.h``), so that positive angles are a head that looks down, one that looks to the image's left, and
    one that is tilted clockwise.
    """
    pitch, yaw, roll = np.radians([-pitch_deg, -yaw_deg, roll_deg])
    rotation = _about(2, roll) @ _about(1, yaw) @ _about(0, pitch)
    ry = math.asin(max(-1.0, min(1.0, rotation[0, 2])))
    rx = math.atan2(-rotation[1, 2], rotation[2, 2])
    return rx, ry, math.atan2(-rotation[0, 1], rotation[0, 0])


def _about(axis: int, angle: float) -> np.ndarray:
    """The matrix that turns by an angle about one axis, right-handed."""
    cosine, sine = math.cos(angle), math.sin(angle)
    one, other = [i for i in range(3) if i != axis]
    sign = -1 if axis == 1 else 1
    matrix = np.eye(3)
    matrix[one, one] = matrix[other, other] = cosine
    matrix[one, other], matrix[other, one] = -sign * sine, sign * sine
    return matrix

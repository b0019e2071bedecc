"""Head pose from the points of a head other than the one in the formula: dlib's and OpenCV's sample model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeau.runtime.pose import head_pose

# The sparse head that circulates with OpenCV's head pose samples (learnopencv.com, "Head Pose Estimation using OpenCV
# and Dlib"): eyes' outer corners, nose tip, mouth corners; x to the subject's left, y up, z forward. The centres of the
# eyes, which detectors give, are at two thirds of that distance from the nose.
OUTSIDE = np.array([[-150, 170, -135], [150, 170, -135], [0, 0, 0], [-100, -150, -125], [100, -150, -125]]) * (
    [0.67, 1, 1],
    [0.67, 1, 1],
    [1, 1, 1],
    [1, 1, 1],
    [1, 1, 1],
)
MARGIN_DEG = 8.0


def image_of(yaw_deg: float, pitch_deg: float, roll_deg: float, distance: float = 2000.0) -> np.ndarray:
    """Five points of the head under perspective, as a camera at this distance sees them; y down."""
    yaw, pitch, roll = (math.radians(v) for v in (yaw_deg, pitch_deg, -roll_deg))
    about_y = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]])
    about_z = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    turned = OUTSIDE @ (about_z @ about_y @ about_x).T
    return 300 + 800 * turned[:, :2] * (1, -1) / (distance - turned[:, 2:])


@pytest.mark.parametrize("yaw", [-40, -20, 0, 20, 40])
@pytest.mark.parametrize("pitch", [-25, 0, 25])
@pytest.mark.parametrize("roll", [-30, 0, 30])
def test_the_pose_of_another_head_is_recovered(yaw: float, pitch: float, roll: float) -> None:
    pose, frontal = head_pose(image_of(yaw, pitch, roll)), head_pose(image_of(0, 0, 0))
    assert pose.yaw_deg == pytest.approx(yaw, abs=MARGIN_DEG)
    # Heads differ in how far the nose is below the eyes, which shifts every pitch by the same amount.
    assert pose.pitch_deg - frontal.pitch_deg == pytest.approx(pitch, abs=MARGIN_DEG)
    assert pose.roll_deg == pytest.approx(roll, abs=MARGIN_DEG)


def test_a_face_turned_to_the_right_of_the_image_has_positive_yaw() -> None:
    points = np.array([[40, 50], [70, 50], [68, 68], [48, 85], [68, 85]], np.float32)
    assert head_pose(points).yaw_deg > 15


def test_turning_the_picture_clockwise_increases_roll(photo_bgr: np.ndarray) -> None:
    points = np.array([[200.1, 101.8], [247.1, 102.6], [220.4, 124.5], [198.6, 142.8], [239.7, 143.6]])
    clockwise = np.stack([photo_bgr.shape[0] - points[:, 1], points[:, 0]], axis=1)
    assert head_pose(clockwise).roll_deg - head_pose(points).roll_deg == pytest.approx(90, abs=1e-3)

"""The OpenCV builds found on boards: JetPack's, Debian's, and pip's from 4.5 on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeau.runtime import detect, opencv
from edgeau.runtime.commands import doctor
from edgeau.runtime.detect import HaarDetector, OpenCvYuNet, default_detector
from edgeau.runtime.errors import InputError
from edgeau.runtime.machine import Machine
from edgeau.runtime.video import open_video


@pytest.fixture
def debian(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV as Debian 12 builds it: 4.6.0, with neither ``cv2.data`` nor ``cv2.utils.logging``."""
    monkeypatch.delattr(cv2, "data", raising=False)
    monkeypatch.delattr(cv2, "utils", raising=False)
    monkeypatch.setattr(cv2, "__version__", "4.6.0")


def detector_check() -> doctor.Check:
    return next(check for check in doctor.examine_software(Machine()) if check.name == "face detector")


def test_cascades_are_found_where_debian_installs_them(
    debian: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "haarcascade_frontalface_default.xml").write_text("<x/>")
    monkeypatch.setattr(opencv, "_CASCADE_FOLDERS", ("/no/such/folder", str(tmp_path)))
    assert opencv.cascade_folder() == tmp_path


def test_without_cascades_the_error_names_the_package_to_install(debian: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv, "_CASCADE_FOLDERS", ("/no/such/folder",))
    with pytest.raises(InputError, match=r"OpenCV 4\.6\.0 without them.*apt-get install opencv-data"):
        HaarDetector()
    check = detector_check()
    assert (check.ok, check.hint) == (False, "sudo apt-get install opencv-data")


def test_a_video_is_read_by_builds_without_logging_functions(debian: None, tmp_path: Path) -> None:
    file = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    assert [number for number, _, _ in open_video(str(file))] == [0]


def test_quiet_restores_the_log_level() -> None:
    levels = opencv._log_level_functions()
    if levels is None:
        pytest.skip("this build of OpenCV has no log level")
    before = levels[0]()
    with opencv.quiet():
        assert levels[0]() == 0
    assert levels[0]() == before


@pytest.mark.parametrize("version", ["4.2.0", "4.5.4", "4.7.0"])
def test_an_opencv_too_old_for_yunet_falls_back_to_haar(
    version: str, yunet_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "__version__", version)
    monkeypatch.setattr(detect, "missing", lambda backend: f"{backend} is not installed")
    monkeypatch.setenv("EDGEAU_YUNET", str(yunet_path))
    with pytest.raises(InputError, match=rf"YuNet: got OpenCV {version}, needs 4\.8"):
        OpenCvYuNet(yunet_path)
    assert default_detector().name == "haar"
    check = detector_check()
    assert check.ok is None
    assert f"OpenCV {version}, needs 4.8" in check.text


def test_an_opencv_without_facedetectoryn_cannot_run_yunet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "FaceDetectorYN", raising=False)
    assert opencv.yunet_obstacle() is not None


def test_opencv_5_without_cascades_is_refused_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(InputError, match="opencv-python<5"):
        HaarDetector()

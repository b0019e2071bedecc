from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeau.runtime import detect, opencv
from edgeau.runtime.detect import HaarDetector, default_detector, make_detector, open_yunet
from edgeau.runtime.errors import InputError

# The astronaut's eyes and mouth corners, read off the picture by eye; right is the subject's.
EYES_AND_MOUTH = {0: (200, 101), 1: (248, 103), 3: (200, 143), 4: (240, 144)}
MARGIN_PX = 6


def test_haar_finds_the_face_in_the_photo_and_its_eyes(photo_bgr: np.ndarray) -> None:
    (face,) = HaarDetector().detect(photo_bgr)
    left, top, right, bottom = face.box_xyxy
    assert left < 200 < 248 < right
    assert top < 101 < 144 < bottom
    for index in (0, 1):
        assert np.abs(face.points_xy[index] - EYES_AND_MOUTH[index]).max() < MARGIN_PX


def test_yunet_finds_the_face_in_the_photo_and_its_points(photo_bgr: np.ndarray, yunet_path: Path) -> None:
    (face,) = open_yunet(yunet_path).detect(photo_bgr)
    for index, place in EYES_AND_MOUTH.items():
        assert np.abs(face.points_xy[index] - place).max() < MARGIN_PX
    assert face.score > 0.8


def test_haar_finds_the_same_points_in_an_enlarged_image(photo_bgr: np.ndarray) -> None:
    import cv2

    doubled = cv2.resize(photo_bgr, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    (small,), (large,) = HaarDetector().detect(photo_bgr), HaarDetector().detect(doubled)
    assert np.abs(large.points_xy / 3 - small.points_xy).max() < MARGIN_PX


def test_a_picture_without_a_face_gives_an_empty_list() -> None:
    assert HaarDetector().detect(np.full((240, 320, 3), 127, np.uint8)) == []


def test_without_yunet_the_default_is_haar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEAU_CACHE", str(tmp_path))
    assert default_detector().name == "haar"


@pytest.mark.parametrize(
    ("installed", "name"), [(("onnxruntime", "openvino"), "yunet"), (("openvino",), "yunet"), ((), "yunet-opencv")]
)
def test_yunet_runs_on_whichever_backend_is_installed(
    installed: tuple[str, ...], name: str, monkeypatch: pytest.MonkeyPatch, yunet_path: Path
) -> None:
    monkeypatch.setenv("EDGEAU_YUNET", str(yunet_path))
    monkeypatch.setattr(detect, "missing", lambda backend: None if backend in installed else "not installed")
    if not installed and opencv.yunet_obstacle():
        name = "haar"
    assert default_detector().name == name


def test_a_wrong_yunet_path_is_named_in_the_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEAU_YUNET", str(tmp_path / "absent.onnx"))
    with pytest.raises(InputError, match=r"EDGEAU_YUNET.*no such file"):
        default_detector()
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"YuNet file .*garbage\.onnx"):
        make_detector(str(garbage))

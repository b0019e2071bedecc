"""A package's detector files agree with OpenCV's FaceDetectorYN; INT8 is kept only if it does too."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from edgeau.optimize.detector_files import add_detector
from edgeau.optimize.engine.bundle import make_bundle
from edgeau.optimize.engine.detector import MAX_SHIFT_PX, rows_shift_px
from edgeau.optimize.lint import lint
from edgeau.optimize.lint.importer import ask_importer
from edgeau.runtime.backends import open_backend
from edgeau.runtime.choose import load
from edgeau.runtime.opencv import yunet_obstacle
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.sources import open_source
from edgeau.runtime.yunet import MIN_SCORE, find_in_canvas

SIZE = (384, 640)
FRAMES = 12


@pytest.fixture(scope="module")
def pictures(clip_path: Path, photo_bgr: np.ndarray, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    frames = [frame.image_bgr for frame in islice(open_source(str(clip_path)).frames, 0, None, 40)][:FRAMES]
    small = cv2.resize(photo_bgr, (384, 384), interpolation=cv2.INTER_AREA)
    for index, image in enumerate([*frames, small]):
        cv2.imwrite(str(folder / f"{index:02}.png"), image)
    return folder


@pytest.fixture(scope="module")
def with_detector(pictures, yunet_path, tmp_path_factory) -> tuple[Package, list[str]]:
    """The shipped package with the detector, and the progress messages."""
    package = Package.open(shipped_package()).copy_to(tmp_path_factory.mktemp("packages") / "with.edgeau")
    messages: list[str] = []
    add_detector(package, yunet_path, str(pictures), sizes=(SIZE,), progress=messages.append)
    return package, messages


def opencv_rows(yunet_path: Path, canvas: np.ndarray) -> np.ndarray:
    reason = yunet_obstacle()
    if reason is not None:
        pytest.skip(reason)
    net = cv2.FaceDetectorYN.create(str(yunet_path), "", (SIZE[1], SIZE[0]), MIN_SCORE)
    rows = net.detect(canvas)[1]
    return np.zeros((0, 15), np.float32) if rows is None else rows


@pytest.mark.parametrize("kind", ["fp32", "fp16"])
def test_boxes_and_points_agree_with_opencv_within_half_a_pixel(with_detector, pictures, yunet_path, kind):
    with open_backend("onnxruntime", with_detector[0].path / "detector" / f"yunet-640x384.{kind}.onnx") as backend:
        for file in sorted(pictures.iterdir()):
            canvas = np.zeros((*SIZE, 3), np.uint8)
            image = cv2.imread(str(file))
            canvas[: image.shape[0], : image.shape[1]] = image
            rows = find_in_canvas(backend, canvas, MIN_SCORE)
            assert rows_shift_px(opencv_rows(yunet_path, canvas), rows) < MAX_SHIFT_PX


def test_int8_is_kept_only_within_the_bound_and_its_shift_is_reported(with_detector):
    kept = (with_detector[0].path / "detector" / "yunet-640x384.int8.onnx").is_file()
    assert any(
        ("FP16 is built instead" in line) is not kept and "INT8 moves faces by" in line for line in with_detector[1]
    )


def test_tensorrt_reads_every_graph(with_detector):
    for file in sorted((with_detector[0].path / "detector").glob("yunet-*.onnx")):
        model = onnx.load(file)
        for target in ("tensorrt-8.5", "tensorrt-10.3"):
            assert not [finding for finding in lint(model, target) if finding.severity == "error"]
        verdict = ask_importer(model)
        assert verdict is None or (verdict.taken, verdict.warnings) == (True, ())


def test_load_uses_the_packages_own_detector(with_detector, photo_bgr, monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEAU_CACHE", str(tmp_path))
    monkeypatch.delenv("EDGEAU_YUNET", raising=False)
    with load(with_detector[0].path) as analyzer:
        assert analyzer.detector.name == "yunet"
        assert len(analyzer.still(photo_bgr)) == 1


def test_a_bundle_includes_the_detectors_graphs(with_detector, tmp_path):
    from edgeau.optimize.engine.job import MakeOptions

    bundle = make_bundle(with_detector[0], "orin-nano:6.2", MakeOptions(precision="fp32"), tmp_path / "bundle.sh")
    assert {"with.edgeau/detector/yunet.onnx", "with.edgeau/detector/yunet-640x384.fp32.onnx"} <= set(bundle.contents)

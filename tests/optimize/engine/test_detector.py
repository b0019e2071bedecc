"""A package's detector: graphs, engines for every TensorRT, and the ladder when an engine moves faces."""

import dataclasses
import shutil

import numpy as np
import pytest

from edgeau.optimize.engine import detector
from edgeau.optimize.engine.capabilities import capabilities
from edgeau.optimize.engine.detector import (
    DEFAULT_SIZES,
    add_graphs,
    build_detector,
    read_sizes,
    rows_shift_px,
    rungs,
    sizes_in,
)
from edgeau.runtime.choose import DETECTOR_ENGINES, detector_engines
from edgeau.runtime.engine_file import read_sidecar
from edgeau.runtime.errors import EngineError, InputError
from edgeau.runtime.machine import Machine
from edgeau.runtime.package import Package

THOR = Machine(model="NVIDIA Jetson AGX Thor Developer Kit", compute_capability="11.0", tensorrt="10.13.3")
ORIN = Machine(model="NVIDIA Jetson Orin Nano Developer Kit", compute_capability="8.7")


@pytest.fixture
def with_detector(package, yunet_path):
    """The toy package with YuNet's graphs."""
    add_graphs(package.path / DETECTOR_ENGINES, yunet_path)
    return package


def test_each_size_has_a_graph_and_copies_include_them(with_detector, tmp_path):
    assert sizes_in(with_detector.path / DETECTOR_ENGINES) == sorted(DEFAULT_SIZES)
    copy = with_detector.copy_to(tmp_path / "copy.edgeau")
    assert sizes_in(copy.path / DETECTOR_ENGINES) == sorted(DEFAULT_SIZES)
    assert Package.open(copy.path).manifest == with_detector.manifest


@pytest.mark.parametrize("version", ["8.5", "10.3", "10.16", "11.1"])
def test_every_tensorrt_builds_one_engine_per_size(with_detector, fake_tensorrt, version):
    trt = fake_tensorrt(version)
    engines = build_detector(with_detector.path, trt=trt, machine=ORIN, check=False)
    # TensorRT 11 needs an FP16 file, which add_graphs alone doesn't make.
    precision = "fp16" if "FP16" in capabilities(trt).precision_flags else "fp32"
    assert [path.name for path in engines] == [
        f"yunet-{size}.orin-nano.trt{version}.0.{precision}.engine" for size in ("160x160", "640x384")
    ]
    sidecar = read_sidecar(engines[1])
    assert sidecar.onnx_file == "yunet-640x384.fp32.onnx"
    assert (sidecar.batch, sidecar.precision) == ((1, 1, 1), precision)


def test_a_package_without_a_detector_builds_no_detector_engines(package, fake_tensorrt):
    assert build_detector(package.path, trt=fake_tensorrt("10.3"), machine=ORIN) == []


def test_an_engine_that_moves_faces_is_replaced_by_the_next_precision(with_detector, fake_tensorrt, monkeypatch):
    monkeypatch.setattr(detector, "shift_px", lambda folder, size, engine: 3.0 if ".fp16." in engine.name else 0.1)
    engines = build_detector(with_detector.path, trt=fake_tensorrt("10.3"), machine=ORIN)
    assert all(".fp32." in path.name for path in engines)
    assert "faces move by 3.00 px" in read_sidecar(engines[0]).ladder[0]
    assert len(list((with_detector.path / DETECTOR_ENGINES).glob("*.engine"))) == len(DEFAULT_SIZES)
    monkeypatch.setattr(detector, "shift_px", lambda folder, size, engine: float("inf"))
    with pytest.raises(EngineError, match="no engine of the detector could be built: fp16: faces move by inf px"):
        build_detector(with_detector.path, trt=fake_tensorrt("10.3"), machine=ORIN)


def test_int8_is_built_only_if_its_graph_was_kept(with_detector, fake_tensorrt):
    folder, able = with_detector.path / DETECTOR_ENGINES, capabilities(fake_tensorrt("10.3"))
    assert [rung.precision for rung in rungs(folder, DEFAULT_SIZES[0], "int8", able)] == ["fp16", "fp32"]
    shutil.copyfile(folder / "yunet-640x384.fp32.onnx", folder / "yunet-640x384.int8.onnx")
    assert [rung.precision for rung in rungs(folder, DEFAULT_SIZES[0], "int8", able)] == ["int8", "fp16", "fp32"]
    assert [rung.precision for rung in rungs(folder, DEFAULT_SIZES[0], "fp16", able)] == ["fp16", "fp32"]


def test_engines_of_another_machine_are_skipped(with_detector, fake_tensorrt, monkeypatch):
    """`load()` then uses the file itself or the default detector."""
    engines = build_detector(with_detector.path, trt=fake_tensorrt("10.3"), machine=ORIN, check=False)
    folder = with_detector.path / DETECTOR_ENGINES
    monkeypatch.setattr("edgeau.runtime.machine.read_machine", lambda: dataclasses.replace(ORIN, tensorrt="10.3.0"))
    assert detector_engines(folder) == sorted(engines)
    monkeypatch.setattr("edgeau.runtime.machine.read_machine", lambda: THOR)
    assert detector_engines(folder) == []


def test_the_shift_is_the_largest_and_infinite_if_faces_differ_in_number():
    rows = np.arange(30, dtype=np.float32).reshape(2, 15)
    moved = rows[::-1].copy()
    moved[0, 3] += 0.25
    assert rows_shift_px(rows, moved) == pytest.approx(0.25)
    assert rows_shift_px(rows, rows[:1]) == float("inf")
    assert rows_shift_px(rows[:0], rows[:0]) == 0


def test_sizes_are_width_by_height():
    assert read_sizes("640x384,160x160") == DEFAULT_SIZES
    with pytest.raises(InputError, match="WIDTHxHEIGHT"):
        read_sizes("640")


def test_a_file_other_than_yunet_is_refused_and_nothing_is_written(package):
    with pytest.raises(InputError, match="outputs au"):
        add_graphs(package.path / DETECTOR_ENGINES, package.path / "fp32.onnx")
    assert not (package.path / DETECTOR_ENGINES).exists()
    assert dataclasses.asdict(package.manifest) == dataclasses.asdict(Package.open(package.path).manifest)

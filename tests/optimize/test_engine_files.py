"""The files for building engines are made for the TensorRT version that reads them and linted before each build."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from fakes.tensorrt import VERSIONS, make_tensorrt

from edgeau.optimize.engine.capabilities import capabilities, capabilities_of
from edgeau.optimize.engine.job import MakeOptions
from edgeau.optimize.engine.ladder import find_rung
from edgeau.optimize.engine_files import lint_files, prepare_for, versions_of
from edgeau.optimize.lint import lint, read_onnx
from edgeau.optimize.single import add_fp32_for
from edgeau.optimize.variants import store
from edgeau.runtime.cli import main
from edgeau.runtime.errors import InputError
from edgeau.runtime.targets import parse_target

FP16 = MakeOptions(precision="fp16")


@pytest.mark.parametrize("version", VERSIONS)
def test_capabilities_are_known_without_the_version_installed(version):
    here = capabilities(make_tensorrt(version))
    numbers = tuple(int(part) for part in version.split("."))
    assert dataclasses.replace(capabilities_of(numbers), version=here.version) == here


def test_versions_of_a_board_are_those_of_its_jetpack_releases():
    assert versions_of(parse_target("orin-nano:5.1.2")) == [(8, 5, 2)]
    assert versions_of(parse_target("orin-nano"))[0] == (8, 5, 2)
    assert set(versions_of(parse_target("thor"))) <= set(versions_of(None))


def test_tensorrt_8_gets_a_float_file_that_it_can_read(package, calibration, tmp_path):
    """The package's own file has opset 18 with axes as inputs, as torch.onnx exports it."""
    options = dataclasses.replace(FP16, crops=str(calibration))
    messages: list[str] = []
    ready = prepare_for(package, parse_target("orin-nano:5.1.2"), options, tmp_path / "work", messages.append)
    assert "finishing the FP32 file for TensorRT 8.5.2" in messages
    assert [variant.name for variant in package.manifest.variants] == ["fp32"]
    old, new = (find_rung(ready, "fp16", capabilities_of(version)) for version in ((8, 5, 2), (10, 3, 0)))
    assert (old.variant.file, new.variant.file) == ("fp32-tensorrt8.onnx", "fp32.onnx")
    assert ready.manifest.fp32_onnx.file == "fp32.onnx"
    assert old.variant.parity.max_abs_error < 1e-5
    assert not [f for f in lint(read_onnx(ready.file(old.variant)), "tensorrt-8.5") if f.severity == "error"]


def test_no_file_is_made_for_a_tensorrt_that_reads_the_existing_one(package, calibration, tmp_path):
    options = dataclasses.replace(FP16, crops=str(calibration))
    ready = prepare_for(package, parse_target("orin-nano:6.2"), options, tmp_path, lambda line: None)
    assert ready is package


def test_lint_errors_end_the_build_with_one_line_each(package, calibration):
    messages: list[str] = []
    with pytest.raises(
        InputError, match=r"fp32\.onnx: got errors .* listed above.*inspect .*--target tensorrt-8\.5\.2"
    ):
        lint_files(package, [capabilities_of((8, 5, 2))], FP16, messages.append)
    assert sum("E122" in line for line in messages) == 2
    assert sum("E113" in line for line in messages) == 1
    assert all("\n" not in line for line in messages)


def test_one_release_of_a_board_that_reads_the_file_is_enough(package):
    messages: list[str] = []
    lint_files(package, [capabilities_of((8, 5, 2)), capabilities_of((10, 3))], FP16, messages.append)
    assert any("E122" in line for line in messages)


def test_each_warning_code_is_reported_once(quantized, package):
    messages: list[str] = []
    lint_files(quantized, [capabilities_of((8, 6))], MakeOptions(precision="int8", fall_back=False), messages.append)
    codes = [line.split()[2] for line in messages if line.startswith("warning: ")]
    assert len(codes) == len(set(codes))


def test_a_finished_file_with_different_results_is_not_kept(package, calibration, monkeypatch):
    from edgeau.optimize import single
    from edgeau.runtime.errors import EdgeauError

    monkeypatch.setattr(single, "MAX_ABS_ERROR", -1.0)
    with pytest.raises(EdgeauError, match="finished for tensorrt-8 differs"):
        add_fp32_for(package, "tensorrt-8", str(calibration))
    assert sorted(p.name for p in package.path.glob("*.onnx")) == ["fp32.onnx"]


def test_an_unfixable_file_ends_the_command_before_a_bundle_is_written(package, calibration, tmp_path, capsys):
    """A NaN in the weights can't be fixed for any TensorRT."""
    variant = package.manifest.fp32_onnx
    model = onnx.load(package.file(variant))
    bias = next(t for t in model.graph.initializer if len(t.dims) == 1 and t.data_type == onnx.TensorProto.FLOAT)
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(list(bias.dims), np.nan, np.float32), bias.name))
    store(package, variant, model)
    out = tmp_path / "bundle.sh"
    command = ["build", str(package.path), "--precision", "fp32", "--target", "orin-nano:6.2"]
    assert main([*command, "--crops", str(calibration), "-o", str(out)]) == 2
    assert f"E119 {bias.name}" in capsys.readouterr().err
    assert not out.exists()

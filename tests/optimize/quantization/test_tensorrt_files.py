"""A package's files for TensorRT pass lint, and the real builder builds from them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from edgeau.optimize.half.variant import add_fp16
from edgeau.optimize.lint import lint
from edgeau.runtime.package import Package


@pytest.fixture(scope="module")
def package(quantized: Package, evaluation: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The toy package with INT8 for each target, and FP16."""
    copy = quantized.copy_to(tmp_path_factory.mktemp("typed") / "typed.edgeau")
    return add_fp16(copy, str(evaluation))


@pytest.mark.parametrize("name", ["fp16", "int8-tensorrt", "int8-tensorrt-fp16"])
def test_files_for_tensorrt_have_no_lint_errors_and_list_it_as_backend(package, name):
    variant = package.variant(name)
    assert "tensorrt" in variant.backends
    errors = [each for each in lint(onnx.load(package.file(variant)), "tensorrt-11.1") if each.severity == "error"]
    assert errors == []


def test_int8_with_half_precision_keeps_its_signal(package):
    plain, half = (package.variant(name) for name in ("int8-tensorrt", "int8-tensorrt-fp16"))
    assert half.parity.sqnr_db > plain.parity.sqnr_db - 2
    kinds = {t.data_type for t in onnx.load(package.file(half)).graph.initializer}
    assert {onnx.TensorProto.INT8, onnx.TensorProto.FLOAT16} <= kinds


@pytest.mark.parametrize(("precision", "file"), [("int8", "int8-tensorrt-fp16.onnx"), ("fp16", "fp16.onnx")])
def test_the_real_builder_builds_from_them_without_a_warning(package, precision, file):
    """Uses a separate process, because TensorRT keeps the first logger of a process."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed (x86-64 Linux only)")
    command = [sys.executable, "-m", "edgeau.runtime", "build", str(package.path), "--precision", precision]
    environment = {**os.environ, "EDGEAU_TENSORRT": "tensorrt_rtx"}
    more = ["--skip-parity", "--exactly", "--json"]
    done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sidecar = json.loads(done.stdout)["sidecar"]
    assert (sidecar["precision"], sidecar["onnx_file"]) == (precision, file)
    # The builder of TensorRT-RTX, not its importer, warns that it widens the FP16 scales of INT8 convolutions.
    assert [line for line in sidecar["notes"]["warnings"] if "scales to fp32" not in line] == []

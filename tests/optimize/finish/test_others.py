"""Files from ONNX Runtime's quantizer: integer biases, shifted zero points, and activations without their ReLU."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgeau.optimize.finish import finish
from edgeau.optimize.lint import lint
from edgeau.optimize.onnx_graph.session import run_each
from edgeau.optimize.quantization.emulate import emulate_tensorrt
from edgeau.runtime.errors import InputError
from edgeau.runtime.parity import sqnr_db

LEAST_DB = 40


@pytest.fixture(scope="module", params=["uint8 weights", "int8 weights", "all per tensor"])
def quantized(request, toy_cnn, pictures, tmp_path_factory) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.samples = iter(pictures(16, 1))

        def get_next(self):
            return next(self.samples, None)

    folder = tmp_path_factory.mktemp("ort")
    onnx.save(toy_cnn, folder / "fp32.onnx")
    quantize_static(
        folder / "fp32.onnx",
        folder / "int8.onnx",
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QUInt8 if request.param == "uint8 weights" else QuantType.QInt8,
        per_channel=request.param == "int8 weights",
    )
    return onnx.load(folder / "int8.onnx")


@pytest.fixture(scope="module")
def signal_db(toy_cnn, pictures):
    inputs = pictures(20, 2)
    reference = np.concatenate([outputs[0] for outputs in run_each(toy_cnn, inputs)])
    return lambda model: sqnr_db(reference, np.concatenate([outputs[0] for outputs in run_each(model, inputs)]))


def test_tensorrt_refuses_the_original_and_lint_says_why(quantized):
    codes = {finding.code for finding in lint(quantized, "tensorrt")}
    assert {"E101", "E102", "E109"} <= codes
    with pytest.raises(InputError, match="zero point"):
        emulate_tensorrt(quantized)


@pytest.mark.parametrize("target", ["tensorrt-8.5", "tensorrt"])
def test_the_finished_file_keeps_its_signal_in_tensorrt(quantized, signal_db, target):
    finished = finish(quantized, target).model
    assert lint(finished, target) == ()
    assert signal_db(emulate_tensorrt(finished)) > min(LEAST_DB, signal_db(quantized) - 3)
    assert not finish(finished, target).modified


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_other_targets_keep_the_signal(quantized, signal_db, target):
    assert signal_db(finish(quantized, target).model) > signal_db(quantized) - 1

"""Networks in the QOperator format of ONNX Runtime's quantizer are converted to equivalent Q/DQ."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from edgeau.optimize.finish import finish
from edgeau.optimize.finish.integer_operators import FloatOperators

SQNR_MARGIN_DB = 45  # ties may be rounded the other way: one step of 255 in a few values
draw = np.random.default_rng(0)


class OneBatch(CalibrationDataReader):
    def __init__(self, data: np.ndarray) -> None:
        self._batches = iter([{"x": data}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def network() -> onnx.ModelProto:
    """The operators that QOperator supports: Conv, LeakyRelu, Resize, Add, Mul, Concat, pools, Gemm and Sigmoid."""
    weights = {
        "w1": draw.normal(0, 0.3, (8, 3, 3, 3)), "b1": draw.normal(0, 1, 8), "w2": draw.normal(0, 0.3, (8, 8, 3, 3)),
        "b2": draw.normal(0, 1, 8), "w3": draw.normal(0, 0.3, (16, 4)), "b3": draw.normal(0, 1, 4),
    }  # fmt: skip
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    tensors.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"))
    make = helper.make_node
    nodes = [
        make("Conv", ["x", "w1", "b1"], ["c1"], "c1", pads=[1] * 4), make("LeakyRelu", ["c1"], ["r1"], "r1", alpha=0.1),
        make("MaxPool", ["r1"], ["p1"], "p1", kernel_shape=[2, 2], strides=[2, 2]),
        make("Conv", ["p1", "w2", "b2"], ["c2"], "c2", pads=[1] * 4),
        make("Resize", ["c2", "", "scales"], ["up"], "up", mode="nearest"), make("Add", ["up", "r1"], ["sum"], "sum"),
        make("Sigmoid", ["sum"], ["gate"], "gate"), make("Mul", ["sum", "gate"], ["swish"], "swish"),
        make("Concat", ["swish", "r1"], ["both"], "both", axis=1),
        make("GlobalAveragePool", ["both"], ["mean"], "mean"), make("Flatten", ["mean"], ["flat"], "flat"),
        make("Gemm", ["flat", "w3", "b3"], ["y"], "y"),
    ]  # fmt: skip
    shape = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])]
    output = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])]
    graph = helper.make_graph(nodes, "net", shape, output, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(params=[(QuantType.QUInt8, False), (QuantType.QUInt8, True), (QuantType.QInt8, False)])
def quantized(request, tmp_path):
    activations, per_channel = request.param
    onnx.save(network(), tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx", tmp_path / "integers.onnx", OneBatch(pictures()), quant_format=QuantFormat.QOperator,
        activation_type=activations, weight_type=QuantType.QInt8, per_channel=per_channel,
    )  # fmt: skip
    return onnx.load(tmp_path / "integers.onnx")


def pictures() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)


def run(model: onnx.ModelProto) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": pictures()})[0]


def test_integer_operators_are_replaced_and_values_kept(quantized):
    kinds = {node.op_type for node in quantized.graph.node}
    assert {"QLinearConv", "QLinearAdd", "QLinearMul", "QLinearConcat"} <= kinds
    converted, report = FloatOperators()(quantized)
    assert report.left == ()
    assert not [node.op_type for node in converted.graph.node if node.op_type.startswith(("QLinear", "QGemm"))]
    before, after = run(quantized), run(converted)
    error = np.square(after - before).sum()
    assert error == 0 or 10 * np.log10(np.square(before).sum() / error) > SQNR_MARGIN_DB


def test_the_pass_is_idempotent(quantized):
    converted, _ = FloatOperators()(quantized)
    assert not FloatOperators()(converted)[1].modified


def test_tensorrts_parser_accepts_the_finished_file_but_not_the_original(quantized):
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed (x86-64 Linux only)")

    def parses(model: onnx.ModelProto) -> bool:
        logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
        network = trt.Builder(logger).create_network(0)
        return trt.OnnxParser(network, logger).parse(model.SerializeToString())

    assert not parses(quantized)
    assert parses(finish(quantized, "tensorrt-10.3").model)


def test_per_channel_scales_in_an_old_opset_are_left_with_the_reason(quantized):
    quantized.opset_import[0].version = 11
    _, report = FloatOperators()(quantized)
    per_channel = any(
        len(t.dims) == 1 and t.dims[0] == 8 and t.name.startswith("w1") for t in quantized.graph.initializer
    )
    assert any("opset 13" in str(note) for note in report.left) == per_channel

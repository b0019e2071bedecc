"""A detector-like network from ONNX Runtime's quantizers: hard swishes, a BatchNormalization that isn't folded, and
sigmoid outputs after a transpose. The references are its float model and TensorRT's own importer."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from edgeau.optimize.finish import finish
from edgeau.optimize.finish.dynamic import FloatDynamic
from edgeau.optimize.finish.integer_operators import FloatOperators
from edgeau.optimize.finish.pointwise import POINTWISE_OPS
from edgeau.optimize.finish.signed import ReluForClip, SignedActivations
from edgeau.optimize.lint import fix, lint
from edgeau.optimize.lint.importer import ask_importer
from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.session import run_each
from edgeau.runtime.parity import sqnr_db

TARGET = "tensorrt-10.3"
SHAPE = [1, 3, 32, 32]
# Symmetric ranges have half the resolution of unsigned ones: one bit, or 6 dB, for each of the few INT8 tensors left.
MOST_LOST_DB = 4.0


@pytest.fixture(scope="module")
def network(net) -> onnx.ModelProto:
    g = net()

    def hard_swish(x: str) -> str:
        """Four operators, as PaddlePaddle's exporter writes it (PP-OCR's models)."""
        shifted = g.op("Add", x, g.const(np.float32(3)))
        clipped = g.op("Clip", shifted, g.const(np.float32(0)), g.const(np.float32(6)))
        return g.op("Div", g.op("Mul", x, clipped), g.const(np.float32(6)))

    x = g.op("Relu", g.conv("x", 3, 16, stride=2))
    for _ in range(4):
        y = hard_swish(g.conv(x, 16, 32, kernel=1))
        x = g.op("Add", x, g.conv(hard_swish(g.conv(y, 32, 32, group=32)), 32, 16, kernel=1))
    x = g.op("Resize", x, "", g.const(np.array([1, 1, 2, 2], np.float32)), mode="nearest")
    statistics = [g.const(g.random.uniform(0.5, 1.5, 16).astype(np.float32)) for _ in range(4)]
    x = g.op("Relu", g.op("BatchNormalization", x, *statistics))
    scores = g.op("Sigmoid", g.op("Transpose", g.conv(x, 16, 16), perm=[0, 2, 3, 1]))
    g.nodes.append(helper.make_node("Identity", [scores], ["y"], name="end"))
    model = g.model({"x": SHAPE}, {"y": [1, 32, 32, 16]}, opset=18)
    onnx.checker.check_model(model, full_check=True)
    return model


def pictures(count: int, seed: int) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(seed)
    return [{"x": random.uniform(-1, 1, SHAPE).astype(np.float32)} for _ in range(count)]


class Pictures(CalibrationDataReader):
    def __init__(self) -> None:
        self._samples = iter(pictures(8, 1))

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._samples, None)


FORMATS = {
    "Q/DQ, unsigned": {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QUInt8, "per_channel": True},
    "Q/DQ, signed": {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QInt8, "per_channel": False},
    "operators": {"quant_format": QuantFormat.QOperator, "activation_type": QuantType.QUInt8, "per_channel": True},
}


@pytest.fixture(scope="module", params=FORMATS)
def quantized(request, network, tmp_path_factory) -> onnx.ModelProto:
    folder = tmp_path_factory.mktemp("static")
    onnx.save(network, folder / "float.onnx")
    quantize_static(
        folder / "float.onnx", folder / "int8.onnx", Pictures(), weight_type=QuantType.QInt8, **FORMATS[request.param]
    )
    return onnx.load(folder / "int8.onnx")


@pytest.fixture(scope="module")
def dynamic(network, tmp_path_factory) -> onnx.ModelProto:
    folder = tmp_path_factory.mktemp("dynamic")
    onnx.save(network, folder / "float.onnx")
    quantize_dynamic(folder / "float.onnx", folder / "int8.onnx", weight_type=QuantType.QUInt8)
    return onnx.load(folder / "int8.onnx")


@pytest.fixture(scope="module")
def signal_db(network):
    inputs = pictures(4, 2)
    reference = np.concatenate([outputs[0] for outputs in run_each(network, inputs)])
    return lambda model: sqnr_db(reference, np.concatenate([outputs[0] for outputs in run_each(model, inputs)]))


def test_the_fixed_file_has_no_findings_and_keeps_its_signal(quantized, signal_db):
    assert {finding.severity for finding in lint(quantized, TARGET)} == {"error", "warning"}
    fixed = fix(quantized, TARGET)
    assert fixed.left == ()
    assert signal_db(fixed.model) > signal_db(quantized) - MOST_LOST_DB


def test_tensorrt_accepts_the_fixed_file_but_not_the_original(quantized):
    before = ask_importer(quantized)
    if before is None:
        pytest.skip("tensorrt-rtx is not installed (x86-64 Linux only)")
    assert not before.taken
    assert before.error
    after = ask_importer(fix(quantized, TARGET).model)
    assert after is not None
    assert (after.taken, after.warnings) == (True, ())


def test_only_weights_are_quantized_constants_and_no_pointwise_operator_is(quantized):
    graph = Graph(finish(quantized, TARGET).model)
    for pair in graph.of_type("DequantizeLinear"):
        readers = {node.op_type for node, _ in graph.consumers(pair.output[0])}
        assert not readers & POINTWISE_OPS
        if graph.constant(pair.input[0]) is not None:
            assert readers <= {"Conv"}


def test_clips_dropped_by_the_quantizer_are_restored_where_no_pair_clips(quantized, network):
    """onnxruntime/quantization/operators/activation.py removes a Relu or Clip if the following Q has its range."""
    assert sum(node.op_type == "Clip" for node in network.graph.node) == 8
    assert not any(node.op_type == "Clip" for node in quantized.graph.node)
    graph = Graph(finish(quantized, TARGET).model)
    clips = graph.of_type("Clip")
    assert len(clips) == 8
    for clip in clips:
        assert float(graph.constant(clip.input[2])) == pytest.approx(6, rel=0.02)


def test_relu_can_replace_clip_before_a_remaining_pair(quantized, signal_db):
    operators = FloatOperators()(quantized)[0]
    signed = SignedActivations()(operators)[0]
    plain, report = ReluForClip()(signed)
    assert report.modified
    assert signal_db(plain) == pytest.approx(signal_db(signed), abs=0.01)


def test_dynamically_quantized_layers_become_float_with_the_same_weights(dynamic, network, signal_db):
    assert {finding.code for finding in lint(dynamic, TARGET)} >= {"E118"}
    after, report = FloatDynamic()(dynamic)
    assert len(report.changed) == sum(node.op_type == "Conv" for node in network.graph.node)
    assert report.left == ()
    assert signal_db(after) > signal_db(dynamic)
    assert fix(dynamic, TARGET).left == ()
    verdict = ask_importer(fix(dynamic, TARGET).model)
    assert verdict is None or (verdict.taken, verdict.warnings) == (True, ())

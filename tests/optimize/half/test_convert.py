"""Conversion of graphs to FP16: what is converted, what stays in float32, and how close the result is."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from edgeau.optimize.finish import finish
from edgeau.optimize.half.convert import convert, to_fp16
from edgeau.optimize.half.plan import with_inner_outputs
from edgeau.optimize.onnx_graph.graph import with_shapes
from edgeau.optimize.onnx_graph.session import run_each
from edgeau.runtime.errors import InputError
from edgeau.runtime.parity import sqnr_db

SHAPE = [1, 16, 8, 8]
HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def ended(g, y: str, shape: list, **options) -> onnx.ModelProto:
    g.nodes.append(helper.make_node("Identity", [y], ["y"], name="end"))
    model = g.model(**({"inputs": {"x": SHAPE}, "outputs": {"y": shape}} | options))
    return onnx.shape_inference.infer_shapes(model)


def run_rounding(model: onnx.ModelProto, sample: dict[str, np.ndarray]) -> np.ndarray:
    """The first output from ONNX's reference implementation, which rounds every tensor to its type."""
    with np.errstate(over="ignore", invalid="ignore"):
        return ReferenceEvaluator(model).run(None, sample)[0]


def both_outputs(model, half, samples) -> tuple[np.ndarray, np.ndarray]:
    """All outputs of both models on ONNX Runtime's CPU provider, which rounds only output tensors to FP16."""
    count = len(model.graph.output)
    rounding = with_inner_outputs(with_shapes(half), HALF)
    before, after = (
        np.concatenate([output.ravel() for outputs in run_each(each, samples) for output in outputs[:count]])
        for each in (model, rounding)
    )
    return before, after


def half_sqnr_db(model, half, samples) -> float:
    return sqnr_db(*both_outputs(model, half, samples))


def types(model: onnx.ModelProto) -> dict[str, int]:
    return {value.name: value.type.tensor_type.elem_type for value in (*model.graph.value_info, *model.graph.output)}


def noise(*shape: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    return {"x": (np.random.default_rng(5).normal(size=shape) * scale).astype(np.float32)}


def test_the_toy_network_is_half_the_size_and_keeps_its_signal(toy_cnn, pictures):
    result = convert(toy_cnn, pictures(2, 3))
    assert len(result.model.SerializeToString()) < 0.55 * len(toy_cnn.SerializeToString())
    before, after = both_outputs(toy_cnn, result.model, pictures(10, 4))
    assert sqnr_db(before, after) > 70  # measured 86
    assert np.abs(before - after).max() < 1e-3
    assert set(result.kept) >= {"to_probability", "globalaveragepool13"}
    assert result.casts == Counter(node.op_type for node in result.model.graph.node)["Cast"] <= 8


def test_inputs_and_outputs_keep_their_names_and_types(toy_cnn):
    model = to_fp16(toy_cnn)
    for kind in ("input", "output"):
        assert list(getattr(model.graph, kind)) == list(getattr(toy_cnn.graph, kind))


def test_an_output_computed_in_half_precision_is_cast_back(net):
    g = net()
    g.nodes.append(helper.make_node("Relu", [g.conv("x", 16, 16)], ["y"], name="end"))
    g.op("Sigmoid", "y", name="other")
    model = g.model({"x": SHAPE}, {"y": SHAPE, "other_out": SHAPE})
    half = to_fp16(onnx.shape_inference.infer_shapes(model))
    assert types(half)["y"] == FLOAT
    assert half_sqnr_db(model, half, [noise(*SHAPE)]) > 60


def test_preprocessing_stays_in_float32(net):
    g = net()
    x = g.op("Transpose", g.op("Cast", "x", to=FLOAT), perm=[0, 3, 1, 2])
    x = g.op("Mul", g.op("Sub", x, g.const(np.float32(127.5))), g.const(np.float32(1 / 127.5)), name="normalised")
    model = ended(g, g.op("Relu", g.conv(x, 3, 16, name="first")), [1, 16, 8, 8], inputs={"x": [1, 8, 8, 3]},
                  input_type=TensorProto.UINT8)  # fmt: skip
    half = to_fp16(model)
    assert types(half)["normalised_out"] == FLOAT
    assert types(half)["first_out"] == HALF
    bytes_in = {"x": np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)}
    assert half_sqnr_db(model, half, [bytes_in]) > 55


def test_decomposed_layer_normalisation_stays_in_float32(net):
    g = net()
    x = g.op("MatMul", "x", g.const(g.weight(32, 32)), name="before")
    mean = g.op("ReduceMean", x, axes=[-1])
    centred = g.op("Sub", x, mean, name="centred")
    variance = g.op("ReduceMean", g.op("Pow", centred, g.const(np.float32(2))), axes=[-1])
    root = g.op("Sqrt", g.op("Add", variance, g.const(np.float32(1e-5)), name="stabilised"))
    scaled = g.op("Mul", g.op("Div", centred, root), g.const(np.ones(32, np.float32)), name="scaled")
    y = g.op("MatMul", scaled, g.const(g.weight(32, 32)), name="after")
    model = ended(g, y, [1, 10, 32], inputs={"x": [1, 10, 32]})
    known = types(to_fp16(model))
    assert [known[f"{name}_out"] for name in ("centred", "stabilised", "scaled")] == [FLOAT] * 3
    assert [known[f"{name}_out"] for name in ("before", "after")] == [HALF] * 2
    assert half_sqnr_db(model, to_fp16(model), [noise(1, 10, 32)]) > 55


@pytest.mark.parametrize("factor", [1e6, 1e-7])
def test_a_layer_with_weights_outside_the_half_range_stays_in_float32(net, factor):
    g = net()
    inner = g.op("MatMul", "x", g.const(g.weight(32, 32)), name="inner")
    y = g.op("MatMul", inner, g.const(g.weight(32, 32) * np.float32(factor)), name="extreme")
    model = ended(g, y, [1, 10, 32], inputs={"x": [1, 10, 32]})
    result = convert(model)
    assert "exceeds the range of half precision" in result.kept["extreme"]
    assert half_sqnr_db(model, result.model, [noise(1, 10, 32)]) > 55


def test_layers_that_overflow_half_on_the_samples_stay_in_float32(net):
    g = net()
    large = g.op("MatMul", "x", g.const(g.weight(32, 32) * 2000), name="large")
    y = g.op("Mul", g.op("MatMul", large, g.const(g.weight(32, 32)), name="next"), g.const(np.float32(1e-3)))
    model = ended(g, y, [1, 10, 32], inputs={"x": [1, 10, 32]})
    samples = [noise(1, 10, 32, scale=100.0)]
    overflowing = run_rounding(to_fp16(model), samples[0])
    assert not np.isfinite(overflowing).all()
    result = convert(model, samples)
    assert "values up to" in result.kept["large"]
    assert half_sqnr_db(model, result.model, samples) > 55


@settings(max_examples=15)
@given(exponent=st.floats(-8, 8), seed=st.integers(0, 100))
def test_weights_of_any_scale_keep_the_signal(net, exponent, seed):
    g = net(seed)
    factor = np.float32(10.0**exponent)
    y = g.op("MatMul", g.op("MatMul", "x", g.const(g.weight(32, 32) * factor)), g.const(g.weight(32, 16) / factor))
    model = ended(g, y, [1, 10, 16], inputs={"x": [1, 10, 32]})
    samples = [noise(1, 10, 32)]
    assert half_sqnr_db(model, to_fp16(model, samples), samples) > 45


def test_an_int8_model_gets_half_scales_for_its_half_layers(nncf_cnn, toy_cnn, pictures):
    finished = finish(nncf_cnn, "tensorrt").model
    half = to_fp16(finished)
    assert half.opset_import[0].version >= 19
    known = types(half) | {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    for node in half.graph.node:
        if node.op_type == "DequantizeLinear":
            assert known[node.input[1]] == known[node.output[0]]
        elif node.op_type == "QuantizeLinear" and node.input[0] in known:
            assert known[node.input[1]] == known[node.input[0]]
        elif node.op_type == "Conv":
            assert known[node.output[0]] == HALF
    assert half_sqnr_db(toy_cnn, half, pictures(10, 4)) > 45  # the INT8 file itself: 55


def test_tensorrts_importer_accepts_float_and_int8_models(toy_cnn, nncf_cnn):
    trt = pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX: pip install tensorrt-rtx")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    for model in (toy_cnn, finish(nncf_cnn, "tensorrt").model):
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, logger)
        assert parser.parse(to_fp16(model).SerializeToString())
        made = {network.get_layer(i).get_output(0).dtype for i in range(network.num_layers)}
        assert {trt.float16, trt.float32} <= made


def test_resize_keeps_its_scales_in_float32(net):
    g = net()
    scales = g.const(np.array([1, 1, 2, 2], np.float32))
    model = ended(g, g.op("Resize", g.conv("x", 16, 16), "", scales, mode="nearest"), [1, 16, 16, 16])
    assert half_sqnr_db(model, to_fp16(model), [noise(*SHAPE)]) > 60


def test_a_model_that_cannot_be_converted_is_a_one_line_error(net, toy_cnn):
    g = net()
    for model, text in (
        (to_fp16(toy_cnn), "in half precision already"),
        (ended(net(), "x", SHAPE), "without convolution or matrix product"),
        (ended(g, g.op("Mul", "x", g.const(np.float32(np.nan))), SHAPE), "NaN or infinite"),
        (ended(net(), "x", SHAPE, opset=99), "opset"),
    ):
        with pytest.raises(InputError, match=text) as raised:
            to_fp16(model)
        assert "\n" not in str(raised.value)


def test_integer_operators_are_refused(net):
    g = net()
    y = g.op("Cast", g.op("DynamicQuantizeLinear", "x", outputs=3), to=FLOAT)
    integers = g.op("Cast", "x", to=TensorProto.INT8)
    y = g.op("Add", y, g.op("Cast", g.op("ConvInteger", integers, g.const(np.ones((16, 16, 1, 1), np.int8))), to=FLOAT))
    with pytest.raises(InputError, match="integer operators ConvInteger"):
        to_fp16(ended(g, y, SHAPE))

"""Each finishing pass on the smallest graph that needs it: what changes, what doesn't, and that values stay close."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgeau.optimize.finish.base import FinishError, FinishingPass
from edgeau.optimize.finish.casts import CastBeforeMoving
from edgeau.optimize.finish.concat import SharedConcatScale
from edgeau.optimize.finish.constants import DirectConstants, OmittedInputs
from edgeau.optimize.finish.float_constants import FloatConstants
from edgeau.optimize.finish.fusions import UnbrokenFusions
from edgeau.optimize.finish.layer_norm import PlainLayerNorm
from edgeau.optimize.finish.per_tensor import PerTensorActivations
from edgeau.optimize.finish.residual import ResidualAdds
from edgeau.optimize.finish.sensitive import FloatSensitive
from edgeau.optimize.finish.signed import ReluForClip, SignedActivations, SignedWeights
from edgeau.optimize.finish.small_layers import FloatSmallLayers
from edgeau.optimize.finish.unsigned import OneIntegerType, UnsignedActivations
from edgeau.optimize.finish.weights import FoldWeights, OutputChannelAxis, UnfoldWeights
from edgeau.optimize.onnx_graph.session import run
from edgeau.optimize.quantization.emulate import emulate_tensorrt
from edgeau.runtime.parity import sqnr_db

U8, S8 = np.uint8(0), np.int8(0)
SHAPE = [1, 16, 8, 8]


def ops(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def close_db(before: onnx.ModelProto, after: onnx.ModelProto, shape=tuple(SHAPE)) -> float:
    x = {"x": np.random.default_rng(3).uniform(-1, 1, shape).astype(np.float32)}
    return sqnr_db(run(before, x)[0], run(after, x)[0])


def finished(g, y: str, shape: list, x_shape: list = SHAPE, **options) -> onnx.ModelProto:
    g.nodes.append(helper.make_node("Identity", [y], ["y"], name="end"))
    model = g.model({"x": x_shape}, {"y": shape}, **options)
    onnx.checker.check_model(model, full_check=True)
    return onnx.shape_inference.infer_shapes(model)


@settings(max_examples=25)
@given(zero_point=st.integers(0, 255), kind=st.sampled_from([np.uint8, np.int8]), scale=st.floats(1e-3, 0.05))
def test_signed_activations_cover_the_old_range(net, zero_point, kind, scale):
    zero = kind(zero_point) if kind is np.uint8 else np.int8(zero_point - 128)
    g = net()
    before = finished(g, g.op("Neg", g.pair("x", scale, zero)), SHAPE)
    after, _ = SignedActivations()(before)
    limits = np.iinfo(kind)
    low, high = (limits.min - int(zero)) * scale, (limits.max - int(zero)) * scale
    x = {"x": np.linspace(low, high, 1024, dtype=np.float32).reshape(SHAPE)}
    step = scale * 255 / 127 * 1.01
    np.testing.assert_allclose(run(after, x)[0], run(before, x)[0], atol=1.5 * step)
    assert emulate_tensorrt(after) is not None


def test_signed_activations_follow_integers_across_data_movement(net):
    g = net()
    scale, zero = g.const(np.float32(0.01)), g.const(U8)
    q = g.op("MaxPool", g.op("QuantizeLinear", "x", scale, zero), kernel_shape=[2, 2], strides=[2, 2])
    before = finished(g, g.op("DequantizeLinear", q, scale, zero), [1, 16, 4, 4])
    after, report = SignedActivations()(before)
    assert len(report.changed) == 3
    assert close_db(before, after) > 30


def test_a_relu_implied_by_unsigned_integers_is_restored(net):
    g = net()
    before = finished(g, g.pair(g.conv("x", 16, 16), 0.02, U8), SHAPE)
    clipped, _ = SignedActivations()(before)
    assert ops(clipped)[:3] == ["Conv", "Clip", "QuantizeLinear"]
    after, _ = ReluForClip()(clipped)
    assert ops(after)[:3] == ["Conv", "Relu", "QuantizeLinear"]
    assert close_db(clipped, after) == np.inf
    assert close_db(before, after) > 30


def test_signed_activations_leave_tensors_read_by_integer_operators(net):
    g = net()
    q = g.op("QuantizeLinear", "x", g.const(np.float32(0.01)), g.const(U8))
    y = g.op("Cast", q, to=TensorProto.FLOAT)
    _, report = SignedActivations()(finished(g, y, SHAPE))
    assert not report.modified
    assert "used outside of Q/DQ pairs" in str(report.left[0])


@pytest.mark.parametrize(("zero", "least_db"), [(128, 200), (100, 40)])
def test_signed_weights(net, zero, least_db):
    g = net()
    integers = g.random.integers(0, 256, size=(16, 16, 3, 3)).astype(np.uint8)
    scale, zeros = np.full(16, 0.01, np.float32), np.full(16, zero, np.uint8)
    weight = g.op("DequantizeLinear", *map(g.const, (integers, scale, zeros)), axis=0)
    before = finished(g, g.op("Conv", "x", weight), [1, 16, 6, 6])
    after, report = SignedWeights()(before)
    assert report.modified
    assert close_db(before, after) > least_db


def test_per_channel_activations_get_the_largest_scale(net):
    g = net()
    scales = np.linspace(0.009, 0.018, 16).astype(np.float32)
    before = finished(g, g.op("Neg", g.pair("x", scales, np.zeros(16, np.int8), axis=1)), SHAPE)
    after, _ = PerTensorActivations()(before)
    assert {t.dims[0] if t.dims else 0 for t in after.graph.initializer} == {0}
    assert close_db(before, after) > 35


def test_constants_behind_identity_are_read_directly(net):
    g = net()
    scale, zero = g.const(np.float32(0.01)), g.op("Identity", g.op("Identity", g.const(S8)))
    before = finished(g, g.op("DequantizeLinear", g.op("QuantizeLinear", "x", scale, zero), scale, zero), SHAPE)
    after, _ = DirectConstants()(before)
    assert ops(after) == ["QuantizeLinear", "DequantizeLinear", "Identity"]
    assert close_db(before, after) == np.inf


def test_an_integer_bias_becomes_float(net):
    g = net()
    integers, scale = np.arange(16, dtype=np.int32) * 1000, np.full(16, 1e-4, np.float32)
    bias = g.op("DequantizeLinear", g.const(integers), g.const(scale), g.const(np.zeros(16, np.int32)), axis=0)
    before = finished(g, g.op("Conv", "x", g.int8_weight(g.weight(16, 16, 1, 1)), bias), SHAPE)
    after, _ = FloatConstants()(before)
    assert ops(after).count("DequantizeLinear") == 1
    assert close_db(before, after) == np.inf


def test_pairs_around_sigmoid_preprocessing_and_head_are_removed(net):
    g = net()
    x = g.op("Sub", g.pair("x", 0.01, S8), g.const(np.float32(0.5)), name="normalise")
    x = g.pair(g.op("Conv", g.pair(x, 0.02, S8, name="kept"), g.int8_weight(g.weight(16, 16, 1, 1))), 0.05, S8)
    before = finished(g, g.pair(g.op("Sigmoid", x), 1 / 127, S8), SHAPE)
    after, report = FloatSensitive()(before)
    assert [node.name for node in after.graph.node if node.op_type == "QuantizeLinear"] == ["kept_q"]
    assert len(report.changed) == 3


@pytest.mark.parametrize(
    ("read", "made", "kernel", "group", "floating"),
    [
        (16, 16, 3, 1, False),
        (16, 24, 1, 1, False),
        (8, 32, 3, 1, False),
        (8, 8, 3, 1, True),
        (5, 20, 3, 1, True),
        (32, 32, 3, 32, False),
        (32, 32, 1, 4, True),
        (36, 36, 3, 12, True),
    ],
)
def test_small_convolutions_stay_in_float(net, read, made, kernel, group, floating):
    g = net()
    x = g.op("Relu", g.conv("x", read, read, kernel=1))
    weight = g.int8_weight(g.weight(made, read // group, kernel, kernel))
    pad = [kernel // 2] * 4
    y = g.op("Conv", g.pair(x, 0.02, S8), weight, group=group, pads=pad, kernel_shape=[kernel] * 2)
    before = finished(g, y, [1, made, 8, 8], x_shape=[1, read, 8, 8])
    after, report = FloatSmallLayers()(before)
    assert report.modified is floating
    assert ("QuantizeLinear" in ops(after)) is not floating
    assert close_db(before, after, (1, read, 8, 8)) > 25


@pytest.mark.parametrize(("rows", "floating"), [(1, True), ("batch", True), (8, False)])
def test_matrix_products_of_one_row_stay_in_float(net, rows, floating):
    g = net()
    y = g.op("Gemm", g.pair("x", 0.01, S8), g.int8_weight(g.weight(32, 16)), transB=1)
    _, report = FloatSmallLayers()(finished(g, y, [rows, 32], x_shape=[rows, 16]))
    assert report.modified is floating


def test_matrix_products_over_tokens_stay_in_int8(net):
    g = net()
    y = g.op("MatMul", g.pair("x", 0.01, S8), g.int8_weight(g.weight(16, 32), axis=1))
    _, report = FloatSmallLayers()(finished(g, y, ["batch", 12, 32], x_shape=["batch", 12, 16]))
    assert not report.modified


def test_a_residual_add_keeps_the_pair_on_the_skip_and_not_on_the_branch(net):
    g = net()
    skip = g.op("Relu", "x")
    branch = g.conv(skip, 16, 16, name="branch")
    y = g.op("Add", g.pair(branch, 0.02, S8, name="on_branch"), g.pair(skip, 0.02, S8, name="on_skip"))
    after, _ = ResidualAdds()(finished(g, y, SHAPE))
    assert [node.name for node in after.graph.node if node.op_type == "QuantizeLinear"] == ["on_skip_q"]


def test_of_two_convolutional_paths_the_longer_is_the_branch(net):
    g = net()
    trunk = g.op("Relu", "x")
    short = g.conv(trunk, 16, 16, kernel=1)
    long = g.conv(g.op("Relu", g.conv(trunk, 16, 16)), 16, 16)
    y = g.op("Add", g.pair(short, 0.02, S8, name="on_short"), g.pair(long, 0.02, S8, name="on_long"))
    after, _ = ResidualAdds()(finished(g, y, SHAPE))
    assert [node.name for node in after.graph.node if node.op_type == "QuantizeLinear"] == ["on_short_q"]


def test_the_pair_between_a_convolution_and_its_relu_is_removed(net):
    g = net()
    before = finished(g, g.op("Relu", g.pair(g.conv("x", 16, 16), 0.02, S8)), SHAPE)
    after, _ = UnbrokenFusions()(before)
    assert ops(after) == ["Conv", "Relu", "Identity"]


def test_weights_are_unfolded_in_an_opset_without_per_channel_scales(net):
    """QuantizeLinear has an axis from opset 13 on; NVIDIA's Model Optimizer writes Q/DQ into models of opset 10."""
    g = net()
    weight = g.op("DequantizeLinear", g.const(np.ones((16, 16, 1, 1), np.int8)), g.const(np.float32(0.1)), g.const(S8))
    model = finished(g, g.op("Conv", "x", weight), SHAPE, opset=11)
    after, report = UnfoldWeights()(model)
    assert report.modified
    onnx.checker.check_model(after)


def test_folding_and_unfolding_weights_keep_every_value(net):
    g = net()
    folded = finished(g, g.op("Conv", "x", g.int8_weight(g.weight(16, 16, 3, 3))), [1, 16, 6, 6])
    unfolded, _ = UnfoldWeights()(folded)
    assert ops(unfolded) == ["QuantizeLinear", "DequantizeLinear", "Conv", "Identity"]
    assert close_db(folded, unfolded) == np.inf
    again, _ = FoldWeights()(unfolded)
    assert ops(again) == ops(folded)
    assert close_db(folded, again) == np.inf


def test_a_transposed_convolution_gets_scales_along_axis_1(net):
    g = net()
    before = finished(g, g.op("ConvTranspose", "x", g.int8_weight(g.weight(16, 32, 2, 2), axis=0)), [1, 32, 9, 9])
    after, _ = OutputChannelAxis()(before)
    scale = next(t for t in after.graph.initializer if len(t.dims) == 1 and t.data_type == TensorProto.FLOAT)
    assert list(scale.dims) == [32]
    assert close_db(before, after) > 35


def test_nonnegative_activations_become_unsigned_with_twice_the_resolution(net):
    g = net()
    before = finished(g, g.pair(g.op("MaxPool", g.op("Relu", "x"), kernel_shape=[1, 1]), 1 / 127, S8), SHAPE)
    after, _ = UnsignedActivations()(before)
    x = {"x": np.random.default_rng(0).uniform(0, 1, SHAPE).astype(np.float32)}
    gained = sqnr_db(x["x"], run(after, x)[0]) - sqnr_db(x["x"], run(before, x)[0])
    assert gained == pytest.approx(6, abs=0.5)  # one bit


def test_activations_that_can_be_negative_stay_signed(net):
    g = net()
    _, report = UnsignedActivations()(finished(g, g.pair("x", 1 / 127, S8), SHAPE))
    assert not report.modified


def test_mixed_integer_types_become_unsigned_without_changing_values(net):
    g = net()
    y = g.op("Add", g.pair("x", 1 / 127, S8), g.pair(g.op("Relu", "x"), 1 / 255, U8))
    before = finished(g, y, SHAPE)
    after, _ = OneIntegerType()(before)
    assert {t.data_type for t in after.graph.initializer if t.data_type != TensorProto.FLOAT} == {TensorProto.UINT8}
    assert close_db(before, after) == np.inf


def test_concatenated_activations_share_the_largest_scale(net):
    g = net()
    y = g.op("Concat", g.pair("x", 0.01, S8), g.pair(g.op("Neg", "x"), 0.02, S8), axis=1)
    before = finished(g, y, [1, 32, 8, 8])
    after, _ = SharedConcatScale()(before)
    scales = {float(numpy_helper.to_array(t)) for t in after.graph.initializer if t.data_type == TensorProto.FLOAT}
    assert scales == {np.float32(0.02)}
    assert close_db(before, after) > 35


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("axis", [-1, 2])
def test_decomposed_layer_normalisation_computes_the_same(net, opset, axis):
    g = net()
    shape = SHAPE[axis:] if axis > 0 else SHAPE[-1:]
    y = g.op(
        "LayerNormalization", "x", *(g.const(g.random.normal(size=shape).astype(np.float32)) for _ in "sb"), axis=axis
    )
    before = finished(g, y, SHAPE, opset=opset)
    after, _ = PlainLayerNorm()(before)
    assert "LayerNormalization" not in ops(after)
    assert close_db(before, after) > 100


def test_empty_inputs_of_resize_are_omitted(net):
    g = net()
    none, scales = g.const(np.zeros(0, np.float32)), g.const(np.array([1, 1, 2, 2], np.float32))
    before = finished(g, g.op("Resize", "x", none, scales, mode="nearest"), [1, 16, 16, 16])
    after, _ = OmittedInputs()(before)
    assert after.graph.node[0].input[1] == ""
    assert close_db(before, after) == np.inf


def test_uint8_tensors_are_cast_before_data_movement(net):
    g = net()
    moved = g.op("Reshape", g.op("Transpose", "x", perm=[0, 3, 1, 2]), g.const(np.array([1, 3, 64])))
    g.nodes.append(helper.make_node("Cast", [moved], ["cast"], to=TensorProto.FLOAT, name="cast"))
    model = finished(g, g.op("Neg", "cast"), [1, 3, 64], [1, 8, 8, 3], input_type=TensorProto.UINT8)
    after, _ = CastBeforeMoving()(model)
    assert ops(after) == ["Cast", "Transpose", "Reshape", "Neg", "Identity"]
    x = {"x": np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)}
    np.testing.assert_array_equal(run(model, x)[0], run(after, x)[0])


def test_a_pass_that_is_not_idempotent_raises(net):
    class Restless(FinishingPass):
        name = "restless"

        def call(self, graph, notes):
            notes.changed.append("again")

    g = net()
    with pytest.raises(FinishError, match="restless still changes the model"):
        Restless()(finished(g, "x", SHAPE))

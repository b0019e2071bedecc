from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeau.optimize.onnx_graph.graph import name_nodes
from edgeau.optimize.onnx_graph.operators import WEIGHTED_OPS
from edgeau.optimize.quantization.scope import float_nodes, has_attention
from edgeau.runtime.package import shipped_package

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def _model(nodes, weights=(), inputs=("face", "neutral")):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, 8, 8]) for name in inputs]
    output = helper.make_tensor_value_info("au", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights]
    model = helper.make_model(helper.make_graph(nodes, "g", values, [output], tensors))
    name_nodes(model)
    return model


def _names(model, kind):
    return [node.name for node in model.graph.node if node.op_type == kind]


def _weighted(model):
    return {node.name for node in model.graph.node if node.op_type in WEIGHTED_OPS}


def test_preprocessing_difference_maps_classifier_and_sigmoid_stay_in_float(model):
    kept = set(float_nodes(model))
    kinds = {node.name: node.op_type for node in model.graph.node}
    kept_kinds = {kinds[name] for name in kept}
    assert {"Cast", "Transpose", "Sub", "Abs", "Greater", "AveragePool", "Gemm", "Sigmoid"} <= kept_kinds
    assert not kept & set(_names(model, "Conv"))
    assert not kept & set(_names(model, "Relu"))


def test_adding_maps_to_features_stays_in_float_but_residual_sums_do_not(model):
    first, second = _names(model, "Add")
    assert first in float_nodes(model)
    assert second not in float_nodes(model)


def test_a_convolution_to_grey_before_thresholds_stays_in_float():
    nodes = [
        helper.make_node("Sub", ["face", "neutral"], ["d"]),
        helper.make_node("Conv", ["d", "luma"], ["grey"]),
        helper.make_node("Greater", ["grey", "t"], ["b"]),
        helper.make_node("Cast", ["b"], ["map"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["map", "scale"], ["attention"]),
        helper.make_node("Conv", ["face", "w"], ["f"]),
        helper.make_node("Add", ["f", "attention"], ["x"]),
        helper.make_node("Conv", ["x", "w2"], ["y"]),
        helper.make_node("Conv", ["y", "w3"], ["au"]),
    ]
    shapes = [("luma", (1, 3, 1, 1)), ("t", ()), ("scale", (4, 1, 1, 1)), ("w", (4, 3, 1, 1))]
    model = _model(nodes, [*shapes, ("w2", (4, 4, 1, 1)), ("w3", (2, 4, 1, 1))])
    outputs = {node.output[0]: node.name for node in model.graph.node}
    quantized = {outputs["f"], outputs["y"]}
    assert _weighted(model) - set(float_nodes(model)) == quantized


def _residual(count, activated):
    """Residual blocks of one convolution, optionally with a ReLU after each sum, and a last convolution."""
    nodes, weights, x = [helper.make_node("Conv", ["face", "w"], ["x0"])], [("w", (4, 3, 1, 1))], "x0"
    for i in range(count):
        nodes.append(helper.make_node("Relu", [x], [f"r{i}"]))
        nodes.append(helper.make_node("Conv", [f"r{i}", f"w{i}"], [f"b{i}"]))
        nodes.append(helper.make_node("Add", [f"b{i}", x], [f"s{i}"]))
        weights.append((f"w{i}", (4, 4, 1, 1)))
        x = f"s{i}"
        if activated:
            nodes.append(helper.make_node("Relu", [x], [f"a{i}"]))
            x = f"a{i}"
    nodes += [helper.make_node("Conv", [x, "v"], ["y"]), helper.make_node("Conv", ["y", "u"], ["au"])]
    return _model(nodes, [*weights, ("v", (4, 4, 1, 1)), ("u", (2, 4, 1, 1))], inputs=("face",))


def test_a_residual_stream_and_layers_that_read_it_directly_stay_in_float():
    model = _residual(4, activated=False)
    outputs = {node.output[0]: node.name for node in model.graph.node}
    expected = {"s0", "s1", "s2", "s3", "y", "au"}
    assert set(float_nodes(model)) == {outputs[name] for name in expected}


def test_sums_followed_by_an_activation_and_short_streams_are_quantized():
    for model in (_residual(4, activated=True), _residual(2, activated=False)):
        assert float_nodes(model) == [model.graph.node[-1].name]


def test_linear_bottlenecks_are_fully_quantized():
    """As in MobileNetV2: each sum is read directly by a convolution, whose branch is added to it."""
    nodes, weights, x = [helper.make_node("Conv", ["face", "w"], ["x0"])], [("w", (4, 3, 1, 1))], "x0"
    for i in range(4):
        nodes.append(helper.make_node("Conv", [x, f"e{i}"], [f"t{i}"]))
        nodes.append(helper.make_node("Relu", [f"t{i}"], [f"r{i}"]))
        nodes.append(helper.make_node("Conv", [f"r{i}", f"p{i}"], [f"b{i}"]))
        nodes.append(helper.make_node("Add", [f"b{i}", x], [f"s{i}"]))
        weights += [(f"e{i}", (8, 4, 1, 1)), (f"p{i}", (4, 8, 1, 1))]
        x = f"s{i}"
    nodes.append(helper.make_node("Conv", [x, "u"], ["au"]))
    model = _model(nodes, [*weights, ("u", (2, 4, 1, 1))], inputs=("face",))
    assert float_nodes(model) == [model.graph.node[-1].name]


def test_a_network_of_maps_only_is_quantized_after_its_first_layer():
    nodes = [
        helper.make_node("Sub", ["face", "neutral"], ["d"]),
        helper.make_node("Greater", ["d", "t"], ["b"]),
        helper.make_node("Cast", ["b"], ["map"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["map", "w"], ["x"]),
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Conv", ["r", "w2"], ["y"]),
        helper.make_node("Conv", ["y", "w3"], ["au"]),
    ]
    model = _model(nodes, [("t", ()), ("w", (4, 3, 1, 1)), ("w2", (4, 4, 1, 1)), ("w3", (2, 4, 1, 1))])
    outputs = {node.output[0]: node.name for node in model.graph.node}
    assert _weighted(model) - set(float_nodes(model)) == {outputs["y"]}


def test_every_output_keeps_its_own_classifier_in_float():
    nodes = [
        helper.make_node("Conv", ["face", "w"], ["x"]),
        helper.make_node("Conv", ["x", "w2"], ["a"]),
        helper.make_node("Conv", ["x", "w3"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["au"], axis=1),
    ]
    model = _model(nodes, [("w", (4, 3, 1, 1)), ("w2", (1, 4, 1, 1)), ("w3", (1, 4, 1, 1))], inputs=("face",))
    outputs = {node.output[0]: node.name for node in model.graph.node}
    assert set(float_nodes(model)) == {outputs["a"], outputs["b"], outputs["au"]}


# Public graphs (ONNX's own test data) and the operators that stay in float: the classifier and what follows it.
PUBLIC = {
    "resnet50": {"Gemm", "Softmax"},
    "densenet121": {"Conv"},
    "squeezenet": {"Conv", "Relu", "GlobalAveragePool", "Softmax"},
}


@pytest.mark.parametrize(("name", "kinds"), PUBLIC.items())
def test_only_the_head_of_public_classifiers_stays_in_float(name, kinds):
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    name_nodes(model)
    kept = set(float_nodes(model))
    assert {node.op_type for node in model.graph.node if node.name in kept} == kinds
    assert len(_weighted(model) & kept) == 1


def test_difference_maps_and_classifier_of_the_shipped_network_stay_in_float():
    """The layers are named after the model's modules, so the names show their purpose."""
    model = onnx.load(shipped_package() / "fp32.onnx")
    kept = set(float_nodes(model))
    blocks = {f"blocks.{i}.map_scale/Conv" for i in range(5)}
    assert _weighted(model) & kept == {"difference/Conv", *blocks, "classifier/Gemm"}
    assert len(_weighted(model)) == 25
    kinds = Counter(node.op_type for node in model.graph.node if node.name in kept)
    assert kinds == {
        "Cast": 3, "Transpose": 2, "Sub": 1, "Conv": 6, "Abs": 1, "Greater": 1, "Slice": 5, "Add": 5, "AveragePool": 2,
        "Gemm": 1, "Sigmoid": 1,
    }  # fmt: skip


def test_attention_is_a_softmax_that_feeds_a_matrix_product(model):
    nodes = [
        helper.make_node("MatMul", ["face", "neutral"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"]),
        helper.make_node("MatMul", ["p", "face"], ["au"]),
    ]
    assert has_attention(_model(nodes))
    assert not has_attention(model)

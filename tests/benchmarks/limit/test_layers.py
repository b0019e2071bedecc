"""Arithmetic and memory traffic of layers, for networks with published figures and a small graph by hand."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgeau.benchmarks.claims.networks import NETWORKS
from edgeau.benchmarks.limit.layers import layers_of
from edgeau.benchmarks.limit.peak import write_probe


def test_resnet18_has_the_published_arithmetic_and_weights(tmp_path):
    """He et al., arXiv 1512.03385, table 1: 1.8e9 FLOPs, which are multiply-adds; 11.2 million weights in the trunk."""
    file = tmp_path / "resnet18.onnx"
    NETWORKS["resnet18"].save(file, 8)
    layers = layers_of(file)
    assert layers.macs == pytest.approx(1.8e9, rel=0.02)
    assert layers.weight_bytes == pytest.approx(4 * 11.2e6, rel=0.01)
    assert {layer.kind for layer in layers.layers} >= {"Conv 7x7", "Conv 3x3", "Conv 1x1", "MaxPool 3x3", "Gemm"}
    # ReLU and Add are fused into the layer before them, so every node has an owner except those before the first layer.
    graph = onnx.load(str(file)).graph
    assert sum(node.name not in layers.owner and node.output[0] not in layers.owner for node in graph.node) == 3


def test_a_layer_moves_its_input_output_and_weights(tmp_path):
    weight = numpy_helper.from_array(np.zeros((6, 1, 3, 3), np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", group=6, pads=[1, 1, 1, 1])
    shape = ["N", 6, 10, 10]
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", "y")]
    file = tmp_path / "conv.onnx"
    onnx.save(helper.make_model(helper.make_graph([node], "g", values[:1], values[1:], [weight])), str(file))
    (layer,) = layers_of(file).layers
    assert (layer.kind, layer.precision) == ("Conv 3x3, depthwise", "fp32")
    assert (layer.macs, layer.weight_bytes, layer.activation_bytes) == (600 * 9, 4 * 54, 4 * 1200)


@pytest.mark.parametrize(("precision", "bytes_each"), [("fp32", 4), ("fp16", 2), ("int8", 1)])
def test_bytes_per_value_depend_on_the_precision(tmp_path, precision, bytes_each):
    write_probe(tmp_path / "probe.onnx", precision)
    last = [layer for layer in layers_of(tmp_path / "probe.onnx").layers if layer.kind == "Conv 1x1"][-1]
    assert last.precision == precision
    assert last.activation_bytes == 2 * 512 * 16 * 16 * bytes_each
    assert last.weight_bytes == pytest.approx(512 * 512 * bytes_each, rel=0.01)


def test_a_graph_with_unknown_shapes_has_no_layers(tmp_path):
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("x", "y")]
    node = helper.make_node("MatMul", ["x", "x"], ["y"])
    file = tmp_path / "unknown.onnx"
    onnx.save(helper.make_model(helper.make_graph([node], "g", values[:1], values[1:])), str(file))
    assert layers_of(file) is None

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgeau.optimize.onnx_graph.operators import WEIGHTED_OPS
from edgeau.optimize.onnx_graph.session import open_session
from edgeau.optimize.quantization.calibration import read_calibration
from edgeau.optimize.quantization.flavours import layers_in_float
from edgeau.optimize.quantization.nncf_quantize import prepared, quantize_model
from edgeau.optimize.quantization.revert import revert
from edgeau.optimize.samples import graph_inputs
from edgeau.runtime.manifest import CropSpec, InputSpec, Manifest


@pytest.fixture(scope="module")
def pair(model, calibration):
    """The float model with named nodes, its version quantized by NNCF, and inputs."""
    inputs = (InputSpec("face", 48, 48), InputSpec("neutral", 48, 48))
    manifest = Manifest("toy", "cednn", ("AU01",), (0.5,), inputs, crop=CropSpec(48))
    crops, _ = read_calibration(str(calibration), manifest, samples=8, seed=0)
    return prepared(model), quantize_model(model, graph_inputs(crops, manifest)), crops.inputs(True)


def _count(model: onnx.ModelProto, kind: str) -> int:
    return sum(node.op_type == kind for node in model.graph.node)


def _run(model, inputs):
    return open_session(model).run(["au"], inputs)[0]


def test_reverting_every_layer_gives_the_float_model(pair):
    model, quantized, inputs = pair
    restored = revert(quantized, model, [node.name for node in model.graph.node if node.op_type in WEIGHTED_OPS])
    assert _count(restored, "QuantizeLinear") == _count(restored, "DequantizeLinear") == 0
    np.testing.assert_allclose(_run(restored, inputs), _run(model, inputs), atol=1e-5)


def test_reverting_one_layer_restores_its_weights_and_leaves_the_others_quantized(pair):
    model, quantized, inputs = pair
    layers = [n.name for n in model.graph.node if n.op_type == "Conv"]
    restored = revert(quantized, model, layers[1:2])
    onnx.checker.check_model(restored)
    nodes = {n.name: n for n in restored.graph.node}
    dequantized = {out for n in restored.graph.node if n.op_type == "DequantizeLinear" for out in n.output}
    assert not set(nodes[layers[1]].input) & dequantized
    assert all(nodes[name].input[1] in dequantized for name in layers if name != layers[1])
    assert np.abs(_run(restored, inputs) - _run(model, inputs)).max() < 0.08


def test_reverting_nothing_changes_nothing(pair):
    model, quantized, _ = pair
    assert revert(quantized, model, ["no such layer"]) == quantized


def _behind_a_split(net, quantized):
    """A convolution and two more that each read half of its channels, with Q and DQ if ``quantized``."""
    g = net(0)
    floats = [g.weight(4, 3, 1, 1), g.weight(2, 2, 1, 1), g.weight(2, 2, 1, 1)]
    weights = [g.int8_weight(value) if quantized else g.const(value) for value in floats]
    x = g.op("Conv", g.pair("x", 0.1) if quantized else "x", weights[0], name="first")
    halves = g.op("Split", g.pair(x, 0.1) if quantized else x, name="halves", outputs=2, axis=1)
    parts = [g.op("Conv", halves, weights[1], name="left"), g.op("Conv", "halves_out1", weights[2], name="right")]
    g.nodes[-1].output[0] = parts[1]
    g.op("Concat", *parts, name="joined", axis=1)
    return g.model({"x": [1, 3, 4, 4]}, {"joined_out": [1, 4, 4, 4]})


def test_a_pair_that_reaches_quantized_layers_through_a_split_is_kept(net):
    """Operators that only move values keep them on the grid of their scale."""
    model, quantized = _behind_a_split(net, quantized=False), _behind_a_split(net, quantized=True)
    assert layers_in_float(quantized) == []
    restored = revert(quantized, model, ["first"])
    assert layers_in_float(restored) == ["first"]

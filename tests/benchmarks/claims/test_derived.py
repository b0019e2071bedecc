"""Networks derived from a model: without groups, and with twice the AUs."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from edgeau.benchmarks.claims.derived import twice_the_aus, ungrouped
from edgeau.runtime.package import Package, shipped_package


def shipped() -> onnx.ModelProto:
    package = Package.open(shipped_package())
    return onnx.load(str(package.path / "fp32.onnx"))


def outputs(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    shapes = {each.name: [2, *each.shape[1:]] for each in session.get_inputs()}
    return session.run(["au"], {name: random.integers(0, 256, shape, np.uint8) for name, shape in shapes.items()})[0]


def test_a_network_without_groups_computes_the_same() -> None:
    model = shipped()
    full = ungrouped(model)
    assert any(a.name == "group" and a.i > 1 for node in model.graph.node for a in node.attribute)
    assert all(a.i == 1 for node in full.graph.node for a in node.attribute if a.name == "group")
    np.testing.assert_allclose(outputs(full), outputs(model), atol=1e-5)


def test_a_network_with_twice_the_aus_has_every_output_twice() -> None:
    model = shipped()
    once, twice = outputs(model), outputs(twice_the_aus(model))
    np.testing.assert_allclose(twice, np.concatenate([once, once], axis=1), atol=1e-6)


def test_a_graph_that_does_not_end_in_a_linear_layer_cannot_be_doubled() -> None:
    value = helper.make_tensor_value_info("au", 1, ["N", 2])
    weight = numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w")
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Flatten", ["c"], ["au"])]
    face = helper.make_tensor_value_info("x", 1, ["N", 3, 1, 1])
    assert twice_the_aus(helper.make_model(helper.make_graph(nodes, "g", [face], [value], [weight]))) is None

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeau.optimize.onnx_graph.graph import Graph, name_nodes, opset_of
from edgeau.optimize.onnx_graph.session import run

INPUT = {"x": [1, 4]}


def test_write_removes_nodes_and_constants_that_no_output_needs(net):
    g = net()
    g.op("Relu", "x", name="used")
    g.op("Add", "x", g.const(np.float32(1), "unused_constant"), name="unused")
    written = Graph(g.model(INPUT, {"used_out": [1, 4]})).write()
    assert [node.name for node in written.graph.node] == ["used"]
    assert not written.graph.initializer


def test_nodes_read_only_by_a_subgraph_are_kept():
    """ONNX allows a branch to read a tensor of the outer graph; removing its node would break the file."""
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    branches = {
        name: helper.make_graph([helper.make_node(kind, ["inner"], ["y"])], name, [], [value])
        for name, kind in (("then_branch", "Relu"), ("else_branch", "Neg"))
    }
    nodes = [
        helper.make_node("Abs", ["x"], ["inner"], name="read_by_branches"),
        helper.make_node("If", ["yes"], ["y"], name="choice", **branches),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])]
    yes = numpy_helper.from_array(np.array(True), "yes")
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, [value], [yes]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    written = Graph(model).write()
    onnx.checker.check_model(written)
    x = np.array([[-1, 0, 1, 2]], np.float32)
    np.testing.assert_array_equal(run(written, {"x": x})[0], np.abs(x))


def test_a_constant_is_found_through_identities(net):
    g = net()
    name = g.op("Identity", g.op("Identity", g.const(np.float32(3))))
    g.op("Add", "x", name, name="sum")
    graph = Graph(g.model(INPUT, {"sum_out": [1, 4]}))
    assert graph.constant(name) == 3
    assert graph.constant("x") is None


def test_inserted_nodes_are_written_after_their_inputs(net):
    g = net()
    g.op("Neg", g.op("Relu", "x", name="first"), name="last")
    graph = Graph(g.model(INPUT, {"last_out": [1, 4]}))
    last = next(node for node in graph.nodes if node.name == "last")
    graph.set_input(last, 0, graph.insert("Abs", ["first_out"], "between"))
    assert [node.op_type for node in graph.write().graph.node] == ["Relu", "Abs", "Neg"]


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_the_opset_is_that_of_the_default_domain(net, opset):
    g = net()
    g.op("Relu", "x", name="y")
    assert opset_of(g.model(INPUT, {"y_out": [1, 4]}, opset=opset, extra_domains=("com.example",))) == opset
    assert opset_of(onnx.ModelProto()) == 0


def test_name_nodes_makes_names_unique(net):
    g = net()
    g.op("Abs", g.op("Abs", "x", name="same"), name="same")
    model = g.model(INPUT, {"same_out": [1, 4]})
    name_nodes(model)
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == 2
    assert all(names)

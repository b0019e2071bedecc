"""Passes over an exported graph preserve its values."""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeau.export.tidy import fold_scales, tidy

WEIGHT = np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype(np.float32)


def model(*nodes, outputs=("y",), factor=255.0):
    """Nodes between x [1, 3, 4, 4] and the outputs, with a number ``s`` and a convolution's weight ``w`` to use."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.float32(factor), "s"), numpy_helper.from_array(WEIGHT, "w")],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))


def run(proto):
    x = np.random.default_rng(1).normal(size=(1, 3, 4, 4)).astype(np.float32)
    return onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})


def node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs, [output], name=output, **attributes)


CONV = node("Conv", ["a", "w"], "y", pads=[1, 1, 1, 1])


@pytest.mark.parametrize(
    "scale", [node("Div", ["x", "s"], "a"), node("Mul", ["x", "s"], "a"), node("Mul", ["s", "x"], "a")]
)
def test_a_scale_is_folded_into_the_next_convolution(scale):
    expected = run(ir.to_proto(model(scale, CONV)))
    tidied = tidy(model(scale, CONV))
    assert [n.op_type for n in tidied.graph.node] == ["Conv"]
    np.testing.assert_allclose(run(tidied)[0], expected[0], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        pytest.param([node("Div", ["s", "x"], "a"), CONV], ("y",), id="division of a number"),
        pytest.param([node("Mul", ["x", "s"], "a"), CONV], ("y", "a"), id="scaled image is an output"),
        pytest.param([node("Mul", ["x", "s"], "a"), CONV, node("Relu", ["a"], "z")], ("y", "z"), id="other reader"),
        pytest.param(
            [node("Mul", ["x", "s"], "a"), CONV, node("Conv", ["x", "w"], "z")], ("y", "z"), id="shared weight"
        ),
    ],
)
def test_a_scale_with_other_readers_is_kept(nodes, outputs):
    before = model(*nodes, outputs=outputs)
    expected = run(ir.to_proto(before))
    fold_scales(before.graph)
    assert {n.op_type for n in before.graph} & {"Mul", "Div"}
    for output, reference in zip(run(ir.to_proto(before)), expected, strict=True):
        np.testing.assert_allclose(output, reference, rtol=1e-6)


def test_nodes_are_named_after_scopes_and_metadata_is_removed():
    before = model(node("Mul", ["x", "s"], "a"), node("Relu", ["a"], "b"), node("Relu", ["b"], "y"))
    for item in before.graph:
        item.metadata_props["pkg.torch.onnx.name_scopes"] = "['', 'model', 'model.stem', 'op']"
        item.metadata_props["pkg.torch.onnx.stack_trace"] = "File secret.py"
        item.doc_string = "secret"
    before.metadata_props["where"] = "secret"
    tidied = tidy(before)
    assert [n.name for n in tidied.graph.node] == ["stem/Mul", "stem/Relu", "stem/Relu_2"]
    assert tidied.graph.output[0].name == "y"
    assert b"secret" not in tidied.SerializeToString()

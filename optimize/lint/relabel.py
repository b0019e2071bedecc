"""Changing the opset of a model whose operators are defined the same way in both opsets.

ONNX's version converter can't downgrade some operators, although most graphs use nothing that changed.
"""

from __future__ import annotations

import onnx
from onnx import defs

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import DEFAULT_DOMAINS, FIRST_OPSET_OF_AXES_INPUT

# Their axes became an input in opset 18; nothing else about them changed.
REDUCTIONS = frozenset(
    {"ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
     "ReduceSumSquare"}
)  # fmt: skip


def relabel(model: onnx.ModelProto, opset: int) -> onnx.ModelProto | None:
    """The model with another opset, None where an operator is defined differently there.

    When downgrading from opset 18, axes of reductions are moved from the input to the attribute.
    """
    graph = Graph(model)
    if not 1 <= graph.opset <= defs.onnx_opset_version():
        return None
    lowers = graph.opset >= FIRST_OPSET_OF_AXES_INPUT > opset
    for node in graph.nodes:
        if node.domain not in DEFAULT_DOMAINS:
            continue
        if lowers and node.op_type in REDUCTIONS:
            if not _axes_to_attribute(graph, node):
                return None
        elif not _same(node.op_type, graph.opset, opset):
            return None
    result = graph.write()
    for entry in result.opset_import:
        if entry.domain in DEFAULT_DOMAINS:
            entry.version = opset
    try:
        onnx.checker.check_model(result)
    except onnx.checker.ValidationError:
        return None
    return result


def _same(kind: str, one: int, other: int) -> bool:
    try:
        return defs.get_schema(kind, one, "").since_version == defs.get_schema(kind, other, "").since_version
    except defs.SchemaError:
        return False


def _axes_to_attribute(graph: Graph, node: onnx.NodeProto) -> bool:
    if len(node.input) < 2 or not node.input[1]:
        return not any(entry.name == "noop_with_empty_axes" and entry.i for entry in node.attribute)
    axes = graph.constant(node.input[1])
    if axes is None or axes.size == 0:
        return False
    del node.input[1:]
    kept = [entry for entry in node.attribute if entry.name != "noop_with_empty_axes"]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute("axes", [int(axis) for axis in axes])])
    return True

"""Another opset where it makes no difference: operators whose definition is the same in both.

ONNX's version converter has no way down for some operators, although most graphs use nothing that changed.
"""

from __future__ import annotations

import onnx
from onnx import defs

from edgeau.optimize.onnx_graph.graph import DEFAULT_DOMAINS, Graph

FIRST_OPSET_OF_AXES_INPUT = 18
# Became an input at opset 18, was an attribute before; nothing else about these changed.
REDUCTIONS = frozenset(
    {"ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
     "ReduceSumSquare"}
)  # fmt: skip


def relabel(model: onnx.ModelProto, opset: int) -> onnx.ModelProto | None:
    """The model under another opset, None where an operator is defined differently there or shapes are unknown.

    Axes of reductions are moved from the input to the attribute on the way down across opset 18.
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

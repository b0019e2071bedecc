"""Operators that lose too much in 8 bits stay in float."""

from __future__ import annotations

import onnx

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, MOVING_OPS, SENSITIVE_OPS, WEIGHTED_OPS

from .base import FinishingPass, Notes
from .qdq import bypass, is_weight, quantizer_of


class FloatSensitive(FinishingPass):
    """Remove Q/DQ in front of sensitive operators, in the preprocessing and behind the last weighted layer.

    After: no sensitive operator reads a DQ; in front of the first weighted layer, DQs feed weighted layers only; there
    is no DQ behind the last weighted layer. Values come closer to the float model's.
    Left: pairs between which integers are moved.
    """

    name = "float-sensitive"

    def call(self, graph: Graph, notes: Notes) -> None:
        learnt, leading = graph.behind(WEIGHTED_OPS), graph.before(WEIGHTED_OPS)
        for pair in graph.of_type(DEQUANTIZE):
            if is_weight(graph, pair):
                continue
            before, behind = pair.output[0] in learnt, pair.output[0] not in leading
            for node, index in graph.consumers(pair.output[0]):
                reason = _reason(graph, node, before, behind)
                if reason and bypass(graph, node, index):
                    notes.change(node, f"{reason}, reads float")
                elif reason:
                    notes.leave(node, f"{reason}, but its integers are moved before they are dequantized")
            if behind and pair.output[0] in graph.outputs:
                _give_output(graph, pair, notes)


def _give_output(graph: Graph, pair: onnx.NodeProto, notes: Notes) -> None:
    """Make the input of a pair at a graph output that output itself."""
    source = quantizer_of(graph, pair)
    name = "" if source is None else source.input[0]
    if graph.producer(name) is None or name in graph.pinned:
        notes.leave(pair, "computes a graph output from integers")
    else:
        graph.rename_output(pair, name)
        notes.change(pair, "graph output in float")


def _reason(graph: Graph, node: onnx.NodeProto, before: bool, behind: bool) -> str:
    if node.op_type in SENSITIVE_OPS:
        return f"{node.op_type} is sensitive to rounding"
    if behind:
        return "behind the last weighted layer"
    if not before and not _serves_weighted(graph, node):
        return "preprocessing"
    return ""


def _serves_weighted(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node is a weighted layer, or only moves data to one."""
    while node.op_type in MOVING_OPS:
        readers = graph.consumers(node.output[0])
        if not readers:
            return False
        node = readers[0][0]
    return node.op_type in WEIGHTED_OPS

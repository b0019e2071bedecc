"""Cast bytes to float before moving them."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import MOVING_OPS

from .base import FinishingPass, Notes


class CastBeforeMoving(FinishingPass):
    """Move the Cast of a byte image in front of operators that only move its data.

    TensorRT supports UINT8 only for network inputs: it can cast them but not transpose them.

    After: no operator moves the data of a UINT8 graph input that is then only cast. Values are unchanged.
    Left: bytes that another operator than Cast reads.
    """

    name = "cast-before-moving"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type(*MOVING_OPS):
            source = node.input[0]
            if source not in graph.inputs or graph.element_type(source) != TensorProto.UINT8:
                continue
            ends, moved = _casts_behind(graph, node.output[0])
            if len(node.output) > 1 or not ends or node.output[0] in graph.pinned:
                notes.leave(node, "moves bytes that another operator than Cast reads")
                continue
            cast = graph.insert("Cast", [source], f"{source}_float", to=moved)
            graph.set_input(node, 0, cast)
            for end in ends:
                graph.replace(end.output[0], end.input[0])
            notes.change(node, f"reads {source} after its cast")


def _casts_behind(graph: Graph, name: str) -> tuple[list[onnx.NodeProto], int]:
    """The Casts at the ends of all paths of moved data, and the type that all cast to; empty and 0 if any differs."""
    ends: list[onnx.NodeProto] = []
    kinds: set[int] = set()
    queue = [name]
    while queue:
        for reader, _ in graph.consumers(queue.pop()):
            if reader.op_type == "Cast" and reader.output[0] not in graph.pinned:
                ends.append(reader)
                kinds.add(next(entry.i for entry in reader.attribute if entry.name == "to"))
            elif reader.op_type in MOVING_OPS and len(reader.output) == 1 and reader.output[0] not in graph.pinned:
                queue.append(reader.output[0])
            else:
                return [], 0
    return (ends, kinds.pop()) if len(kinds) == 1 else ([], 0)

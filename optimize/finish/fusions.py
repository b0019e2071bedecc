"""No Q/DQ pairs inside groups of operators that readers fuse."""

from __future__ import annotations

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import WEIGHTED_OPS

from .base import FinishingPass, Notes
from .qdq import bypass, dequantize_of, quantizer_of

FUSED_BEHIND = ("BatchNormalization", "Relu", "Clip", "LeakyRelu", "PRelu", "HardSigmoid", "HardSwish", "Elu")


class UnbrokenFusions(FinishingPass):
    """Remove the Q/DQ pair between a weighted layer (or a sum) and the normalisation or activation that follows it.

    TensorRT and ONNX Runtime fuse Conv + BatchNormalization + activation; a pair in between prevents that and rounds
    twice ("don't simulate batch normalization and ReLU fusions", TensorRT developer guide).

    After: no fusable operator reads a DQ whose Q reads a weighted layer, a sum or a BatchNormalization.
    """

    name = "unbroken-fusions"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type(*FUSED_BEHIND):
            pair = dequantize_of(graph, node.input[0])
            source = None if pair is None else quantizer_of(graph, pair)
            maker = None if source is None else graph.producer(source.input[0])
            if maker is None or maker.op_type not in WEIGHTED_OPS | {"Add", "BatchNormalization"}:
                continue
            if bypass(graph, node, 0):
                notes.change(node, f"fused with {maker.name} again")

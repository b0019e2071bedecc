"""Operators that gain nothing from INT8 stay in float."""

from __future__ import annotations

import onnx

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, MOVING_OPS

from .base import FinishingPass, Notes
from .qdq import bypass, is_weight

# One output value per input value, or per channel: no matrix product, so no INT8 tensor core is used.
POINTWISE_OPS = frozenset(
    {
        "Mul", "Div", "Sub", "Neg", "Abs", "Min", "Max", "Where", "Clip", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu",
        "Gelu", "Mish", "Swish", "HardSigmoid", "HardSwish", "BatchNormalization", "GlobalAveragePool", "ReduceMax",
    }
)  # fmt: skip


class FloatPointwise(FinishingPass):
    """Remove Q/DQ in front of products, quotients, activations and other operators without weights.

    ONNX Runtime's quantizer puts a pair behind every operator, so a hard swish written as Add, Clip, Mul and Div rounds
    four times, and each rounding costs twice as much with the symmetric ranges that TensorRT needs. TensorRT's guide
    says to quantize the inputs of weighted layers and, by default, nothing else ("Q/DQ Placement Recommendations").
    Sums of two activations, poolings, joins and moves keep their pairs: residual sums and their neighbours are INT8.

    After: none of these operators reads a pair. Values come closer to the float model's.
    """

    name = "float-pointwise"

    def call(self, graph: Graph, notes: Notes) -> None:
        for pair in graph.of_type(DEQUANTIZE):
            if is_weight(graph, pair):
                continue
            for node, index in graph.consumers(pair.output[0]):
                if _is_pointwise(graph, node) and bypass(graph, node, index):
                    notes.change(node, f"{node.op_type} has no weights, reads float")


def _is_pointwise(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node, or all that read it where it only moves data, are operators of this kind."""
    if node.op_type in POINTWISE_OPS:
        return True
    if node.op_type == "Add":
        return any(graph.constant(name) is not None for name in node.input)
    readers = graph.consumers(node.output[0]) if node.op_type in MOVING_OPS else []
    return bool(readers) and all(_is_pointwise(graph, reader) for reader, _ in readers)

"""Unsigned activations behind a ReLU, for ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx

from edgeau.optimize.graph import MOVING_OPS, Graph

from .base import FinishingPass, Notes
from .qdq import DEQUANTIZE, QUANTIZE, is_weight, linked, scale_of, set_parameters, zero_point_of

NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Softplus", "ReduceL2"})
KEEPS_SIGN = MOVING_OPS | {"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax"}
JOINS = frozenset({"Concat", "Add", "Mul"})


class UnsignedActivations(FinishingPass):
    """Make INT8 activations that are never negative unsigned, with zero point 0 and twice the resolution.

    ONNX Runtime takes a ReLU into QLinearConv only where the result is unsigned with zero point 0; with signed
    integers it runs Conv + ReLU in float.

    After: no Q of a tensor that can't be negative makes signed integers with zero point 0, unless these are shared with
    a tensor that can be negative. The range is unchanged: the scale is multiplied by 127 / 255.
    """

    name = "unsigned-activations"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type(QUANTIZE):
            zero_point = zero_point_of(graph, node)
            if zero_point is None or zero_point.dtype != np.int8 or zero_point.any() or is_weight(graph, node):
                continue
            sharers, closed = linked(graph, node)
            sources = [each.input[0] for each in sharers if each.op_type == QUANTIZE]
            if not closed or not all(is_never_negative(graph, name) for name in sources):
                continue
            for each in sharers:
                _make_unsigned(graph, each)
            notes.changed.append(f"{node.name}: int8 to uint8 with zero point 0, at twice the resolution")


def is_never_negative(graph: Graph, name: str) -> bool:
    """Whether a tensor can't hold a negative value, by the operators that made it."""
    node = graph.producer(name)
    if node is None:
        value = graph.constant(name)
        return value is not None and value.dtype.kind == "f" and bool((value >= 0).all())
    if node.op_type in NEVER_NEGATIVE:
        return True
    if node.op_type == "Clip":
        lowest = graph.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
        return lowest is not None and bool((lowest >= 0).all())
    if node.op_type in (QUANTIZE, DEQUANTIZE) or node.op_type in KEEPS_SIGN:
        return is_never_negative(graph, node.input[0])
    return node.op_type in JOINS and all(is_never_negative(graph, each) for each in node.input)


def _make_unsigned(graph: Graph, node: onnx.NodeProto) -> None:
    scale = scale_of(graph, node)
    if scale is not None:
        rescaled = (scale.astype(np.float64) * 127 / 255).astype(scale.dtype)
        set_parameters(graph, node, rescaled, np.zeros(scale.shape, np.uint8))

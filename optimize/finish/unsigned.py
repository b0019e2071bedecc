"""Unsigned activations behind ReLU, for ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import QUANTIZE

from .base import FinishingPass, Notes
from .qdq import is_weight, linked, scale_of, set_parameters, zero_point_of
from .signs import is_never_negative


class UnsignedActivations(FinishingPass):
    """Make INT8 activations that are never negative unsigned, with zero point 0 and twice the resolution.

    ONNX Runtime fuses a ReLU into QLinearConv only if the result is unsigned with zero point 0; with signed integers
    it runs Conv + ReLU in float.

    After: no Q of a tensor that can't be negative writes signed integers with zero point 0, unless a tensor that can be
    negative shares them. The range is unchanged: the scale is multiplied by 127 / 255.
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
            notes.change(node, "int8 to uint8 with zero point 0, at twice the resolution")


class OneIntegerType(FinishingPass):
    """Make the remaining signed activations unsigned with zero point 128, if any others are unsigned.

    ONNX Runtime has no QLinearAdd, QLinearMul or QLinearConcat of signed with unsigned integers, and computes them in
    float. Unsigned activations with signed weights are also what the dot product instructions of x86 take.

    After: activations are all signed or all unsigned. Every value is unchanged: an integer q is stored as q + 128.
    """

    name = "one-integer-type"

    def call(self, graph: Graph, notes: Notes) -> None:
        activations = [node for node in graph.of_type(QUANTIZE) if not is_weight(graph, node)]
        kinds = {id(node): zero_point_of(graph, node) for node in activations}
        if not any(zero_point is not None and zero_point.dtype == np.uint8 for zero_point in kinds.values()):
            return
        for node in activations:
            zero_point = kinds[id(node)]
            if zero_point is None or zero_point.dtype != np.int8:
                continue
            sharers, closed = linked(graph, node)
            if closed and node is next(each for each in sharers if each.op_type == QUANTIZE):
                for each in sharers:
                    _shift(graph, each)
                notes.change(node, "int8 to uint8 with zero point 128, values unchanged")


def _make_unsigned(graph: Graph, node: onnx.NodeProto) -> None:
    scale = scale_of(graph, node)
    if scale is not None:
        rescaled = (scale.astype(np.float64) * 127 / 255).astype(scale.dtype)
        set_parameters(graph, node, rescaled, np.zeros(scale.shape, np.uint8))


def _shift(graph: Graph, node: onnx.NodeProto) -> None:
    scale, zero_point = scale_of(graph, node), zero_point_of(graph, node)
    if scale is not None and zero_point is not None and zero_point.dtype == np.int8:
        shifted = (zero_point.astype(np.int16) + 128).astype(np.uint8)
        set_parameters(graph, node, scale, np.broadcast_to(shifted, scale.shape))

"""Operators that compute on integers become float operators between Q and DQ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from edgeau.optimize.onnx_graph.graph import Graph, attribute
from edgeau.optimize.onnx_graph.operators import DEFAULT_DOMAINS, DEQUANTIZE, FIRST_OPSET_OF_AXIS, MOVING_OPS, QUANTIZE

from .base import FinishingPass, Notes
from .qdq import scale_of, zero_point_of


@dataclass(frozen=True)
class IntegerOperator:
    """An operator of ONNX Runtime's QOperator format. A tensor takes three inputs: integers, scale, zero point.

    Attributes:
        float_type: the operator that computes the same on floats.
        tensors: index of each quantized input's integers.
        output: index of the output's scale, which its zero point follows.
        bias: index of an int32 bias whose scale is the product of the two inputs' scales; None where there is none.
    """

    float_type: str
    tensors: tuple[int, ...]
    output: int
    bias: int | None = None


_TWO, _ONE = (0, 3), (0,)
# Standard operators of ONNX, and those that ONNX Runtime documents for its domain com.microsoft (ContribOperators.md).
INTEGER_OPERATORS = {
    "QLinearConv": IntegerOperator("Conv", _TWO, 6, bias=8),
    "QLinearMatMul": IntegerOperator("MatMul", _TWO, 6),
    "QGemm": IntegerOperator("Gemm", _TWO, 7, bias=6),
    "QLinearAdd": IntegerOperator("Add", _TWO, 6),
    "QLinearMul": IntegerOperator("Mul", _TWO, 6),
    "QLinearSigmoid": IntegerOperator("Sigmoid", _ONE, 3),
    "QLinearLeakyRelu": IntegerOperator("LeakyRelu", _ONE, 3),
    "QLinearSoftmax": IntegerOperator("Softmax", _ONE, 3),
    "QLinearAveragePool": IntegerOperator("AveragePool", _ONE, 3),
    "QLinearGlobalAveragePool": IntegerOperator("GlobalAveragePool", _ONE, 3),
}
CONCAT = "QLinearConcat"  # the output's scale and zero point first, then the tensors
MICROSOFT = "com.microsoft"
_OWN_ATTRIBUTES = ("channels_last", "opset")
# Operators that ONNX Runtime runs on integers as they are.
_ON_INTEGERS = MOVING_OPS | {"Resize", "Pad", "Concat", "Clip", "Relu", "AveragePool"}


class FloatOperators(FinishingPass):
    """Write quantized operators (``QLinearConv``, ``QLinearAdd`` and others) as Q/DQ: a DQ in front of each input, the
    operator on floats, a Q behind it.

    Resize, Transpose and other operators that take integers as they are get a DQ and a Q as well.

    After: no operator of INTEGER_OPERATORS is left whose scales and zero points are constants. Values differ by at most
    one step of the output's scale, where rounding falls the other way.
    Left: computed scales, scales per channel before opset 13, channels last.
    """

    name = "float-operators"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in list(graph.nodes):
            known = INTEGER_OPERATORS.get(node.op_type)
            if node.op_type == CONCAT:
                tensors = tuple(range(2, len(node.input), 3))
                known = IntegerOperator("Concat", tensors, 0)
            if known is None or node.domain not in (*DEFAULT_DOMAINS, MICROSOFT):
                continue
            reason = _obstacle(graph, node, known)
            if reason:
                notes.leave(node, reason)
                continue
            was = node.op_type
            _rewrite(graph, node, known)
            notes.change(node, f"{was} to {known.float_type} between DQ and Q")
        for node in list(graph.nodes):
            if node.op_type in _ON_INTEGERS and node.domain in DEFAULT_DOMAINS and _surround(graph, node):
                notes.change(node, f"{node.op_type} on floats")


def _obstacle(graph: Graph, node: onnx.NodeProto, known: IntegerOperator) -> str:
    parameters = [index + more for index in (*known.tensors, known.output - 1) for more in (1, 2)]
    for index in parameters:
        if index < len(node.input) and node.input[index] and graph.constant(node.input[index]) is None:
            return f"{node.input[index]} is computed"
    if graph.opset < FIRST_OPSET_OF_AXIS and any(_size(graph, node.input[index + 1]) > 1 for index in known.tensors):
        return f"scales per channel need opset {FIRST_OPSET_OF_AXIS}, this is {graph.opset}: convert it first"
    if attribute(node, "channels_last", 0):
        return "channels last"
    if known.bias is not None and len(node.input) > known.bias and node.input[known.bias]:
        bias, scale = graph.constant(node.input[known.bias]), _bias_scale(graph, node)
        if bias is None or scale is None:
            return "bias is computed"
    return "" if len(node.input) > known.output else "no scale of the output"


def _size(graph: Graph, name: str) -> int:
    value = graph.constant(name)
    return 0 if value is None else value.size


def _rewrite(graph: Graph, node: onnx.NodeProto, known: IntegerOperator) -> None:
    bias = _float_bias(graph, node, known)
    inputs = [_dequantized(graph, node, index, known.float_type) for index in known.tensors]
    scale, zero_point = node.input[known.output : known.output + 2]
    node.op_type, node.domain = known.float_type, ""
    del node.input[:]
    node.input.extend([*inputs, *([bias] if bias else [])])
    for entry in [each for each in node.attribute if each.name in _OWN_ATTRIBUTES]:
        node.attribute.remove(entry)
    graph.interpose(node, QUANTIZE, _scalars(graph, scale, zero_point))


def _dequantized(graph: Graph, node: onnx.NodeProto, index: int, float_type: str) -> str:
    integers, scale, zero_point = node.input[index : index + 3]
    values = graph.constant(scale)
    if values is None or values.size == 1:
        return graph.insert(DEQUANTIZE, [integers, *_scalars(graph, scale, zero_point)], f"{integers}_float")
    axis = {"Conv": 0, "Gemm": 1 - attribute(node, "transB", 0)}.get(float_type, -1)
    return graph.insert(DEQUANTIZE, [integers, scale, zero_point], f"{integers}_float", axis=axis)


def _scalars(graph: Graph, *names: str) -> list[str]:
    """Parameters of one value as scalars: QLinear operators take [1] as well, which a Q reads as one channel."""
    scalars = []
    for name in names:
        value = graph.constant(name)
        scalars.append(name if value is None or value.ndim == 0 else graph.add_constant(name, value.reshape(())))
    return scalars


def _bias_scale(graph: Graph, node: onnx.NodeProto) -> np.ndarray | None:
    first, second = graph.constant(node.input[1]), graph.constant(node.input[4])
    return None if first is None or second is None else first.astype(np.float64) * second.astype(np.float64)


def _float_bias(graph: Graph, node: onnx.NodeProto, known: IntegerOperator) -> str:
    """Name of the bias as floats; "" where there is none."""
    if known.bias is None or len(node.input) <= known.bias or not node.input[known.bias]:
        return ""
    integers, scale = graph.constant(node.input[known.bias]), _bias_scale(graph, node)
    if integers is None or scale is None:
        return ""
    return graph.add_constant(f"{node.input[known.bias]}_float", (integers * scale.reshape(-1)).astype(np.float32))


def _surround(graph: Graph, node: onnx.NodeProto) -> bool:
    """Put a DQ in front of each quantized input and a Q behind the output. False where an input is no Q's integers."""
    count = len(node.input) if node.op_type == "Concat" else 1
    sources = [_quantizer_behind(graph, name) for name in list(node.input)[:count]]
    if any(source is None for source in sources) or not sources:
        return False
    for index, source in enumerate(sources):
        assert source is not None
        parameters = list(source.input[1:3])
        graph.set_input(
            node, index, graph.insert(DEQUANTIZE, [node.input[index], *parameters], f"{node.input[index]}_float")
        )
    first = sources[0]
    assert first is not None
    graph.interpose(node, QUANTIZE, list(first.input[1:3]))
    return True


def _quantizer_behind(graph: Graph, name: str) -> onnx.NodeProto | None:
    """The Q that an activation's integers come from."""
    producer = graph.producer(name)
    if producer is None or producer.op_type != QUANTIZE or graph.constant(producer.input[0]) is not None:
        return None
    return producer


def first_quantized_range(graph: Graph, name: str) -> tuple[float, float] | None:
    """Lowest and highest value of the integers that a tensor is quantized to first; None where it isn't."""
    for node, _ in graph.consumers(name):
        if node.op_type != QUANTIZE:
            continue
        scale, zero_point = scale_of(graph, node), zero_point_of(graph, node)
        if scale is not None and zero_point is not None and zero_point.dtype.kind in "iu" and scale.size == 1:
            limits, middle = np.iinfo(zero_point.dtype), int(zero_point.ravel()[0])
            step = float(scale.ravel()[0])
            return (limits.min - middle) * step, (limits.max - middle) * step
    return None

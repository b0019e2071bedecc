"""Reading and rewriting QuantizeLinear (Q) and DequantizeLinear (DQ) nodes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from edgeau.optimize.onnx_graph.graph import Graph, attribute
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, MOVING_OPS, QUANTIZE

# Concat of quantized tensors with one scale doesn't change values either.
_JOINING_OPS = MOVING_OPS | {"Concat"}


def scale_of(graph: Graph, node: onnx.NodeProto) -> np.ndarray | None:
    """A Q's or DQ's scale, shape () or [channels]; None where it is computed."""
    return graph.constant(node.input[1])


def zero_point_of(graph: Graph, node: onnx.NodeProto) -> np.ndarray | None:
    """A Q's or DQ's zero point in its integer type; None where it is computed.

    A Q without zero point writes uint8 with zero point 0, or the type in ``output_dtype`` (opset 21); a DQ without one
    takes the type of its input.
    """
    if len(node.input) > 2 and node.input[2]:
        return graph.constant(node.input[2])
    if node.op_type == DEQUANTIZE:
        data = graph.constant(node.input[0])
        if data is not None:
            return np.zeros((), data.dtype)
        source = quantizer_of(graph, node)
        return np.zeros((), np.uint8) if source is None else zero_point_of(graph, source)
    stated = attribute(node, "output_dtype", 0)
    return np.zeros((), helper.tensor_dtype_to_np_dtype(stated) if stated else np.uint8)


def quantizer_of(graph: Graph, dequantize: onnx.NodeProto) -> onnx.NodeProto | None:
    """The Q that a DQ reads directly, or None."""
    producer = graph.producer(dequantize.input[0])
    return producer if producer is not None and producer.op_type == QUANTIZE else None


def is_weight(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a Q or DQ belongs to constant data: a weight or a bias."""
    if graph.constant(node.input[0]) is not None:
        return True
    source = quantizer_of(graph, node) if node.op_type == DEQUANTIZE else None
    return source is not None and graph.constant(source.input[0]) is not None


def dequantize_of(graph: Graph, name: str) -> onnx.NodeProto | None:
    """The DQ that a tensor is the output of, or None."""
    producer = graph.producer(name)
    return producer if producer is not None and producer.op_type == DEQUANTIZE else None


def float_source(graph: Graph, dequantize: onnx.NodeProto) -> str | None:
    """The float tensor that a DQ restores: the input of its Q, or the dequantized weight as a new initializer.

    Returns:
        None where the integers are neither a Q's output nor constant.
    """
    source = quantizer_of(graph, dequantize)
    if source is not None:
        return source.input[0]
    value = dequantized(graph, dequantize)
    return None if value is None else graph.add_constant(f"{dequantize.input[0]}_float", value)


def dequantized(graph: Graph, dequantize: onnx.NodeProto) -> np.ndarray | None:
    """(integers - zero point) * scale of a DQ over constant integers, in the scale's type; None for other DQs."""
    integers, scale = graph.constant(dequantize.input[0]), scale_of(graph, dequantize)
    zero_point = zero_point_of(graph, dequantize)
    if integers is None or scale is None or zero_point is None:
        return None
    axis = attribute(dequantize, "axis", 1)
    if not (fits(scale, axis, integers.shape) and fits(zero_point, axis, integers.shape)):
        return None
    shifted = integers.astype(np.int64) - along(zero_point, axis, integers.ndim).astype(np.int64)
    return (shifted.astype(np.float64) * along(scale, axis, integers.ndim)).astype(scale.dtype)


def quantized(value: np.ndarray, scale: np.ndarray, axis: int) -> np.ndarray:
    """clip(round half to even(value / scale), -128, 127) as int8: QuantizeLinear with zero point 0."""
    divided = np.rint(value.astype(np.float32) / along(scale, axis, value.ndim).astype(np.float32))
    return np.clip(divided, -128, 127).astype(np.int8)


def fits(parameter: np.ndarray, axis: int, shape: tuple[int, ...]) -> bool:
    """Whether a scale or zero point has one value, or one per channel along an axis."""
    return parameter.size == 1 or (
        parameter.ndim == 1 and -len(shape) <= axis < len(shape) and shape[axis] == parameter.size
    )


def along(parameter: np.ndarray, axis: int, ndim: int) -> np.ndarray:
    """A scale or zero point, shape () or [channels], shaped so that it broadcasts along an axis."""
    if parameter.size == 1:
        return parameter.reshape(())
    shape = [1] * ndim
    shape[axis] = -1
    return parameter.reshape(shape)


def set_parameters(graph: Graph, node: onnx.NodeProto, scale: np.ndarray, zero_point: np.ndarray) -> None:
    """Give a Q or DQ its own scale and zero point; its integers take the zero point's type."""
    graph.set_input(node, 1, graph.add_constant(f"{node.name or node.output[0]}_scale", scale))
    graph.set_input(node, 2, graph.add_constant(f"{node.name or node.output[0]}_zero_point", zero_point))
    for entry in [each for each in node.attribute if each.name == "output_dtype"]:
        node.attribute.remove(entry)


def bypass(graph: Graph, node: onnx.NodeProto, index: int) -> bool:
    """Make a node read the float tensor in front of the Q/DQ pair at one of its inputs. False if there is none."""
    pair = dequantize_of(graph, node.input[index])
    source = None if pair is None else float_source(graph, pair)
    if source is None:
        return False
    graph.set_input(node, index, source)
    return True


def linked(graph: Graph, start: onnx.NodeProto) -> tuple[list[onnx.NodeProto], bool]:
    """All Q and DQ that share integers with this one, also across data movement, and whether nothing else uses them.

    The second value is False where the integers are a graph's input or output, or an operator computes on them: then
    the scale and zero point of these nodes must not change.
    """
    nodes: list[onnx.NodeProto] = []
    seen: set[str] = set()
    closed = True
    tensors = [start.output[0] if start.op_type == QUANTIZE else start.input[0]]
    while tensors:
        name = tensors.pop()
        if name in seen:
            continue
        seen.add(name)
        producer = graph.producer(name)
        if producer is None or name in graph.pinned:
            closed = False
        elif producer.op_type == QUANTIZE:
            nodes.append(producer)
        elif producer.op_type in _JOINING_OPS:
            tensors.extend(producer.input if producer.op_type == "Concat" else producer.input[:1])
        else:
            closed = False
        for reader, _ in graph.consumers(name):
            if reader.op_type == DEQUANTIZE:
                nodes.append(reader)
            elif reader.op_type in _JOINING_OPS:
                tensors.extend(reader.output)
            else:
                closed = False
    return nodes, closed

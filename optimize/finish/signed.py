"""INT8 with zero point 0, the only integers that TensorRT supports."""

from __future__ import annotations

import numpy as np
import onnx

from edgeau.optimize.onnx_graph.graph import Graph, attribute
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, QUANTIZE

from .base import FinishingPass, Notes
from .qdq import dequantized, is_weight, linked, quantized, quantizer_of, scale_of, set_parameters, zero_point_of
from .signs import is_never_negative

HIGHEST = 127  # of INT8; symmetric ranges use -127..127
_ROUNDING = 1e-3


class SignedActivations(FinishingPass):
    """Make unsigned or shifted activations signed and symmetric without reducing their range.

    Unsigned with zero point 0 and scale s covers 0..255 s; signed with scale s * 255 / 127 covers it too, at half the
    resolution. With another zero point the larger end determines the symmetric range. TensorRT itself would read
    unsigned integers as signed ones with scale s, which halves the range.

    An unsigned Q also clips to 0..255 s, and ONNX Runtime's quantizer drops a ReLU or a Clip (ReLU6, or the one inside
    a hard swish) in front of it for that reason. Where the tensor may be negative, a Clip to that range is inserted, so
    that it stays when a later pass removes the pair; ReluForClip turns it into a ReLU where the pair is kept.

    After: every activation's zero point is INT8 0.
    Left: integers that are a graph's input or output or that an operator computes on, and 16-bit ones.
    """

    name = "signed-activations"

    def call(self, graph: Graph, notes: Notes) -> None:
        activations = [node for node in graph.of_type(QUANTIZE, DEQUANTIZE) if not is_weight(graph, node)]
        # Read before anything is written: a DQ without a zero point has that of its Q.
        parameters = [(node, zero_point_of(graph, node), scale_of(graph, node)) for node in activations]
        for node, zero_point, scale in parameters:
            if zero_point is None or scale is None or _is_signed_symmetric(node, zero_point):
                continue
            if zero_point.dtype not in (np.int8, np.uint8):
                notes.leave(node, f"{zero_point.dtype} integers, which TensorRT lacks")
            elif not linked(graph, node)[1]:
                notes.leave(node, "its integers are used outside of Q/DQ pairs, so their scale can't change")
            else:
                if node.op_type == QUANTIZE and (zero_point == np.iinfo(zero_point.dtype).min).all():
                    _keep_clipping(graph, node, scale, notes)
                set_parameters(graph, node, symmetric_scale(scale, zero_point), np.zeros(scale.shape, np.int8))
                was = f"{zero_point.dtype} with zero point {int(zero_point.ravel()[0])}"
                notes.change(node, f"{was} to int8 with zero point 0")


class SignedWeights(FinishingPass):
    """Make unsigned or shifted weights signed and symmetric, with scales by the largest value per channel.

    After: every weight's zero point is INT8 0. Weights change by at most half a step of the new scale, and not at all
    where the old zero point was the middle of the old range.
    """

    name = "signed-weights"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type(DEQUANTIZE):
            zero_point = zero_point_of(graph, node)
            if not is_weight(graph, node) or zero_point is None or zero_point.dtype not in (np.int8, np.uint8):
                continue
            source = quantizer_of(graph, node)
            if _is_signed_symmetric(node, zero_point) and (source is None or len(source.input) > 2):
                continue
            if _requantize(graph, node, zero_point) if source is None else _rescale(graph, source):
                notes.change(node, f"{zero_point.dtype} weights to int8 with zero point 0")


class ReluForClip(FinishingPass):
    """Write a Clip from 0 as a ReLU where the Q behind it clips to the upper limit itself.

    TensorRT fuses a ReLU into the layer in front of it at every precision.

    After: no Clip from 0 is read only by Qs with zero point 0 whose range ends at or below its upper limit. Values are
    unchanged.
    """

    name = "relu-for-clip"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type("Clip"):
            limits = [graph.constant(name) if name else None for name in (*node.input[1:], "", "")[:2]]
            if limits[0] is None or limits[0].any() or limits[1] is None:
                continue
            readers = [reader for reader, _ in graph.consumers(node.output[0])]
            if node.output[0] in graph.pinned or not readers:
                continue
            if all(_ends_at(graph, reader, float(limits[1].max())) for reader in readers):
                node.op_type = "Relu"
                del node.input[1:]
                notes.change(node, "Clip to ReLU, since the Q behind it has the same upper limit")


def _ends_at(graph: Graph, node: onnx.NodeProto, limit: float) -> bool:
    """Whether a node is a Q with zero point 0 whose largest value is at most the limit, but for rounding."""
    if node.op_type != QUANTIZE:
        return False
    zero_point, scale = zero_point_of(graph, node), scale_of(graph, node)
    if zero_point is None or scale is None or zero_point.dtype != np.int8 or zero_point.any():
        return False
    return bool(float(scale.max()) * HIGHEST <= limit * (1 + _ROUNDING))


def _keep_clipping(graph: Graph, node: onnx.NodeProto, scale: np.ndarray, notes: Notes) -> None:
    if is_never_negative(graph, node.input[0]):
        return
    highest = (scale.max().astype(np.float64) * np.iinfo(np.uint8).max).astype(scale.dtype)
    limits = [
        graph.add_constant(f"{node.name}_{end}", np.asarray(v, scale.dtype))
        for end, v in (("lowest", 0), ("highest", highest))
    ]
    graph.set_input(node, 0, graph.insert("Clip", [node.input[0], *limits], f"{node.name}_never_negative"))
    notes.change(node, "Clip in front, which the unsigned integers implied")


def symmetric_scale(scale: np.ndarray, zero_point: np.ndarray) -> np.ndarray:
    """The scale with which -127..127 covers the range of integers with another zero point."""
    if zero_point.dtype == np.int8 and not zero_point.any():
        return scale
    limits = np.iinfo(zero_point.dtype)
    steps = np.maximum(zero_point.astype(np.int64) - limits.min, limits.max - zero_point.astype(np.int64))
    return (scale.astype(np.float64) * steps / HIGHEST).astype(scale.dtype)


def weight_scale(value: np.ndarray, axis: int | None) -> np.ndarray:
    """Largest absolute value / 127, per channel along an axis or for the whole tensor; 1 where all values are 0."""
    others = tuple(i for i in range(value.ndim) if i != axis)
    largest = np.abs(value).max(axis=None if axis is None else others)
    scale = np.asarray(largest, np.float64) / HIGHEST
    return np.where(scale > 0, scale, 1.0).astype(value.dtype)


def _is_signed_symmetric(node: onnx.NodeProto, zero_point: np.ndarray) -> bool:
    return zero_point.dtype == np.int8 and not zero_point.any() and len(node.input) > 2


def _requantize(graph: Graph, node: onnx.NodeProto, zero_point: np.ndarray) -> bool:
    """Requantize weights stored as integers."""
    value, scale = dequantized(graph, node), scale_of(graph, node)
    integers = graph.constant(node.input[0])
    if value is None or scale is None or integers is None:
        return False
    if zero_point.dtype == np.uint8 and (zero_point == 128).all():
        stored = (integers.astype(np.int16) - 128).astype(np.int8)
    elif zero_point.dtype == np.int8 and not zero_point.any():
        stored = integers
    else:
        axis = attribute(node, "axis", 1)
        scale = weight_scale(value, axis if scale.size > 1 else None)
        stored = quantized(value, scale, axis)
    graph.set_input(node, 0, graph.add_constant(f"{node.input[0]}_signed", stored))
    set_parameters(graph, node, scale, np.zeros(scale.shape, np.int8))
    return True


def _rescale(graph: Graph, source: onnx.NodeProto) -> bool:
    """Rescale weights stored as floats with a Q and a DQ."""
    value, scale = graph.constant(source.input[0]), scale_of(graph, source)
    if value is None or scale is None:
        return False
    scale = weight_scale(value, attribute(source, "axis", 1) if scale.size > 1 else None)
    for each in [source, *(reader for reader, _ in graph.consumers(source.output[0]))]:
        set_parameters(graph, each, scale, np.zeros(scale.shape, np.int8))
    return True

"""How weights are stored: as INT8 with a DQ or FP32 with a Q and a DQ, and with scales along which axis."""

from __future__ import annotations

import numpy as np
import onnx

from edgeau.optimize.onnx_graph.graph import Graph, attribute
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, FIRST_OPSET_OF_AXIS

from .base import FinishingPass, Notes
from .qdq import dequantize_of, dequantized, fits, quantized, quantizer_of, scale_of, zero_point_of
from .signed import weight_scale


class FoldWeights(FinishingPass):
    """Store weights as INT8 with a DQ: FP32 -> Q -> DQ becomes INT8 -> DQ, a quarter of the size.

    After: no Q with zero point 0 reads a constant. Values are unchanged.
    """

    name = "fold-weights"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type(DEQUANTIZE):
            source = quantizer_of(graph, node)
            value = None if source is None else graph.constant(source.input[0])
            if source is None or value is None or not _is_int8_symmetric(zero_point_of(graph, source)):
                continue
            scale = scale_of(graph, source)
            axis = attribute(source, "axis", 1)
            if scale is None or not fits(scale, axis, value.shape) or not (scale > 0).all():
                continue
            integers = quantized(value, scale, axis)
            graph.set_input(node, 0, graph.add_constant(f"{source.input[0]}_int8", integers))
            notes.change(node, "weights stored as INT8")


class UnfoldWeights(FinishingPass):
    """Store weights as FP32 with a Q and a DQ, as the guides for TensorRT 8 require.

    After: no DQ of an INT8 weight with two or more dimensions reads a constant. Values are unchanged.
    """

    name = "unfold-weights"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type(DEQUANTIZE):
            integers, value = graph.constant(node.input[0]), dequantized(graph, node)
            zero_point = zero_point_of(graph, node)
            if integers is None or value is None or integers.ndim < 2 or not _is_int8_symmetric(zero_point):
                continue
            floats = graph.add_constant(f"{node.input[0]}_float", value)
            inputs = [floats, *node.input[1:]]
            along = {"axis": attribute(node, "axis", 1)} if graph.opset >= FIRST_OPSET_OF_AXIS else {}
            name = graph.insert("QuantizeLinear", inputs, f"{node.name}_quantized", **along)
            graph.set_input(node, 0, name)
            notes.change(node, "weights stored as FP32 with Q and DQ")


class OutputChannelAxis(FinishingPass):
    """Give weights scales along their output channels, the only axis that TensorRT supports.

    Axis 0 for Conv and for Gemm with transB, 1 for ConvTranspose and Gemm without, the last for MatMul. Weights with
    scales along another axis are dequantized and quantized again.

    After: weights with more than one scale have one per output channel.
    """

    name = "output-channel-axis"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type("Conv", "ConvTranspose", "Gemm", "MatMul"):
            pair = dequantize_of(graph, node.input[1])
            scale = None if pair is None else scale_of(graph, pair)
            if pair is None or scale is None or scale.size == 1:
                continue
            source = quantizer_of(graph, pair)
            value = dequantized(graph, pair) if source is None else graph.constant(source.input[0])
            if value is None:
                continue
            axis = output_axis(node, value.ndim)
            if attribute(pair, "axis", 1) % value.ndim == axis:
                continue
            _requantize(graph, node, value, axis)
            notes.change(node, f"scales of weights along axis {axis}")


def output_axis(node: onnx.NodeProto, ndim: int) -> int:
    """The axis of a weight's output channels."""
    if node.op_type == "MatMul":
        return ndim - 1
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return 1 if node.op_type == "ConvTranspose" else 0


def _requantize(graph: Graph, node: onnx.NodeProto, value: np.ndarray, axis: int) -> None:
    scale = weight_scale(value, axis)
    stem = node.name or node.output[0]
    inputs = [
        graph.add_constant(f"{stem}_weight_int8", quantized(value, scale, axis)),
        graph.add_constant(f"{stem}_weight_scale", scale),
        graph.add_constant(f"{stem}_weight_zero_point", np.zeros(scale.shape, np.int8)),
    ]
    graph.set_input(node, 1, graph.insert(DEQUANTIZE, inputs, f"{stem}_weight_dequantized", axis=axis))


def _is_int8_symmetric(zero_point: np.ndarray | None) -> bool:
    return zero_point is not None and zero_point.dtype == np.int8 and not zero_point.any()

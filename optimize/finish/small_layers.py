"""Layers too small for INT8 kernels stay in float.

The limits are those of NVIDIA's Model Optimizer (modelopt/onnx/quantization/graph_utils.py,
`find_nodes_from_convs_to_exclude` and `_MIN_MATMUL_DIM`): tensor cores need 16 channels on both sides to be
worth using.
"""

from __future__ import annotations

import onnx

from edgeau.optimize.onnx_graph.graph import Graph, attribute
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, MOVING_OPS

from .base import FinishingPass, Notes
from .qdq import bypass, dequantize_of, quantizer_of

MIN_CHANNELS = 16
CHANNEL_MULTIPLE = 8
MIN_GROUPED_KERNEL = 3


class FloatSmallLayers(FinishingPass):
    """Remove Q/DQ in front of convolutions with few channels and matrix products with one row or few columns.

    After: none of these layers reads data or weights from a Q/DQ pair. Values come closer to the float model's.
    """

    name = "float-small-layers"

    def call(self, graph: Graph, notes: Notes) -> None:
        convolved = graph.behind({"Conv"})
        for node in graph.of_type("Conv", "Gemm", "MatMul"):
            reason = reason_for_float(graph, node, node.input[0] not in convolved)
            bypassed = [_bypass_behind_moves(graph, node, index) for index in range(len(node.input))] if reason else []
            if any(bypassed):
                notes.change(node, f"{reason}, stays in float")


def _bypass_behind_moves(graph: Graph, node: onnx.NodeProto, index: int) -> bool:
    """Bypass the pair at an input, also where data is moved between the pair and the layer for that layer alone."""
    producer = graph.producer(node.input[index])
    alone = len(graph.consumers(node.input[index])) == 1 and node.input[index] not in graph.pinned
    if producer is not None and producer.op_type in MOVING_OPS and alone:
        return _bypass_behind_moves(graph, producer, 0)
    return bypass(graph, node, index)


def reason_for_float(graph: Graph, node: onnx.NodeProto, first: bool) -> str:
    """Why a Conv (the first on its path, or not), Gemm or MatMul is faster in float; "" where INT8 pays."""
    if node.op_type == "Conv":
        return _small_convolution(graph, node, first)
    return _small_product(graph, node)


def _small_convolution(graph: Graph, node: onnx.NodeProto, first: bool) -> str:
    shape = tensor_shape(graph, node.input[1])
    if shape is None or any(size is None for size in shape):
        return ""
    sizes = [size or 0 for size in shape]
    channels_out, channels_in, kernel = sizes[0], sizes[1], sizes[2:]
    if min(channels_out, channels_in) >= MIN_CHANNELS:
        return ""
    if attribute(node, "group", 1) > 1:
        fits = channels_out % CHANNEL_MULTIPLE == 0 and min(kernel) >= MIN_GROUPED_KERNEL
    else:
        fits = channels_out % CHANNEL_MULTIPLE == 0 or channels_in % CHANNEL_MULTIPLE == 0
        fits = fits and (first or max(channels_out, channels_in) >= MIN_CHANNELS) and len(set(kernel)) == 1
    return "" if fits else f"{channels_in} channels per group to {channels_out}, kernel {'x'.join(map(str, kernel))}"


def _small_product(graph: Graph, node: onnx.NodeProto) -> str:
    left, right = tensor_shape(graph, node.input[0]), tensor_shape(graph, node.input[1])
    if right is None or len(right) < 2:
        return ""
    transposed = node.op_type == "Gemm" and attribute(node, "transB", 0) == 1
    inner, columns = (right[-1], right[-2]) if transposed else (right[-2], right[-1])
    for what, size in (("inner size", inner), ("columns", columns)):
        if size is not None and size < MIN_CHANNELS:
            return f"{size} {what}"
    if left is None or len(left) < 2:
        return "a vector" if left is not None or node.op_type == "Gemm" else ""
    # A dynamic number of rows of a plain matrix is the batch, which is 1 at the edge.
    rows = left[-2] if left[-2] is not None or len(left) > 2 else 1
    return "a matrix times a vector at batch 1" if rows == 1 else ""


def tensor_shape(graph: Graph, name: str) -> list[int | None] | None:
    """Shape of a tensor, if need be that of its integers or of the float tensor that was quantized."""
    shape = graph.shape(name)
    pair = dequantize_of(graph, name)
    if shape is None and pair is not None:
        shape = graph.shape(pair.input[0])
        source = quantizer_of(graph, pair) if pair.op_type == DEQUANTIZE else None
        if shape is None and source is not None:
            shape = graph.shape(source.input[0])
    return shape

"""Layers whose ranges are computed at run time (dynamic quantization) become float."""

from __future__ import annotations

import numpy as np
import onnx

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import DYNAMIC_QUANTIZE

from .base import FinishingPass, Notes

FLOAT_TYPES = {"ConvInteger": "Conv", "MatMulInteger": "MatMul"}


class FloatDynamic(FinishingPass):
    """Write ``ConvInteger`` and ``MatMulInteger`` behind a ``DynamicQuantizeLinear`` as Conv and MatMul on floats.

    ONNX Runtime's `quantize_dynamic` writes DynamicQuantizeLinear -> ConvInteger -> Cast -> Mul by the product of both
    scales. TensorRT needs scales at build time, so the layer reads the float activation and the dequantized weight.
    For INT8 the float model has to be quantized statically.

    After: no such group with constant weights remains. Values come closer to the float model's.
    Left: weights that are computed, and results that are scaled in another way.
    """

    name = "float-dynamic"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in list(graph.nodes):
            if node.op_type not in FLOAT_TYPES:
                continue
            source = graph.producer(node.input[0])
            scaled = None if source is None else _scaling(graph, node, source)
            weight = None if scaled is None else _weight(graph, node, scaled[1])
            if source is None or source.op_type != DYNAMIC_QUANTIZE or scaled is None or weight is None:
                notes.leave(node, f"{node.op_type} whose scales are not those of its input and a constant weight")
                continue
            was = node.op_type
            inputs = [source.input[0], graph.add_constant(f"{node.input[1]}_float", weight)]
            node.op_type = FLOAT_TYPES[was]
            del node.input[:]
            node.input.extend(inputs)
            graph.rename_output(scaled[0], node.output[0])
            notes.change(node, f"{was} to {node.op_type}; its range was computed at run time")


def _scaling(graph: Graph, node: onnx.NodeProto, source: onnx.NodeProto) -> tuple[onnx.NodeProto, np.ndarray] | None:
    """The Mul that turns a layer's integers into floats, and the weight's scale; None where they are used otherwise."""
    cast = _only_reader(graph, node.output[0], "Cast")
    multiply = None if cast is None else _only_reader(graph, cast.output[0], "Mul")
    if cast is None or multiply is None:
        return None
    other = multiply.input[1] if multiply.input[0] == cast.output[0] else multiply.input[0]
    product = graph.producer(other)
    if product is None or product.op_type != "Mul" or source.output[1] not in product.input:
        return None
    scale = graph.constant(product.input[1] if product.input[0] == source.output[1] else product.input[0])
    return None if scale is None else (multiply, scale)


def _only_reader(graph: Graph, name: str, kind: str) -> onnx.NodeProto | None:
    readers = graph.consumers(name)
    alone = len(readers) == 1 and name not in graph.pinned and readers[0][0].op_type == kind
    return readers[0][0] if alone else None


def _weight(graph: Graph, node: onnx.NodeProto, scale: np.ndarray) -> np.ndarray | None:
    """(integers - zero point) * scale as float32, with one scale or one per output channel; None where not constant."""
    integers = graph.constant(node.input[1])
    stated = len(node.input) > 3 and bool(node.input[3])
    zero_point = graph.constant(node.input[3]) if stated else np.zeros((), np.uint8)
    if integers is None or zero_point is None:
        return None
    channels = 0 if node.op_type == "ConvInteger" else -1
    shape = [1] * integers.ndim
    shape[channels] = -1
    if not {scale.size, zero_point.size} <= {1, integers.shape[channels]}:
        return None
    shifted = integers.astype(np.float32) - zero_point.astype(np.float32).reshape(shape)
    return (shifted * scale.astype(np.float32).reshape(shape)).astype(np.float32)

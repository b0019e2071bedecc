"""Constants in float, except for weights."""

from __future__ import annotations

import numpy as np

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, WEIGHTED_OPS

from .base import FinishingPass, Notes
from .qdq import bypass, dequantize_of, is_weight

WEIGHT_INPUT = 1


class FloatConstants(FinishingPass):
    """Replace constants stored as integers with a DQ by the floats that they represent, unless they are weights.

    These are biases of layers, the statistics of BatchNormalization, and operands of sums and products. TensorRT
    expects float biases and rounds them itself at build time (TensorRT issue 3360), and its importer refuses a DQ over
    int32 wherever it is read.

    After: only weights of Conv, ConvTranspose, Gemm and MatMul are read from a DQ over constants. Values are unchanged,
    or come closer to the float model's where the constant was stored as a float with a Q and a DQ.
    """

    name = "float-constants"

    def call(self, graph: Graph, notes: Notes) -> None:
        for pair in graph.of_type(DEQUANTIZE):
            if not is_weight(graph, pair):
                continue
            stored = graph.constant(pair.input[0])
            kind = np.dtype(np.float32) if stored is None else stored.dtype
            for node, index in graph.consumers(pair.output[0]):
                if node.op_type in WEIGHTED_OPS and index <= WEIGHT_INPUT:
                    continue
                if dequantize_of(graph, node.input[index]) is pair and bypass(graph, node, index):
                    notes.change(node, f"{kind} constant {pair.input[0]} to float")

"""Biases in float."""

from __future__ import annotations

import numpy as np

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import WEIGHTED_OPS

from .base import FinishingPass, Notes
from .qdq import bypass, dequantize_of, is_weight

BIAS_INPUT = 2


class FloatBias(FinishingPass):
    """Replace biases stored as integers with a DQ by the floats that they represent.

    TensorRT expects float biases and rounds them itself at build time (TensorRT issue 3360).

    After: no Conv, ConvTranspose or Gemm reads its bias from a DQ over constants. Values are unchanged.
    """

    name = "float-bias"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type(*WEIGHTED_OPS):
            if len(node.input) <= BIAS_INPUT:
                continue
            pair = dequantize_of(graph, node.input[BIAS_INPUT])
            if pair is None or not is_weight(graph, pair):
                continue
            stored = graph.constant(pair.input[0])
            kind = np.dtype(np.float32) if stored is None else stored.dtype
            if bypass(graph, node, BIAS_INPUT):
                notes.change(node, f"{kind} bias to float")

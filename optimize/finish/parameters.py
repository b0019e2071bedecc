"""As many zero points as scales."""

from __future__ import annotations

import numpy as np

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, QUANTIZE

from .base import FinishingPass, Notes
from .qdq import scale_of, set_parameters, zero_point_of


class MatchingParameters(FinishingPass):
    """Give every Q and DQ as many zero points as scales.

    TensorRT's importer asserts that both have the same volume; ONNX requires the same shape.

    After: scale and zero point have the same shape. Values are unchanged.
    Left: different zero points whose number is not that of the scales.
    """

    name = "matching-parameters"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type(QUANTIZE, DEQUANTIZE):
            scale, zero_point = scale_of(graph, node), zero_point_of(graph, node)
            if scale is None or zero_point is None or len(node.input) < 3 or scale.size == zero_point.size:
                continue
            if np.unique(zero_point).size > 1:
                notes.leave(node, f"{zero_point.size} different zero points for {scale.size} scales")
                continue
            set_parameters(graph, node, scale, np.full(scale.shape, zero_point.ravel()[0]))
            notes.change(node, f"{zero_point.size} zero points replaced by {scale.size}, one per scale")

"""One scale per activation."""

from __future__ import annotations

import numpy as np

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, QUANTIZE

from .base import FinishingPass, Notes
from .qdq import is_weight, scale_of, set_parameters, zero_point_of


class PerTensorActivations(FinishingPass):
    """Replace an activation's per-channel scales by the largest of them.

    TensorRT: "Activations cannot be quantized per-channel" (NvInfer.h). NNCF writes them in front of depthwise layers.

    After: no activation has more than one scale. Its range covers those of all channels.
    Left: activations whose channels have different zero points; run `signed-activations` first.
    """

    name = "per-tensor-activations"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type(QUANTIZE, DEQUANTIZE):
            scale, zero_point = scale_of(graph, node), zero_point_of(graph, node)
            if is_weight(graph, node) or scale is None or zero_point is None or scale.size == 1:
                continue
            if np.unique(zero_point).size > 1:
                notes.leave(node, "channels have different zero points")
                continue
            set_parameters(graph, node, scale.max(), zero_point.ravel()[0])
            for entry in [each for each in node.attribute if each.name == "axis"]:
                node.attribute.remove(entry)
            notes.change(node, f"{scale.size} scales replaced by the largest")

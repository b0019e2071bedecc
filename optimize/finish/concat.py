"""One scale for all inputs of a Concat."""

from __future__ import annotations

import numpy as np
import onnx

from edgeau.optimize.onnx_graph.graph import Graph

from .base import FinishingPass, Notes
from .qdq import dequantize_of, is_weight, linked, scale_of, set_parameters, zero_point_of


class SharedConcatScale(FinishingPass):
    """Give the activations that a Concat joins the largest of their scales.

    With one scale TensorRT only copies the integers; with several it rescales each input first.

    After: if all inputs of a Concat come from DQs with zero point 0, they share one scale. No range shrinks.
    """

    name = "shared-concat-scale"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type("Concat"):
            pairs = [dequantize_of(graph, name) for name in node.input]
            scales = [_tensor_scale(graph, pair) for pair in pairs if pair is not None]
            known = [scale for scale in scales if scale is not None]
            if len(known) < len(node.input) or min(known) == max(known):
                continue
            for pair in pairs:
                for each in linked(graph, pair)[0] if pair is not None else ():
                    scale, zero_point = scale_of(graph, each), zero_point_of(graph, each)
                    if scale is not None and zero_point is not None:
                        set_parameters(graph, each, np.full_like(scale, max(known)), zero_point)
            notes.change(node, f"{len(set(known))} scales replaced by the largest")


def _tensor_scale(graph: Graph, pair: onnx.NodeProto) -> float | None:
    """The scale of an activation that has one, zero point 0, and integers of which only Q and DQ know."""
    scale, zero_point = scale_of(graph, pair), zero_point_of(graph, pair)
    if scale is None or zero_point is None or is_weight(graph, pair) or not linked(graph, pair)[1]:
        return None
    return float(scale.ravel()[0]) if scale.size == 1 and not zero_point.any() else None

"""Scales, zero points and folded weights that TensorRT's importer must find without following a path."""

from __future__ import annotations

from edgeau.optimize.graph import Graph

from .base import FinishingPass, Notes
from .qdq import DEQUANTIZE, QUANTIZE


class DirectConstants(FinishingPass):
    """Let every Q and DQ read its constants as initializers.

    PyTorch's exporter routes zero points through Identity nodes; importers before TensorRT 10 don't follow those.

    After: a scale, zero point or constant data input of a Q or DQ is an initializer. Values are unchanged.
    Left: a scale or zero point that is computed.
    """

    name = "direct-constants"

    def call(self, graph: Graph, notes: Notes) -> None:
        direct: dict[str, str] = {}
        for node in graph.of_type(QUANTIZE, DEQUANTIZE):
            for index, name in enumerate(node.input):
                if not name or name in graph.tensors:
                    continue
                value = graph.constant(name)
                if value is not None:
                    if name not in direct:
                        direct[name] = graph.add_constant(f"{name}_value", value)
                    graph.set_input(node, index, direct[name])
                    notes.change(node, f"input {index} read directly instead of through {name}")
                elif index > 0:
                    notes.leave(node, f"{name} is computed, and nothing here can know its value")

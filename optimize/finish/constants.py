"""Scales, zero points and folded weights that TensorRT's importer must find without following a path."""

from __future__ import annotations

from edgeau.optimize.onnx_graph.graph import Graph

from .base import FinishingPass, Notes
from .qdq import DEQUANTIZE, QUANTIZE

FIRST_OPSET_OF_OPTIONAL_ROI = 13


class OmittedInputs(FinishingPass):
    """Leave out the optional inputs of Resize that are given as initializers of no elements.

    PyTorch wrote an empty ``roi`` or ``scales`` so; TensorRT's importer warns of every initializer without elements.

    After: no Resize reads an initializer without elements. Left: before opset 13, where ``roi`` had to be
    given, and such initializers that other operators read.
    """

    name = "omitted-inputs"

    def call(self, graph: Graph, notes: Notes) -> None:
        for name, tensor in list(graph.tensors.items()):
            if 0 not in tensor.dims:
                continue
            for node, index in graph.consumers(name):
                if node.op_type == "Resize" and index > 0 and graph.opset >= FIRST_OPSET_OF_OPTIONAL_ROI:
                    graph.set_input(node, index, "")
                    notes.change(node, f"input {index} has no elements and is left out")
                else:
                    notes.leave(node, f"{name} has no elements")


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

"""Constants in the places where TensorRT's importer looks for them."""

from __future__ import annotations

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, QUANTIZE

from .base import FinishingPass, Notes

FIRST_OPSET_OF_OPTIONAL_ROI = 13


class OmittedInputs(FinishingPass):
    """Omit optional inputs of Resize that are initializers without elements.

    PyTorch wrote unused ``roi`` and ``scales`` inputs like this; TensorRT's importer warns about each of them.

    After: no Resize reads an initializer without elements. Left: Resize before opset 13, where ``roi`` was
    required, and other operators that read such initializers.
    """

    name = "omitted-inputs"

    def call(self, graph: Graph, notes: Notes) -> None:
        for name, tensor in list(graph.tensors.items()):
            if 0 not in tensor.dims:
                continue
            for node, index in graph.consumers(name):
                if node.op_type == "Resize" and index > 0 and graph.opset >= FIRST_OPSET_OF_OPTIONAL_ROI:
                    graph.set_input(node, index, "")
                    notes.change(node, f"input {index} has no elements and is omitted")
                else:
                    notes.leave(node, f"{name} has no elements")


class DirectConstants(FinishingPass):
    """Let every Q and DQ read its constants from initializers.

    PyTorch's exporter routes zero points through Identity nodes, which importers before TensorRT 10 don't follow.

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
                    notes.leave(node, f"{name} is computed at run time, so its value is unknown here")

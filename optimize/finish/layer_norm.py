"""LayerNormalization for TensorRT versions without it."""

from __future__ import annotations

import numpy as np
import onnx

from edgeau.optimize.onnx_graph.graph import Graph, attribute
from edgeau.optimize.onnx_graph.operators import FIRST_OPSET_OF_AXES_INPUT

from .base import FinishingPass, Notes


class PlainLayerNorm(FinishingPass):
    """Replace LayerNormalization by the operators that ONNX defines it with, for TensorRT before 8.6.

    y = (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * scale + bias, over the axes from ``axis`` on.

    After: no LayerNormalization of known rank with a single used output remains. Values differ by float rounding.
    Left: those of unknown rank, and those whose mean or deviation is read.
    """

    name = "plain-layer-norm"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type("LayerNormalization"):
            shape = graph.shape(node.input[0])
            if shape is None or any(graph.consumers(name) for name in node.output[1:] if name):
                notes.leave(node, "its rank is unknown, or its mean or deviation is read")
                continue
            _write(graph, node, list(range(attribute(node, "axis", -1) % len(shape), len(shape))))
            notes.change(node, "LayerNormalization replaced by basic operators")


def _write(graph: Graph, node: onnx.NodeProto, axes: list[int]) -> None:
    stem, x = node.name or node.output[0], node.input[0]
    epsilon = next((entry.f for entry in node.attribute if entry.name == "epsilon"), 1e-5)
    centred = graph.insert("Sub", [x, _mean(graph, x, axes, stem)], f"{stem}_centred")
    square = graph.insert("Mul", [centred, centred], f"{stem}_square")
    shift = graph.add_constant(f"{stem}_epsilon", np.array(epsilon, np.float32))
    variance = graph.insert("Add", [_mean(graph, square, axes, stem), shift], f"{stem}_variance")
    deviation = graph.insert("Sqrt", [variance], f"{stem}_deviation")
    result = graph.insert("Div", [centred, deviation], f"{stem}_normalised")
    result = graph.insert("Mul", [result, node.input[1]], f"{stem}_scaled")
    if len(node.input) > 2 and node.input[2]:
        result = graph.insert("Add", [result, node.input[2]], f"{stem}_shifted")
    graph.rename_output(node, result)


def _mean(graph: Graph, name: str, axes: list[int], stem: str) -> str:
    if graph.opset >= FIRST_OPSET_OF_AXES_INPUT:
        axes_input = graph.add_constant(f"{stem}_axes", np.array(axes, np.int64))
        return graph.insert("ReduceMean", [name, axes_input], f"{stem}_mean", keepdims=1)
    return graph.insert("ReduceMean", [name], f"{stem}_mean", axes=axes, keepdims=1)

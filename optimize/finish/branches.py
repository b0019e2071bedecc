"""One reader of each INT8 convolution, for OpenVINO."""

from __future__ import annotations

import numpy as np
import onnx

from edgeau.optimize.graph import Graph

from .base import FinishingPass, Notes
from .qdq import dequantize_of
from .residual import CONVOLUTIONS

LIMIT = np.finfo(np.float32).max


class BarredBranches(FinishingPass):
    """Put a Clip that clips nothing behind each INT8 convolution whose result several operators read.

    OpenVINO (2026.4, CPU, dynamic batch) moves a convolution's scale behind it and into one of its readers, and the
    others then read unscaled integers: concatenated or added to something else, the result is noise (4 dB on one
    convolution, measured). A Clip to all of float32 keeps the scale where it is, and changes no value.

    After: no convolution that reads dequantized data has more than one reader.
    """

    name = "barred-branches"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type(*CONVOLUTIONS):
            made = node.output[0]
            readers = graph.consumers(made)
            if len(readers) < 2 or made in graph.pinned or dequantize_of(graph, node.input[0]) is None:
                continue
            _bar(graph, node, readers)
            notes.change(node, f"one reader in place of {len(readers)}")


def _bar(graph: Graph, node: onnx.NodeProto, readers: list[tuple[onnx.NodeProto, int]]) -> None:
    stem = node.name or node.output[0]
    low, high = (graph.add_constant(f"{stem}_{sign}", np.array(sign * LIMIT, np.float32)) for sign in (-1, 1))
    barred = graph.insert("Clip", [node.output[0], low, high], f"{stem}_barred")
    for reader, index in readers:
        graph.set_input(reader, index, barred)

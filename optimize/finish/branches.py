"""A single reader per INT8 convolution, for OpenVINO."""

from __future__ import annotations

import numpy as np

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import CONVOLUTIONS

from .base import FinishingPass, Notes
from .qdq import dequantize_of

LOOKED_THROUGH = frozenset({"Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
LIMIT = np.finfo(np.float32).max


class BarredBranches(FinishingPass):
    """Insert a Clip without effect behind each INT8 convolution whose result several operators read.

    OpenVINO (2026.4, CPU, dynamic batch) moves a convolution's scale into one of its readers, and the other readers
    then see unscaled integers: concatenated or added to something else, the result is noise (4 dB on one convolution,
    measured). A Clip to the range of float32 keeps the scale in place and changes no value.

    After: no convolution that reads dequantized data has more than one reader; a graph output counts as a reader.
    Operators that OpenVINO drops because they change no value are looked through.
    """

    name = "barred-branches"

    def call(self, graph: Graph, notes: Notes) -> None:
        for node in graph.of_type(*CONVOLUTIONS):
            count = _readers(graph, node.output[0])
            if count > 1 and dequantize_of(graph, node.input[0]) is not None:
                stem = node.name or node.output[0]
                limits = [graph.add_constant(f"{stem}_{sign}", np.array(sign * LIMIT, np.float32)) for sign in (-1, 1)]
                graph.interpose(node, "Clip", limits)
                notes.change(node, f"one reader instead of {count}")


def _readers(graph: Graph, name: str) -> int:
    """Number of readers of a tensor, looking through operators that don't change its values."""
    readers = graph.consumers(name)
    if len(readers) == 1 and name not in graph.pinned and readers[0][0].op_type in LOOKED_THROUGH:
        return _readers(graph, readers[0][0].output[0])
    return len(readers) + (name in graph.pinned)

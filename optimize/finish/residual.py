"""Residual sums: Q/DQ on the skip input only, not between a convolution and its sum."""

from __future__ import annotations

import onnx

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import CONVOLUTIONS, DEQUANTIZE

from .base import FinishingPass, Notes
from .qdq import bypass, dequantize_of, quantizer_of

# TensorRT folds these into the convolution in front of them.
FOLDED_OPS = frozenset({"BatchNormalization", "Identity"})


class ResidualAdds(FinishingPass):
    """Remove the Q/DQ pair between a convolution and the Add that it feeds, on one input of each Add.

    TensorRT fuses Conv + Add (+ ReLU) when the convolution's result stays in float and the skip input is INT8
    (tensorflow-quantization, add_custom_qdq_cases.md). If both inputs come from convolutions, the branch is the one
    with more convolutions since the paths diverged; the other is the skip and keeps its pair.

    After: no Add has a pair between it and the convolution that ends its branch. Values come closer to the float
    model's.
    Left: pairs between which integers are moved.
    """

    name = "residual-adds"

    def call(self, graph: Graph, notes: Notes) -> None:
        for add in graph.of_type("Add"):
            index = branch_input(graph, add)
            if index is None or dequantize_of(graph, add.input[index]) is None:
                continue
            if bypass(graph, add, index):
                notes.change(add, "reads its convolution in float")
            else:
                notes.leave(add, "integers between it and its convolution are moved")


def branch_input(graph: Graph, add: onnx.NodeProto) -> int | None:
    """Which input of an Add is a branch ending in a convolution; None if neither is, or if a constant is added."""
    if any(graph.constant(name) is not None for name in add.input):
        return None
    ends = [convolution_behind(graph, name) for name in add.input]
    if ends[0] is None or ends[1] is None:
        return next((index for index, end in enumerate(ends) if end is not None), None)
    lengths = _lengths_since_fork(graph, add.input[0], add.input[1])
    return 0 if lengths[0] >= lengths[1] else 1


def convolution_behind(graph: Graph, name: str) -> onnx.NodeProto | None:
    """The convolution that a tensor comes from: directly, through a Q/DQ pair, or through operators folded into it."""
    node = graph.producer(name)
    while node is not None and node.op_type not in CONVOLUTIONS:
        if node.op_type == DEQUANTIZE:
            node = quantizer_of(graph, node)
            if node is None:
                return None
        elif node.op_type not in FOLDED_OPS:
            return None
        node = graph.producer(node.input[0])
    return node


def _lengths_since_fork(graph: Graph, left: str, right: str) -> tuple[int, int]:
    """Number of convolutions on each path back to the nearest tensor that both are computed from."""
    depths = [_depths(graph, left), _depths(graph, right)]
    shared = [name for name in depths[0] if name in depths[1]]
    if not shared:
        return max(depths[0].values()), max(depths[1].values())
    nearest = min(shared, key=lambda name: depths[0][name] + depths[1][name])
    return depths[0][nearest], depths[1][nearest]


def _depths(graph: Graph, name: str) -> dict[str, int]:
    """The smallest number of convolutions between a tensor and each tensor that it is computed from."""
    depths = {name: 0}
    queue = [name]
    while queue:
        current = queue.pop(0)
        node = graph.producer(current)
        if node is None:
            continue
        depth = depths[current] + (node.op_type in CONVOLUTIONS)
        for each in node.input:
            if each and graph.constant(each) is None and depth < depths.get(each, depth + 1):
                depths[each] = depth
                queue.append(each)
    return depths

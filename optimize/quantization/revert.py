"""Putting quantized layers back to float."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import onnx

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, MOVING_OPS, QUANTIZE, WEIGHTED_OPS


def revert(quantized: onnx.ModelProto, model: onnx.ModelProto, layers: Iterable[str]) -> onnx.ModelProto:
    """A copy of the quantized model in which these layers compute on float data and float weights again.

    Q/DQ pairs that no quantized layer uses any more are removed: rounding only for an addition gains nothing.

    Args:
        quantized: Q/DQ model with the node names of ``model``.
        model: the float model.
        layers: names of weighted nodes. Names that are not in both models are ignored.
    """
    result = copy.deepcopy(quantized)
    originals = {node.name: node for node in model.graph.node}
    floats = {tensor.name: tensor for tensor in model.graph.initializer}
    reverted = {name for name in layers if name in originals}
    pairs = _activation_pairs(result)
    useless = _useless_pairs(result, pairs, reverted)
    for node in result.graph.node:
        for index, name in enumerate(node.input):
            if name in pairs and (node.name in reverted or name in useless):
                node.input[index] = pairs[name]
            elif node.name in reverted and originals[node.name].input[index] in floats:
                # Under a new name, because the quantized model still has the bias under the old one.
                weight = copy.deepcopy(floats[originals[node.name].input[index]])
                weight.name = f"{node.name}/float/{index}"
                result.graph.initializer.append(weight)
                node.input[index] = weight.name
    return Graph(result).write()


def _activation_pairs(model: onnx.ModelProto) -> dict[str, str]:
    """The float tensor in front of each activation's Q/DQ pair, by the name of the dequantized tensor."""
    sources = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == QUANTIZE}
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        node.output[0]: sources[node.input[0]]
        for node in model.graph.node
        if node.op_type == DEQUANTIZE and node.input[0] in sources and sources[node.input[0]] not in constants
    }


def _useless_pairs(model: onnx.ModelProto, pairs: dict[str, str], reverted: set[str]) -> set[str]:
    """Dequantized tensors that a reverted layer reads or computes, and that no quantized layer reads."""
    producers = {output: node for node in model.graph.node for output in node.output}
    by_reverted: set[str] = set()
    by_others: set[str] = set()
    for node in model.graph.node:
        if node.op_type in WEIGHTED_OPS:
            read = _behind(node.input, producers, MOVING_OPS)[0]
            (by_reverted if node.name in reverted else by_others).update(read)
    useless = set()
    for name, source in pairs.items():
        computed_by = _behind([source], producers, None)[1]
        if name not in by_others and (name in by_reverted or computed_by & reverted):
            useless.add(name)
    return useless


def _behind(
    names: Iterable[str], producers: dict[str, onnx.NodeProto], through: frozenset[str] | None
) -> tuple[set[str], set[str]]:
    """Tensors that ``names`` are computed from, and the weighted layers where this search ends.

    ``through`` are the operators that the search passes; None for all but weighted ones.
    """
    seen, layers, stack = set(), set(), list(names)
    while stack:
        name = stack.pop()
        node = producers.get(name)
        if name in seen:
            continue
        seen.add(name)
        if node is not None and node.op_type in WEIGHTED_OPS:
            layers.add(node.name)
        elif node is not None and (through is None or node.op_type in through):
            stack.extend(node.input)
    return seen, layers

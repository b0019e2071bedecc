"""Ranges of INT8 activations, chosen so that all crops have the same weight.

The largest value over all crops is a bad range if a few crops have much larger values than the rest: in a FAN with
unbounded sums, two crops in a hundred reach 40 times the values of the others and leave these 3 of 127 levels. The mean
of the crops' largest values is a bad range if most crops show little: it clips expressions. So the range is searched
for: among the largest and smaller ones down to 1/64 of it, the one with the smallest error (from rounding inside and
clipping outside), relative to each crop's values and averaged over crops. The error is an amplitude: decisions flip in
proportion to it, and squared, one unusual crop would have the weight of sixty others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgeau.optimize.finish.qdq import is_weight, quantizer_of, scale_of, set_parameters, zero_point_of
from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, QUANTIZE
from edgeau.optimize.onnx_graph.session import run_each
from edgeau.optimize.samples import some

# Steps of a factor of 2 ** 0.25.
CANDIDATES = 2.0 ** (-np.arange(25) / 4)
BINS = 1024
MAX_CROPS = 64


@dataclass
class _Group:
    """Quantizers that share one scale, and the error of each candidate range, summed over crops and tensors.

    Attributes:
        steps: see `_steps`.
    """

    steps: tuple[float, float, float]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    costs: np.ndarray = field(default_factory=lambda: np.zeros(len(CANDIDATES)))


def refine_ranges(quantized: onnx.ModelProto, samples: Sequence[dict[str, np.ndarray]]) -> onnx.ModelProto:
    """A copy in which each activation's scale is the best of several, none larger than before.

    Args:
        quantized: Q/DQ model whose scales cover (nearly) all values on the samples; weights and zero points stay.
        samples: the graph's inputs by name, one crop each; at most MAX_CROPS, evenly spread, are used.
    """
    graph = Graph(quantized)
    groups = _groups(graph)
    names = sorted({node.input[0] for group in groups for node in group.nodes})
    watched = _watched(quantized, names)
    for outputs in run_each(watched, some(samples, MAX_CROPS), optimized=True):
        values = dict(zip(names, outputs[-len(names) :], strict=True)) if names else {}
        for group in groups:
            for node in group.nodes:
                group.costs += np.sqrt(_noise(values[node.input[0]], *group.steps))
    for group in groups:
        factor = CANDIDATES[int(np.argmin(group.costs))]
        for node in group.nodes:
            _rescale(graph, node, float(factor))
    return graph.write()


def _groups(graph: Graph) -> list[_Group]:
    """Quantizers of activations, grouped by scale; NNCF gives equal scales to quantizers that must share them."""
    groups: dict[tuple[float, float, float], _Group] = {}
    for node in graph.of_type(QUANTIZE):
        scale, zero_point = scale_of(graph, node), zero_point_of(graph, node)
        if not is_weight(graph, node) and scale is not None and zero_point is not None and scale.size == 1:
            steps = _steps(graph, node)
            groups.setdefault(steps, _Group(steps)).nodes.append(node)
    return list(groups.values())


def _steps(graph: Graph, node: onnx.NodeProto) -> tuple[float, float, float]:
    """A quantizer's step, and the smallest and largest value of its range."""
    scale, zero_point = scale_of(graph, node), zero_point_of(graph, node)
    assert scale is not None
    assert zero_point is not None
    step, middle, kind = float(scale.ravel()[0]), int(zero_point.ravel()[0]), np.iinfo(zero_point.dtype)
    return step, (kind.min - middle) * step, (kind.max - middle) * step


def _noise(value: np.ndarray, step: float, low: float, high: float) -> np.ndarray:
    """Error energy of each candidate on one crop's tensor, relative to the tensor's energy."""
    energy = float(np.square(value, dtype=np.float64).sum())
    if energy == 0:
        return np.zeros(len(CANDIDATES))
    counts, edges = np.histogram(value, BINS, (min(low, float(value.min())), max(high, float(value.max()))))
    middles = (edges[:-1] + edges[1:]) / 2
    factors = CANDIDATES[:, None]
    cut = np.maximum(np.maximum(middles - high * factors, low * factors - middles), 0)
    # Zeros, of which ReLU outputs many, are exact with any step.
    inside = np.count_nonzero(value) - (counts * (cut > 0)).sum(axis=1)
    rounded: np.ndarray = inside * np.square(step * CANDIDATES) / 12
    return ((counts * np.square(cut)).sum(axis=1) + rounded) / energy


def _rescale(graph: Graph, node: onnx.NodeProto, factor: float) -> None:
    """Multiply the scale of a Q and of every DQ that reads it."""
    scale, zero_point = scale_of(graph, node), zero_point_of(graph, node)
    assert scale is not None
    assert zero_point is not None
    if factor == 1:
        return
    smaller = (scale * np.float32(factor)).astype(scale.dtype)
    for each in (node, *(reader for reader, _ in graph.consumers(node.output[0]))):
        set_parameters(graph, each, smaller, zero_point)


def _watched(quantized: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model without Q/DQ of activations and with these tensors as additional outputs."""
    graph = Graph(quantized)
    for node in graph.of_type(DEQUANTIZE):
        source = quantizer_of(graph, node)
        if source is not None and not is_weight(graph, node):
            graph.replace(node.output[0], source.input[0])
    graph.pinned |= set(names)
    model = graph.write()
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    return model

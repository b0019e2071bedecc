"""Which nodes of a graph stay in float, decided by structure and never by name.

- *Preparation*: everything computed from the inputs without a learnt layer: casts, normalisation, difference images.
- *Maps*: everything that leads to a comparison (the thresholds of difference maps), including layers that only look
  learnt, such as a grey conversion by convolution; and what is computed from the maps alone, such as their pooling and
  scaling, up to and including the first weighted layer.
- *Meeting points*: sums and products of maps (or prepared images) with features: a quantized sum would round the map
  too. Measured on CEDNN, keeping these in float costs no time.
- *Head*: the last weighted layers before each output, the classifier, and everything behind them.
- *Residual streams*: sums that are added to again without a normalisation or activation in between, as in networks of
  pre-activation blocks, and the few layers that read such a sum directly. Nothing bounds it: in a trained FAN it grows
  to 400 times its standard deviation on some crops, and 8 bits leave nothing for the rest. Where only convolutions read
  the sums (MobileNetV2's linear bottlenecks), most of the network would stay in float; there each term is normalised,
  so such sums are not treated as streams.
- *Probabilities and normalisations*, wherever they are: sigmoid, softmax, layer normalisation.

Rounding any of these to 8 bits changes decisions; none of these layers takes enough time to be worth it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

import onnx

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import COMPARISONS, NEVER_QUANTIZED_OPS, RESAMPLING_OPS, WEIGHTED_OPS

# So many sums in a row make a residual stream.
STREAM_LENGTH = 3
_MERGES = frozenset({"Add", "Sub", "Mul"})
_WEIGHTED_OR_CONCAT = WEIGHTED_OPS | {"Concat"}


class Origin(enum.Enum):
    """What a tensor that depends on the inputs was computed from."""

    IMAGE = "the inputs, by no learnt layer"
    MAP = "comparisons"
    WEIGHTED_MAP = "comparisons, by one weighted layer"
    FEATURE = "anything else"


_MAPS = {Origin.MAP, Origin.WEIGHTED_MAP}


def float_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that stay in float, in graph order. Every node must have a name (`name_nodes`)."""
    graph = Graph(model)
    kept = preparation(graph) | maps(graph) | meeting_points(graph) | head(graph)
    kept |= residual_streams(graph, outside=kept) | never_quantized(graph)
    return [node.name for node in graph.nodes if node.name in kept]


def has_attention(model: onnx.ModelProto) -> bool:
    """Whether a softmax feeds a matrix product, as in a transformer."""
    softened = {out for node in model.graph.node if node.op_type == "Softmax" for out in node.output}
    return any(node.op_type == "MatMul" and softened & set(node.input) for node in model.graph.node)


def preparation(graph: Graph) -> set[str]:
    """Names of the nodes that compute something from the inputs without a learnt layer."""
    origins = tensor_origins(graph)
    return {node.name for node in graph.nodes if origins.get(node.output[0]) is Origin.IMAGE}


def maps(graph: Graph) -> set[str]:
    """Names of the comparisons, and of the nodes that compute something from these alone."""
    origins = tensor_origins(graph)
    return {n.name for n in graph.nodes if n.op_type in COMPARISONS or origins.get(n.output[0]) in _MAPS}


def meeting_points(graph: Graph) -> set[str]:
    """Names of the sums, differences and products of maps or prepared images with features."""
    origins = tensor_origins(graph)

    def mixes(node: onnx.NodeProto) -> bool:
        sources = {origins[name] for name in node.input if name in origins}
        return Origin.FEATURE in sources and len(sources) > 1

    return {node.name for node in graph.nodes if node.op_type in _MERGES and mixes(node)}


def head(graph: Graph) -> set[str]:
    """Names of the nodes from which no path leads to a weighted layer: the last such layers and all behind them."""
    leading = graph.before(WEIGHTED_OPS)
    return {node.name for node in graph.nodes if not leading & set(node.output)}


def residual_streams(graph: Graph, outside: set[str]) -> set[str]:
    """Names of the sums of residual streams, of what resamples them, and of the layers that read them directly.

    Args:
        graph: every node named.
        outside: names of nodes that are part of no stream.
    """
    links = [node for node in graph.nodes if node.op_type in RESAMPLING_OPS or _is_sum(graph, node, outside)]
    streams = _in_long_chains(links) & _in_activated_chains(graph, links)
    kept = {node.name for node in links if node.output[0] in streams}
    for node in graph.nodes:
        if node.op_type in _WEIGHTED_OR_CONCAT and streams & set(node.input):
            kept.add(node.name)
            if node.op_type == "Concat":
                streams |= set(node.output)
    return kept


def never_quantized(graph: Graph) -> set[str]:
    """Names of the sigmoids, softmaxes and normalisations."""
    return {node.name for node in graph.nodes if node.op_type in NEVER_QUANTIZED_OPS}


def tensor_origins(graph: Graph) -> dict[str, Origin]:
    """The origin of each tensor that depends on the inputs, by name."""
    compared = graph.before(COMPARISONS)
    origins = dict.fromkeys(graph.inputs, Origin.IMAGE)
    for node in graph.nodes:
        sources = {origins[name] for name in node.input if name in origins}
        if sources:
            origin = _origin(node, sources, leads_to_comparison=bool(compared & set(node.output)))
            origins.update((name, origin) for name in node.output if name)
    return origins


def _origin(node: onnx.NodeProto, sources: set[Origin], leads_to_comparison: bool) -> Origin:
    """The origin of what a node computes from tensors of these origins."""
    weighted = node.op_type in WEIGHTED_OPS
    if node.op_type in COMPARISONS or (sources <= _MAPS and not (weighted and Origin.WEIGHTED_MAP in sources)):
        return Origin.WEIGHTED_MAP if weighted or Origin.WEIGHTED_MAP in sources else Origin.MAP
    if Origin.FEATURE not in sources and (leads_to_comparison or not weighted):
        return Origin.IMAGE
    return Origin.FEATURE


def _is_sum(graph: Graph, node: onnx.NodeProto, outside: set[str]) -> bool:
    """Whether a node adds two tensors, neither of which is a constant, and may be part of a stream."""
    is_add = node.op_type == "Add" and node.name not in outside
    return is_add and all(graph.constant(name) is None for name in node.input)


def _in_long_chains(links: Sequence[onnx.NodeProto]) -> set[str]:
    """Tensors behind at least one sum, on a chain of links with at least STREAM_LENGTH sums."""
    before: dict[str, int] = {}
    for node in links:
        before[node.output[0]] = max(before.get(name, 0) for name in node.input) + (node.op_type == "Add")
    after: dict[str, int] = {}
    for node in reversed(links):
        count = after.get(node.output[0], 0) + (node.op_type == "Add")
        after.update((name, max(count, after.get(name, 0))) for name in node.input)
    return {name for name, count in before.items() if count and count + after.get(name, 0) >= STREAM_LENGTH}


def _in_activated_chains(graph: Graph, links: Sequence[onnx.NodeProto]) -> set[str]:
    """Tensors of the chains from which an activation or normalisation reads."""
    linked = {node.name for node in links}
    readers = (n for n in graph.nodes if n.name not in linked and n.op_type not in _WEIGHTED_OR_CONCAT)
    read = {name for node in readers for name in node.input}
    return {name for chain in _chains(links) if chain & read for name in chain}


def _chains(links: Iterable[onnx.NodeProto]) -> list[set[str]]:
    """The tensors that links make, those together that are connected by links. Links are in graph order."""
    chains: list[set[str]] = []
    for node in links:
        joined = [chain for chain in chains if chain & set(node.input)]
        chains = [chain for chain in chains if chain not in joined]
        chains.append({node.output[0]}.union(*joined))
    return chains

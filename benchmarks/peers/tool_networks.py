"""Trunks of published AU tools with random weights, from their layer tables, for their cost and not their accuracy.

Only the network that reads the AUs is built, at its own input size; the tools detect and align faces before, which
takes them longer, and their weights may not be used freely. LibreFace and py-feat are named after their code
(``LibreFace/AU_Recognition``; py-feat's ``feat/multitask/MODEL_CARD.md``), OpenFace 3 after ``model/MLT.py``.
"""

from __future__ import annotations

import numpy as np

from edgeau.benchmarks.claims.graph_builder import GraphBuilder
from edgeau.benchmarks.claims.networks import NETWORKS, Network


def _efficientnet_b0(graph: GraphBuilder) -> tuple[str, int]:
    x, inside = _swish(graph, graph.convolution(graph.image(), 3, 32, 3, stride=2)), 32
    table = ((1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2), (6, 5, 112, 3, 1),
             (6, 5, 192, 4, 2), (6, 3, 320, 1, 1))  # fmt: skip
    for expansion, kernel, outside, count, stride in table:
        for step in (stride, *[1] * (count - 1)):
            wide = inside * expansion
            y = _swish(graph, graph.convolution(x, inside, wide, 1)) if expansion > 1 else x
            y = _swish(graph, graph.convolution(y, wide, wide, kernel, stride=step, groups=wide))
            y = _squeeze_and_excite(graph, y, wide, inside // 4)
            y = graph.convolution(y, wide, outside, 1)
            x = graph.node("Add", x, y) if step == 1 and inside == outside else y
            inside = outside
    return _swish(graph, graph.convolution(x, inside, 1280, 1)), 1280


def _swish(graph: GraphBuilder, x: str) -> str:
    return graph.node("Mul", x, graph.node("Sigmoid", x))


def _squeeze_and_excite(graph: GraphBuilder, x: str, channels: int, squeezed: int) -> str:
    y = graph.convolution(graph.node("GlobalAveragePool", x), channels, squeezed, 1)
    y = graph.convolution(_swish(graph, y), squeezed, channels, 1)
    return graph.node("Mul", x, graph.node("Sigmoid", y))


def _convnextv2_tiny(graph: GraphBuilder) -> tuple[str, int]:
    x, inside = graph.image(), 3
    for stage, (channels, blocks) in enumerate(((96, 3), (192, 3), (384, 9), (768, 3))):
        if stage:
            x = _to_planes(graph, _layer_norm(graph, _to_pixels(graph, x), inside))
        x = graph.patches(x, inside, channels, 2 if stage else 4)
        if not stage:
            x = _to_planes(graph, _layer_norm(graph, _to_pixels(graph, x), channels))
        for _ in range(blocks):
            x = graph.node("Add", x, _convnext_block(graph, x, channels))
        inside = channels
    return x, inside


def _convnext_block(graph: GraphBuilder, x: str, channels: int) -> str:
    """A depthwise 7x7 convolution, and per pixel a layer to four times the channels and one back."""
    wide = 4 * channels
    y = _to_pixels(graph, graph.convolution(x, channels, channels, 7, groups=channels))
    y = _gelu(graph, graph.linear(_layer_norm(graph, y, channels), channels, wide))
    return _to_planes(graph, graph.linear(_global_response_norm(graph, y, wide), wide, channels))


def _global_response_norm(graph: GraphBuilder, x: str, channels: int) -> str:
    length = graph.node("ReduceL2", x, axes=[1, 2], keepdims=1)
    mean = graph.node("ReduceMean", length, axes=[-1], keepdims=1)
    scaled = graph.node("Mul", x, graph.node("Div", length, mean))
    scaled = graph.node("Add", graph.node("Mul", scaled, graph.constant(np.ones(channels))),
                        graph.constant(np.zeros(channels)))  # fmt: skip
    return graph.node("Add", scaled, x)


def _gelu(graph: GraphBuilder, x: str) -> str:
    erf = graph.node("Erf", graph.node("Mul", x, graph.constant(0.5**0.5)))
    return graph.node("Mul", graph.node("Mul", x, graph.constant(0.5)), graph.node("Add", erf, graph.constant(1.0)))


def _layer_norm(graph: GraphBuilder, x: str, channels: int) -> str:
    ones, zeros = graph.constant(np.ones(channels)), graph.constant(np.zeros(channels))
    return graph.node("LayerNormalization", x, ones, zeros, axis=-1)


def _to_pixels(graph: GraphBuilder, x: str) -> str:
    return graph.node("Transpose", x, perm=[0, 2, 3, 1])


def _to_planes(graph: GraphBuilder, x: str) -> str:
    return graph.node("Transpose", x, perm=[0, 3, 1, 2])


_EFFICIENTNET = "Tan and Le, arXiv 1905.11946, table 1"
_CONVNEXT = "Woo et al., arXiv 2301.00808; layers as in its ConvNeXt V2"

_EFFICIENTNET_B0 = Network("efficientnet_b0", "EfficientNet-B0 trunk", 224, _EFFICIENTNET, _efficientnet_b0)
_CONVNEXTV2_TINY = Network("convnextv2_tiny", "ConvNeXt V2-T trunk", 224, _CONVNEXT, _convnextv2_tiny)

# The tool, and its network.
TOOLS: dict[str, tuple[str, Network]] = {
    "libreface": ("LibreFace", NETWORKS["resnet18"]),
    "openface3": ("OpenFace 3", _EFFICIENTNET_B0),
    "pyfeat2": ("py-feat 2", _CONVNEXTV2_TINY),
}

"""Networks of the papers' time with random weights, from their published layer tables, to compare costs with.

A network here is its convolutional trunk, a global average and one linear layer to the AUs, as AU detectors use them.
VGG-16's three fully connected layers, 124 of its 138 million parameters, are left out, which is in its favour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .graph_builder import GraphBuilder


@dataclass(frozen=True)
class Network:
    """A network to compare with.

    Attributes:
        name, title: as claims refer to it, and for a person.
        size_px: side of its input.
        source: the paper and table that its layers are from.
        build: adds the trunk to a graph; returns its output and the channels of that.
    """

    name: str
    title: str
    size_px: int
    source: str
    build: Callable[[GraphBuilder], tuple[str, int]]

    def save(self, file: Path, aus: int, size_px: int | None = None) -> None:
        """Write the network as ONNX, for so many AUs; with another input size than its own if one is given."""
        graph = GraphBuilder(size_px or self.size_px, aus)
        graph.save(*self.build(graph), file)


def _vgg16(graph: GraphBuilder) -> tuple[str, int]:
    x, inside = graph.image(), 3
    for channels, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            x = graph.node("Relu", graph.convolution(x, inside, channels, 3))
            inside = channels
        x = graph.max_pool(x, 2, 2)
    return x, inside


def _resnet_stem(graph: GraphBuilder) -> str:
    x = graph.node("Relu", graph.convolution(graph.image(), 3, 64, 7, stride=2))
    return graph.max_pool(x, 3, 2)


def _resnet18(graph: GraphBuilder) -> tuple[str, int]:
    x, inside = _resnet_stem(graph), 64
    for outside, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for step in (stride, 1):
            kept = x if inside == outside else graph.convolution(x, inside, outside, 1, stride=step)
            x = graph.node("Relu", graph.convolution(x, inside, outside, 3, stride=step))
            x = graph.node("Relu", graph.node("Add", graph.convolution(x, outside, outside, 3), kept))
            inside = outside
    return x, inside


def _resnet50(graph: GraphBuilder) -> tuple[str, int]:
    x, inside = _resnet_stem(graph), 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for step in (stride, *[1] * (count - 1)):
            outside = 4 * width
            kept = x if inside == outside else graph.convolution(x, inside, outside, 1, stride=step)
            # The paper's blocks have their stride in the first 1x1 convolution.
            x = graph.node("Relu", graph.convolution(x, inside, width, 1, stride=step))
            x = graph.node("Relu", graph.convolution(x, width, width, 3))
            x = graph.node("Relu", graph.node("Add", graph.convolution(x, width, outside, 1), kept))
            inside = outside
    return x, inside


def _mobilenet_v2(graph: GraphBuilder) -> tuple[str, int]:
    def relu6(x: str) -> str:
        return graph.clip(x, 0, 6)

    x, inside = relu6(graph.convolution(graph.image(), 3, 32, 3, stride=2)), 32
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, outside, count, stride in table:
        for step in (stride, *[1] * (count - 1)):
            wide = inside * expansion
            y = relu6(graph.convolution(x, inside, wide, 1)) if expansion > 1 else x
            y = relu6(graph.convolution(y, wide, wide, 3, stride=step, groups=wide))
            y = graph.convolution(y, wide, outside, 1)
            x = graph.node("Add", x, y) if step == 1 and inside == outside else y
            inside = outside
    return relu6(graph.convolution(x, inside, 1280, 1)), 1280


_FAN_WIDTH, _FAN_DEPTH, _LANDMARKS = 256, 4, 68


def _fan(stacks: int) -> Callable[[GraphBuilder], tuple[str, int]]:
    def build(graph: GraphBuilder) -> tuple[str, int]:
        width = _FAN_WIDTH
        x = graph.convolution(graph.image(), 3, width // 4, 7, stride=2)
        x = _fan_block(graph, graph.node("Relu", x), width // 4, width // 2)
        x = _fan_block(graph, graph.max_pool(x, 2, 2), width // 2, width // 2)
        x = _fan_block(graph, x, width // 2, width)
        for stack in range(stacks):
            y = _fan_block(graph, _hourglass(graph, x, _FAN_DEPTH), width, width)
            features = graph.node("Relu", graph.convolution(y, width, width, 1))
            heatmaps = graph.convolution(features, width, _LANDMARKS, 1)
            if stack < stacks - 1:
                back = graph.convolution(heatmaps, _LANDMARKS, width, 1)
                x = graph.node("Add", x, graph.node("Add", graph.convolution(features, width, width, 1), back))
        return graph.node("Concat", features, heatmaps, axis=1), width + _LANDMARKS

    return build


def _hourglass(graph: GraphBuilder, x: str, level: int) -> str:
    width = _FAN_WIDTH
    kept = _fan_block(graph, x, width, width)
    low = _fan_block(graph, graph.max_pool(x, 2, 2), width, width)
    low = _hourglass(graph, low, level - 1) if level > 1 else _fan_block(graph, low, width, width)
    return graph.node("Add", kept, graph.upsample(_fan_block(graph, low, width, width)))


def _fan_block(graph: GraphBuilder, x: str, inside: int, outside: int) -> str:
    """Three 3x3 convolutions with normalization before each, concatenated and added to the input."""

    def part(x: str, inside: int, outside: int, kernel: int) -> str:
        active = graph.node("Relu", graph.normalization(x, inside))
        return graph.convolution(active, inside, outside, kernel, bias=False)

    first = part(x, inside, outside // 2, 3)
    second = part(first, outside // 2, outside // 4, 3)
    third = part(second, outside // 4, outside // 4, 3)
    kept = x if inside == outside else part(x, inside, outside, 1)
    return graph.node("Add", graph.node("Concat", first, second, third, axis=1), kept)


_VGG = "Simonyan and Zisserman, arXiv 1409.1556, table 1 (D)"
_RESNET = "He et al., arXiv 1512.03385, table 1"
_MOBILENET = "Sandler et al., arXiv 1801.04381, table 2"
_FAN = "Bulat and Tzimiropoulos, arXiv 1703.07332; layers as in ibug's face_alignment"

NETWORKS = {
    network.name: network
    for network in (
        Network("vgg16", "VGG-16 trunk", 224, _VGG, _vgg16),
        Network("resnet18", "ResNet-18 trunk", 224, _RESNET, _resnet18),
        Network("resnet50", "ResNet-50 trunk", 224, _RESNET, _resnet50),
        Network("mobilenetv2", "MobileNetV2 trunk", 224, _MOBILENET, _mobilenet_v2),
        Network("fan2", "FAN, 2 stacks", 256, _FAN, _fan(2)),
        Network("fan4", "FAN, 4 stacks", 256, _FAN, _fan(4)),
    )
}

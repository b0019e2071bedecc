"""What each layer of an ONNX graph computes and moves: multiply-accumulates, and bytes of weights and activations.

A layer is a convolution, a matrix product or a pooling. The elementwise operations between them (activations, sums,
normalization, quantization, casts) are counted as free, because a runtime may fuse them into a layer; so what is
counted here is the least that a runtime has to do, if it runs one layer after another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from edgeau.benchmarks.macs import GraphShapes, load_graph, node_macs

_POOLS = {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"}
# Operators that a runtime may fuse into the layer that produces their first input.
_FUSED = {
    "Relu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Gelu", "LeakyRelu", "PRelu", "Tanh", "Add", "Sub", "Mul",
    "Div", "BatchNormalization", "QuantizeLinear", "DequantizeLinear", "Cast", "Identity", "Flatten", "Reshape", "Abs",
}  # fmt: skip
_PRECISIONS: Mapping[int, str] = {TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16", TensorProto.INT8: "int8",
               TensorProto.UINT8: "int8"}  # fmt: skip
BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}


@dataclass(frozen=True)
class Layer:
    """One layer at batch 1.

    Attributes:
        name: of its node.
        kind: operator with kernel and groups, such as ``Conv 3x3, 4 groups``.
        precision: ``fp32``, ``fp16``, ``bf16`` or ``int8``; quantized if its input comes from DequantizeLinear.
        macs: multiply-accumulates.
        weight_bytes: of its weights, which a batch shares.
        activation_bytes: that it reads and writes for one face.
    """

    name: str
    kind: str
    precision: str
    macs: int
    weight_bytes: int
    activation_bytes: int


@dataclass(frozen=True)
class Layers:
    """The layers of a graph in its order.

    Attributes:
        layers: each of them.
        owner: name of the layer by the name of a node or of its output: the layer itself, or the one that a runtime may
            fuse it into. Runtimes name what they fused after either.
    """

    layers: tuple[Layer, ...]
    owner: Mapping[str, str] = field(default_factory=dict)

    @property
    def macs(self) -> int:
        """Of one face."""
        return sum(layer.macs for layer in self.layers)

    @property
    def weight_bytes(self) -> int:
        """Of all layers."""
        return sum(layer.weight_bytes for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        """That all layers read and write for one face."""
        return sum(layer.activation_bytes for layer in self.layers)

    @property
    def working_set_bytes(self) -> int:
        """Weights, which every call reads again, and the activations of the layer that has most."""
        return self.weight_bytes + max((layer.activation_bytes for layer in self.layers), default=0)


def layers_of(file: Path) -> Layers | None:
    """The layers of an ONNX file; None if a shape is unknown. Raises InputError if it can't be read."""
    model, shapes = load_graph(file)
    graph = _Graph(model.graph, shapes)
    try:
        layers = [layer for number, node in enumerate(model.graph.node) if (layer := graph.layer(node, number))]
    except KeyError:
        return None
    return Layers(tuple(layers), graph.owners(layers))


def node_name(node: onnx.NodeProto, number: int) -> str:
    """The name of the node at this place in the graph; nodes may come without one."""
    return node.name or f"{node.op_type}_{number}"


class _Graph:
    def __init__(self, graph: onnx.GraphProto, shapes: GraphShapes) -> None:
        self._graph, self._shapes = graph, shapes
        self._producers = {name: node for node in graph.node for name in node.output}
        self._constants = {tensor.name for tensor in graph.initializer}
        self._constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}

    def layer(self, node: onnx.NodeProto, number: int) -> Layer | None:
        macs = node_macs(node, self._shapes.dims)
        if not macs and node.op_type not in _POOLS:
            return None
        precision = self._precision(node)
        inputs = [name for name in node.input if name]
        weights = [name for name in inputs if self._is_constant(name)]
        data = [name for name in inputs if name not in weights]
        return Layer(
            name=node_name(node, number),
            kind=self._kind(node),
            precision=precision,
            macs=macs,
            weight_bytes=sum(self._elements(name) for name in weights) * BYTES[precision],
            activation_bytes=sum(self._elements(name) for name in (*data, node.output[0])) * BYTES[precision],
        )

    def owners(self, layers: list[Layer]) -> dict[str, str]:
        """`Layers.owner`; nodes are in topological order, so that a chain is followed from its start."""
        names = {layer.name for layer in layers}
        owner: dict[str, str] = {}
        for number, node in enumerate(self._graph.node):
            name = node_name(node, number)
            layer = name if name in names else None
            if layer is None and node.op_type in _FUSED:
                layer = next((owner[each] for each in node.input if each in owner), None)
            if layer is not None:
                owner.update(dict.fromkeys((name, *node.output), layer))
        return owner

    def _elements(self, name: str) -> int:
        return math.prod(self._shapes.dims[name])

    def _is_constant(self, name: str) -> bool:
        """Whether a tensor is a weight, stored as it is or quantized."""
        node = self._producers.get(name)
        if node is not None and node.op_type in ("DequantizeLinear", "QuantizeLinear", "Cast"):
            return self._is_constant(node.input[0])
        return name in self._constants

    def _precision(self, node: onnx.NodeProto) -> str:
        source = self._producers.get(node.input[0])
        if node.op_type.startswith("QLinear") or (source is not None and source.op_type == "DequantizeLinear"):
            return "int8"
        return _PRECISIONS.get(self._shapes.types.get(node.input[0], TensorProto.FLOAT), "fp32")

    def _kind(self, node: onnx.NodeProto) -> str:
        values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        kernel, groups = values.get("kernel_shape"), values.get("group", 1)
        if kernel is None and node.op_type == "Conv":
            kernel = self._shapes.dims[node.input[1]][2:]
        kind = node.op_type if kernel is None else f"{node.op_type} {'x'.join(map(str, kernel))}"
        if groups > 1:
            depthwise = self._shapes.dims[node.input[0]][1] == groups
            kind += ", depthwise" if depthwise else f", {groups} groups"
        return kind

"""An ONNX graph with lookup of each tensor's producer and consumers, for rewriting.

Nodes are kept in a separate list and written back by `write`, so that a reference to a node stays valid while others
are removed.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .operators import DEFAULT_DOMAINS


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the default operator set, 0 where the model imports none."""
    return next((entry.version for entry in model.opset_import if entry.domain in DEFAULT_DOMAINS), 0)


def name_nodes(model: onnx.ModelProto) -> None:
    """Give every node a unique name, in place: tools address layers by name."""
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{index}"
        taken.add(node.name)


def with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with inferred shapes and types; the model itself where inference fails or the model is too large."""
    try:
        return onnx.shape_inference.infer_shapes(model)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return model


class Graph:
    """A model's main graph. Tensors that subgraphs read are treated as outputs: what computes them is kept.

    Args:
        model: not changed; `write` returns a changed copy.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.opset = opset_of(model)
        self.nodes: list[onnx.NodeProto] = [copy.deepcopy(node) for node in model.graph.node]
        self.tensors: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in model.graph.initializer}
        self.inputs = {value.name for value in model.graph.input} - set(self.tensors)
        self.outputs = {value.name for value in model.graph.output}
        self.pinned = self.outputs | set(_names_in_subgraphs(self.nodes))
        self._types = {
            value.name: value.type.tensor_type
            for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
        }
        self._taken = {name for node in self.nodes for name in (*node.input, *node.output)} | set(self.tensors)
        self._taken |= self.inputs | {node.name for node in self.nodes}
        self._arrays: dict[str, np.ndarray] = {}
        self._producers: dict[str, onnx.NodeProto] = {}
        self._consumers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
        self._stale = True

    def producer(self, name: str) -> onnx.NodeProto | None:
        """The node that a tensor is an output of, None for inputs and initializers."""
        self._index()
        return self._producers.get(name)

    def consumers(self, name: str) -> list[tuple[onnx.NodeProto, int]]:
        """The nodes that read a tensor, each with the index of the input."""
        self._index()
        return list(self._consumers.get(name, ()))

    def of_type(self, *kinds: str) -> list[onnx.NodeProto]:
        """Nodes of the default domain with these operators, in graph order."""
        return [node for node in self.nodes if node.op_type in kinds and node.domain in DEFAULT_DOMAINS]

    def constant(self, name: str) -> np.ndarray | None:
        """The value of an initializer or a Constant node, also through Identity; None where it varies."""
        for _ in range(len(self.nodes) + 1):
            if name in self.tensors:
                if name not in self._arrays:
                    self._arrays[name] = numpy_helper.to_array(self.tensors[name])
                return self._arrays[name]
            node = self.producer(name)
            if node is None or node.op_type not in ("Identity", "Constant"):
                return None
            if node.op_type == "Constant":
                return _constant_value(node)
            name = node.input[0]
        return None

    def add_constant(self, stem: str, value: np.ndarray) -> str:
        """Add an initializer and return its name: the stem, with a number if that is taken."""
        name = self.new_name(stem)
        self.tensors[name] = numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
        return name

    def new_name(self, stem: str) -> str:
        """A name that no tensor and no node has yet: the stem, with a number if that is taken."""
        name, count = stem, 0
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name

    def set_input(self, node: onnx.NodeProto, index: int, name: str) -> None:
        """Make a node read another tensor. Missing inputs before this one are added as empty."""
        while len(node.input) <= index:
            node.input.append("")
        self._index()
        old = node.input[index]
        self._consumers[old] = [(n, i) for n, i in self._consumers.get(old, ()) if n is not node or i != index]
        self._consumers.setdefault(name, []).append((node, index))
        node.input[index] = name

    def replace(self, old: str, new: str) -> None:
        """Make all nodes that read one tensor read another. Graph outputs keep their names."""
        for node, index in self.consumers(old):
            self.set_input(node, index, new)

    def rename_output(self, old: onnx.NodeProto, tensor: str) -> None:
        """Remove a node and give the name of its first output to another node's output tensor."""
        name = old.output[0]
        producer = self.producer(tensor)
        if producer is None:
            raise ValueError(f"no node computes {tensor}")
        self.nodes = [node for node in self.nodes if node is not old]
        self.replace(tensor, name)
        producer.output[list(producer.output).index(tensor)] = name
        self._stale = True

    def insert(self, kind: str, inputs: Iterable[str], stem: str, **attributes: Any) -> str:
        """Add a node with one output, named after ``stem``, and return the output's name. `write` sorts the nodes."""
        output = self.new_name(stem)
        node = helper.make_node(kind, list(inputs), [output], name=self.new_name(f"{stem}_{kind}"), **attributes)
        self._index()
        self.nodes.append(node)
        self._index_node(node)
        return output

    def interpose(self, node: onnx.NodeProto, kind: str, more: Iterable[str]) -> None:
        """Insert a node behind another's first output; the new node's output takes over its name and readers."""
        output = node.output[0]
        node.output[0] = self.new_name(f"{output}_before_{kind}")
        name = self.new_name(f"{output}_{kind}")
        self.nodes.append(helper.make_node(kind, [node.output[0], *more], [output], name=name))
        self._stale = True

    def shape(self, name: str) -> list[int | None] | None:
        """Dimensions as stated in the file, None for dynamic ones; None where the rank is unknown."""
        if name in self.tensors:
            return list(self.tensors[name].dims)
        kind = self._types.get(name)
        if kind is None or not kind.HasField("shape"):
            return None
        return [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]

    def element_type(self, name: str) -> int:
        """onnx.TensorProto data type if the file states it, else UNDEFINED (0)."""
        if name in self.tensors:
            return self.tensors[name].data_type
        kind = self._types.get(name)
        return kind.elem_type if kind is not None else 0

    def behind(self, kinds: Collection[str]) -> set[str]:
        """Tensors that depend on the output of a node of these operators."""
        dependent: set[str] = set()
        for node in self.nodes:
            if node.op_type in kinds or any(name in dependent for name in node.input):
                dependent.update(node.output)
        return dependent

    def before(self, kinds: Collection[str]) -> set[str]:
        """Tensors that a node of these operators depends on."""
        needed: set[str] = set()
        for node in reversed(self.nodes):
            if node.op_type in kinds or any(name in needed for name in node.output):
                needed.update(node.input)
        return needed

    def drop_unused(self) -> None:
        """Remove nodes and initializers that no output needs."""
        needed = set(self.pinned)
        kept: set[int] = set()
        producers = {output: node for node in self.nodes for output in node.output if output}
        stack = list(needed)
        while stack:
            node = producers.get(stack.pop())
            if node is None or id(node) in kept:
                continue
            kept.add(id(node))
            needed.update(node.input)
            stack.extend(node.input)
        self.nodes = [node for node in self.nodes if id(node) in kept]
        self.tensors = {name: tensor for name, tensor in self.tensors.items() if name in needed}
        self._stale = True

    def write(self) -> onnx.ModelProto:
        """A copy of the model with this graph: nodes in order of computation, unused nodes and initializers removed."""
        self.drop_unused()
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        names = {name for node in self.nodes for name in node.output} | self.inputs | set(self.tensors)
        known = [value for value in self.model.graph.value_info if value.name in names and not _is_8_bit(value)]
        for field, values in (
            ("node", _in_order(self.nodes, self.inputs | set(self.tensors) | {""})),
            ("initializer", self.tensors.values()),
            ("value_info", known),
        ):
            model.graph.ClearField(field)
            getattr(model.graph, field).extend(values)
        return model

    def _index(self) -> None:
        if not self._stale:
            return
        self._stale = False
        self._producers, self._consumers = {}, {}
        for node in self.nodes:
            self._index_node(node)

    def _index_node(self, node: onnx.NodeProto) -> None:
        self._producers.update((output, node) for output in node.output if output)
        for index, name in enumerate(node.input):
            if name:
                self._consumers.setdefault(name, []).append((node, index))


def label(node: onnx.NodeProto) -> str:
    """A node's name; without one, that of its first output, which is unique."""
    return node.name or next((output for output in node.output if output), node.op_type)


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """An integer attribute of a node."""
    return next((entry.i for entry in node.attribute if entry.name == name), default)


def _is_8_bit(value: onnx.ValueInfoProto) -> bool:
    """Whether the stated type may be out of date, because passes change the types of quantized tensors."""
    return value.type.tensor_type.elem_type in (onnx.TensorProto.UINT8, onnx.TensorProto.INT8)


def _constant_value(node: onnx.NodeProto) -> np.ndarray | None:
    for entry in node.attribute:
        if entry.name == "value":
            return numpy_helper.to_array(entry.t)
        if entry.name in ("value_float", "value_floats"):
            return np.array(helper.get_attribute_value(entry), np.float32)
        if entry.name in ("value_int", "value_ints"):
            return np.array(helper.get_attribute_value(entry), np.int64)
    return None


def _names_in_subgraphs(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        for entry in node.attribute:
            for graph in [entry.g] if entry.HasField("g") else list(entry.graphs):
                for inner in graph.node:
                    yield from inner.input
                yield from _names_in_subgraphs(graph.node)
                yield from (value.name for value in graph.output)


def _in_order(nodes: list[onnx.NodeProto], ready: set[str]) -> list[onnx.NodeProto]:
    """Nodes behind those that they read from, otherwise in the same order."""
    ready = set(ready)
    computed = {output for node in nodes for output in node.output}
    ordered: list[onnx.NodeProto] = []
    waiting = nodes
    while waiting:
        later = []
        for node in waiting:
            reads = {*node.input, *_names_in_subgraphs([node])} & computed
            if reads <= ready:
                ordered.append(node)
                ready.update(node.output)
            else:
                later.append(node)
        if len(later) == len(waiting):
            return ordered + later  # a cycle, which the checker reports
        waiting = later
    return ordered

"""Size, parameters and multiply-accumulates of an ONNX file, counted from its graph.

A multiply-accumulate (MAC) is one product added to a sum. Convolutions and matrix products, float or integer, are
counted; the rest (additions, activations, pooling) is small beside them. For a convolution the count is
``output elements x kernel area x input channels / groups``, for a product of [.., M, K] with [.., K, N] it is
``M x K x N`` times the batch.

Parameters are the values of weights and biases, in whatever type they are stored; scales and zero points of
quantization, shapes and indices are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from edgeau.runtime.errors import InputError

from .measurement import ModelFacts

# Inputs by position that hold quantization's scales and zero points.
_QUANTIZERS = {
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "ConvInteger": (2, 3),
    "MatMulInteger": (2, 3),
}
_NOT_WEIGHTS = {TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING}
# Operators that multiply matrices but are not counted. The count of a graph that has them is too low, and says so.
_UNCOUNTED = {"Einsum", "LSTM", "GRU", "RNN", "Attention", "MultiHeadAttention", "DeformConv", "If", "Loop", "Scan"}


@dataclass(frozen=True)
class GraphShapes:
    """What is known of the tensors of a graph at batch 1, by name: fully known shapes, and ONNX element types."""

    dims: dict[str, tuple[int, ...]]
    types: dict[str, int]


def load_graph(file: Path) -> tuple[onnx.ModelProto, GraphShapes]:
    """An ONNX file and its shapes at batch 1. Raises InputError if it can't be read."""
    try:
        model = onnx.load(str(file))
    except Exception as error:
        raise InputError(f"ONNX file {file}", got="something unreadable", expected="an ONNX model") from error
    return model, _shapes(_at_batch_one(model))


def model_facts(file: Path) -> ModelFacts:
    """Count parameters and MACs of an ONNX file. Raises InputError if it can't be read."""
    model, shapes = load_graph(file)
    by_operator = _macs(model, shapes.dims)
    return ModelFacts(
        size_bytes=file.stat().st_size,
        parameters=_parameters(model.graph),
        macs=None if by_operator is None else sum(by_operator.values()),
        macs_by_operator=by_operator or {},
        uncounted=tuple(sorted({node.op_type for node in model.graph.node} & _UNCOUNTED)),
    )


def _parameters(graph: onnx.GraphProto) -> int:
    quantizers = {
        node.input[position]
        for node in graph.node
        for position in _QUANTIZERS.get(node.op_type, ())
        if position < len(node.input)
    }
    return sum(
        math.prod(tensor.dims)
        for tensor in _constants(graph)
        if tensor.name not in quantizers and tensor.data_type not in _NOT_WEIGHTS
    )


def _constants(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Initializers, and tensors of Constant nodes under the name of the node's output."""
    yield from graph.initializer
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = onnx.TensorProto()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            yield tensor


def _macs(model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]]) -> dict[str, int] | None:
    """MACs by operator type at batch 1, or None if a shape that is needed is unknown."""
    counts: dict[str, int] = {}
    for node in model.graph.node:
        try:
            count = node_macs(node, shapes)
        except KeyError:
            return None
        if count:
            counts[node.op_type] = counts.get(node.op_type, 0) + count
    return counts


def node_macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    """MACs of one node; 0 if it is no matrix product. Raises KeyError if a shape is unknown."""
    if node.op_type in ("Conv", "FusedConv", "ConvInteger"):
        return _convolution(shapes[node.output[0]], shapes[node.input[1]])
    if node.op_type == "QLinearConv":
        return _convolution(shapes[node.output[0]], shapes[node.input[3]])
    if node.op_type == "ConvTranspose":
        # Weight [input channels, output channels / groups, kernel]: one product per input element,
        # output channel of the group and kernel position.
        return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])
    if node.op_type in ("MatMul", "MatMulInteger", "QLinearMatMul"):
        return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    if node.op_type == "Gemm":
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]
    return 0


def _convolution(output: tuple[int, ...], weight: tuple[int, ...]) -> int:
    # Weight [output channels, input channels / groups, kernel].
    return math.prod(output) * math.prod(weight[1:])


def _at_batch_one(model: onnx.ModelProto) -> onnx.ModelProto:
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    constants = {tensor.name for tensor in fixed.graph.initializer}
    for value in fixed.graph.input:
        dimensions = value.type.tensor_type.shape.dim
        if value.name not in constants and dimensions and not dimensions[0].HasField("dim_value"):
            dimensions[0].dim_value = 1
    # An exporter writes shapes with a symbolic batch; inferred again, they follow from the inputs.
    del fixed.graph.value_info[:]
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    return fixed


def _shapes(model: onnx.ModelProto) -> GraphShapes:
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in _constants(graph)}
    types = {tensor.name: tensor.data_type for tensor in _constants(graph)}
    for value in _values(graph):
        types[value.name] = value.type.tensor_type.elem_type
        if not value.type.tensor_type.HasField("shape"):
            continue
        dimensions = value.type.tensor_type.shape.dim
        if all(d.HasField("dim_value") for d in dimensions):
            shapes[value.name] = tuple(d.dim_value for d in dimensions)
    return GraphShapes(shapes, types)


def _values(graph: onnx.GraphProto) -> Iterable[onnx.ValueInfoProto]:
    return (*graph.input, *graph.value_info, *graph.output)

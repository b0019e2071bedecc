"""Which tensors can't be negative, judging by the operators that compute them."""

from __future__ import annotations

from onnx import TensorProto

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, MOVING_OPS, QUANTIZE

UNSIGNED_TYPES = (TensorProto.BOOL, TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64)
NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Softplus", "ReduceL2"})
KEEPS_SIGN = MOVING_OPS | {"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax"}
JOINS = frozenset({"Concat", "Add", "Mul"})


def is_never_negative(graph: Graph, name: str) -> bool:
    """Whether no value of a tensor can be negative, judging by the operators that compute it."""
    node = graph.producer(name)
    if node is None:
        if graph.element_type(name) in UNSIGNED_TYPES:
            return True
        value = graph.constant(name)
        return value is not None and value.dtype.kind == "f" and bool((value >= 0).all())
    if node.op_type in NEVER_NEGATIVE:
        return True
    if node.op_type == "Clip":
        lowest = graph.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
        return lowest is not None and bool((lowest >= 0).all())
    if node.op_type == "Cast" and graph.element_type(node.input[0]) in UNSIGNED_TYPES:
        return True
    if node.op_type in (QUANTIZE, DEQUANTIZE, "Cast") or node.op_type in KEEPS_SIGN:
        return is_never_negative(graph, node.input[0])
    return node.op_type in JOINS and all(is_never_negative(graph, each) for each in node.input)

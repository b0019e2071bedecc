"""Which nodes of a graph compute in half precision, and why the others don't."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto

from edgeau.optimize.finish.qdq import is_weight
from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import (
    DEFAULT_DOMAINS,
    DEQUANTIZE,
    QUANTIZE,
    SENSITIVE_OPS,
    STATISTICS_OPS,
    WEIGHTED_OPS,
)
from edgeau.optimize.onnx_graph.session import run_each

LARGEST = float(np.finfo(np.float16).max)
SMALLEST_NORMAL = float(np.finfo(np.float16).smallest_normal)
# Values may be larger by this factor on other data than on the samples before they overflow.
HEADROOM = 2.0
# Rounding to half precision normally changes a tensor by about 2.8e-4 of its norm; more means subnormal values.
MAX_LOSS = 1e-3

# Kept in float32: sensitive operators, statistics, and operators without FP16 in ONNX or too inexact in it.
KEPT_OPS = (
    SENSITIVE_OPS
    | STATISTICS_OPS
    | {
        "GlobalAveragePool", "HardSigmoid", "CumSum", "Range", "RoiAlign", "NonMaxSuppression", "GridSample",
        "ConstantOfShape", "RandomNormal", "RandomUniform", "MeanVarianceNormalization", "EyeLike",
    }
)  # fmt: skip


class Plan:
    """Which nodes compute in half precision, and why the others don't."""

    def __init__(self, graph: Graph, large: dict[str, str]) -> None:
        self.graph = graph
        self.half: set[int] = set()
        self.kept: dict[str, str] = {}
        self._half_tensors: set[str] = set()
        self._statistics: set[str] = set()
        self._learnt = graph.behind(WEIGHTED_OPS)
        self._captured = graph.pinned - graph.outputs
        self._large = large
        for node in graph.nodes:
            if not self._of_weight(node):
                self._decide(node)
        for node in reversed(graph.nodes):
            if self._of_weight(node) and any(id(reader) in self.half for reader, _ in graph.consumers(node.output[0])):
                self._set_half(node)

    def is_half(self, tensor: str) -> bool:
        return tensor in self._half_tensors

    def _of_weight(self, node: onnx.NodeProto) -> bool:
        return node.op_type in (QUANTIZE, DEQUANTIZE) and is_weight(self.graph, node)

    def _decide(self, node: onnx.NodeProto) -> None:
        reason = self._reason_to_keep(node)
        if not reason:
            self._set_half(node)
        elif any(self._is_float(name) for name in (*node.input, *node.output)):
            self.kept[node.name or node.output[0]] = reason
        if node.op_type in STATISTICS_OPS or (reason and self._statistics & set(node.input)):
            self._statistics.update(node.output)

    def _set_half(self, node: onnx.NodeProto) -> None:
        self.half.add(id(node))
        self._half_tensors.update(name for name in node.output if self._is_float(name))

    def _reason_to_keep(self, node: onnx.NodeProto) -> str:
        name = node.name or node.output[0]
        if node.domain not in DEFAULT_DOMAINS or any(entry.HasField("g") for entry in node.attribute):
            return "operator of another domain or with subgraphs"
        if self._captured & set(node.output):
            return "read inside a subgraph"
        if name in self._large:
            return self._large[name]
        if node.op_type in KEPT_OPS:
            return f"{node.op_type} is too inexact in half precision"
        lossy = next((each for each in node.input if self._loses(each)), "")
        if lossy:
            return f"{lossy} exceeds the range of half precision"
        if node.op_type == DEQUANTIZE:
            return "" if self._serves_half(node) else "dequantized for float32"
        if node.op_type in WEIGHTED_OPS:
            return ""
        if not self._learnt & set(node.output):
            return "preprocessing"
        if self._statistics & set(node.input):
            return "arithmetic on statistics"
        return "" if any(each in self._half_tensors for each in node.input) else "reads float32 only"

    def _serves_half(self, node: onnx.NodeProto) -> bool:
        """Whether a layer that will compute in half precision reads this DQ."""
        readers = [reader for reader, _ in self.graph.consumers(node.output[0])]
        return any(
            reader.op_type not in KEPT_OPS
            and (reader.name or reader.output[0]) not in self._large
            and not any(self._loses(each) for each in reader.input)
            and (reader.op_type in WEIGHTED_OPS or node.output[0] in self._learnt)
            for reader in readers
        )

    def _loses(self, name: str) -> bool:
        """Whether half precision changes a constant, or the scale of a weight's Q or DQ, too much."""
        node = self.graph.producer(name)
        if node is not None and self._of_weight(node):
            return any(self._loses(each) for each in node.input)
        if not self._is_float(name):
            return False
        value = self.graph.constant(name)
        if value is None or value.size == 0 or not value.any():
            return False
        with np.errstate(over="ignore"):
            rounded = value.astype(np.float16).astype(np.float64)
        if not np.isfinite(rounded).all():
            return not np.isinf(value[~np.isfinite(rounded)]).all()
        exact = value.astype(np.float64)
        return bool(np.linalg.norm(rounded - exact) > MAX_LOSS * np.linalg.norm(exact))

    def _is_float(self, name: str) -> bool:
        return self.graph.element_type(name) == TensorProto.FLOAT


def out_of_range(model: onnx.ModelProto, samples: Sequence[dict[str, np.ndarray]]) -> dict[str, str]:
    """Nodes whose inputs or outputs are too large for half precision or all subnormal: the largest value, by name."""
    if not samples:
        return {}
    watched = with_inner_outputs(model, TensorProto.FLOAT)
    names = [value.name for value in watched.graph.output]
    largest = dict.fromkeys(names, 0.0)
    for outputs in run_each(watched, samples):
        for name, value in zip(names, outputs, strict=True):
            if value.dtype == np.float32 and value.size:
                largest[name] = max(largest[name], float(np.abs(value).max()))
    found = {}
    for node in model.graph.node:
        values = [largest[name] for name in (*node.input, *node.output) if largest.get(name)]
        odd = [value for value in values if value * HEADROOM > LARGEST or value < SMALLEST_NORMAL]
        if odd:
            found[node.name or node.output[0]] = f"values up to {odd[0]:.3g} on the samples"
    return found


def with_inner_outputs(model: onnx.ModelProto, kind: int) -> onnx.ModelProto:
    """A copy with all inner tensors of one type as additional outputs."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    known = {value.name for value in model.graph.output}
    inner = (v for v in model.graph.value_info if v.type.tensor_type.elem_type == kind and v.name not in known)
    watched.graph.output.extend(inner)
    return watched

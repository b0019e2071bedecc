"""FP16 inside the graph, for readers that compute in the types a file has: strongly typed TensorRT, 10.12 and later.

Inputs and outputs stay float32. What stays in float32 inside is decided by structure: the preprocessing in front of
the first weighted layer; steep and normalising operators (Sigmoid, Softmax, normalisation, reductions) and the
arithmetic on the statistics that they make; layers whose weights or, on samples, values half precision can't hold.
All else is FP16. In an INT8 file the scales become FP16 with their layer: in strongly typed TensorRT a Q's scale has
its input's type, and a DQ's output has its scale's type (NvInfer.h).

Why not `onnxruntime.transformers.float16`: it clips weights beyond 65504 and raises those below 1e-7 instead of keeping
their layer in FP32, puts the preprocessing into FP16, and gives an INT8 file of opset 17 FP16 scales, which only exist
from opset 19 on, so that nothing loads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, version_converter

from edgeau.optimize.finish.qdq import DEQUANTIZE, QUANTIZE, is_weight
from edgeau.optimize.finish.sensitive import SENSITIVE_OPS
from edgeau.optimize.onnx_graph.graph import DEFAULT_DOMAINS, WEIGHTED_OPS, Graph, opset_of, with_shapes
from edgeau.optimize.onnx_graph.model_file import require_finite, require_opset
from edgeau.optimize.quantization.emulate import run_each
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.parity import sqnr_db

LARGEST = float(np.finfo(np.float16).max)
SMALLEST_NORMAL = float(np.finfo(np.float16).smallest_normal)
# Values seen on samples may grow by this much on other data before they overflow.
HEADROOM = 2.0
# Rounding to half precision loses about 2.8e-4 of a tensor's norm; more means values below its normal range.
MOST_LOST = 1e-3
FIRST_OPSET_OF_HALF_QDQ = 19

STATISTICS = frozenset(
    {
        "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "Pow",
        "Sqrt", "Reciprocal", "Exp", "Log",
    }
)  # fmt: skip
# In float32: the above, and operators that have no FP16 in ONNX or lose too much in it.
KEPT_OPS = (
    SENSITIVE_OPS
    | STATISTICS
    | {
        "GlobalAveragePool", "HardSigmoid", "CumSum", "Range", "RoiAlign", "NonMaxSuppression", "GridSample",
        "ConstantOfShape", "RandomNormal", "RandomUniform", "MeanVarianceNormalization", "EyeLike",
    }
)  # fmt: skip
# Inputs that are float32 whatever the data's type is.
FLOAT_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}


@dataclass(frozen=True)
class HalfResult:
    """A model in half precision.

    Attributes:
        model: float32 inputs and outputs, FP16 inside.
        kept: why each node that computes with floats stays in float32, by its name.
        casts: how many Cast nodes were added.
    """

    model: onnx.ModelProto
    kept: dict[str, str]
    casts: int


@dataclass(frozen=True)
class HalfParity:
    """How far FP16 outputs are from FP32's: signal to noise ratio over all outputs, and the largest difference."""

    sqnr_db: float
    max_abs_error: float


def to_fp16(model: onnx.ModelProto, samples: Sequence[dict[str, np.ndarray]] = ()) -> onnx.ModelProto:
    """`convert`, and only the model of its result."""
    return convert(model, samples).model


def convert(model: onnx.ModelProto, samples: Sequence[dict[str, np.ndarray]] = ()) -> HalfResult:
    """Put FP16 inside a float32 model, or inside an INT8 model that is finished for TensorRT.

    Args:
        model: left as it is.
        samples: inputs by name; nodes whose values come within a factor of 2 of 65504 on them, or all stay below 6e-5,
            stay in float32.

    Raises:
        InputError: half precision already, integer operators, unknown opset, NaN weights, nothing to convert.
        EdgeauError: the result is not valid ONNX.
    """
    _require_convertible(model)
    graph = Graph(_prepared(model))
    if not graph.of_type(*WEIGHTED_OPS):
        raise InputError("FP16", got="a model without convolution or matrix product", expected="something to convert")
    plan = _Plan(graph, _out_of_range(graph.model, samples))
    if not plan.half:
        return HalfResult(model, plan.kept, 0)
    casts = _rewrite(graph, plan)
    result = graph.write()
    result.graph.ClearField("value_info")
    try:
        onnx.checker.check_model(result, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise EdgeauError(f"conversion to FP16 wrote invalid ONNX: {str(error).splitlines()[0]}") from error
    return HalfResult(with_shapes(result), plan.kept, casts)


def compare_half(model: onnx.ModelProto, half: onnx.ModelProto, samples: Sequence[dict[str, np.ndarray]]) -> HalfParity:
    """Run both on ONNX Runtime's CPU and compare all outputs. Raises InputError without samples.

    ONNX Runtime computes most FP16 layers in float32 there, and skips the rounding between two of them unless the
    tensor between them is asked for; so all are asked for.
    """
    if not samples:
        raise InputError("samples to compare on", got="none", expected="at least one")
    count = len(model.graph.output)
    rounding = _watched(with_shapes(half), TensorProto.FLOAT16)
    before, after = (
        np.concatenate([output.ravel() for outputs in run_each(each, samples) for output in outputs[:count]])
        for each in (model, rounding)
    )
    return HalfParity(sqnr_db(before, after), float(np.abs(before - after).max()))


class _Plan:
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
        if node.op_type in STATISTICS or (reason and self._statistics & set(node.input)):
            self._statistics.update(node.output)

    def _set_half(self, node: onnx.NodeProto) -> None:
        self.half.add(id(node))
        self._half_tensors.update(name for name in node.output if self._is_float(name))

    def _reason_to_keep(self, node: onnx.NodeProto) -> str:
        name = node.name or node.output[0]
        if node.domain not in DEFAULT_DOMAINS or any(entry.HasField("g") for entry in node.attribute):
            return "another domain's operator, or one with graphs inside"
        if self._captured & set(node.output):
            return "read inside a subgraph"
        if name in self._large:
            return self._large[name]
        if node.op_type in KEPT_OPS:
            return f"{node.op_type} loses too much in half precision"
        lossy = next((each for each in node.input if self._loses(each)), "")
        if lossy:
            return f"half precision can't hold {lossy}"
        if node.op_type == DEQUANTIZE:
            return "" if self._serves_half(node) else "dequantized for float32"
        if node.op_type in WEIGHTED_OPS:
            return ""
        if not self._learnt & set(node.output):
            return "preprocessing"
        if self._statistics & set(node.input):
            return "arithmetic on statistics"
        return "" if any(each in self._half_tensors for each in node.input) else "reads float32 alone"

    def _serves_half(self, node: onnx.NodeProto) -> bool:
        """Whether a layer that will compute in half precision reads a DQ."""
        readers = [reader for reader, _ in self.graph.consumers(node.output[0])]
        return any(
            reader.op_type not in KEPT_OPS
            and (reader.name or reader.output[0]) not in self._large
            and not any(self._loses(each) for each in reader.input)
            and (reader.op_type in WEIGHTED_OPS or node.output[0] in self._learnt)
            for reader in readers
        )

    def _loses(self, name: str) -> bool:
        """Whether a constant, or the scale of a weight's Q or DQ, can't be held in half precision."""
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
        return bool(np.linalg.norm(rounded - exact) > MOST_LOST * np.linalg.norm(exact))

    def _is_float(self, name: str) -> bool:
        return self.graph.element_type(name) == TensorProto.FLOAT


def _rewrite(graph: Graph, plan: _Plan) -> int:
    """Convert constants, set types, and cast where precision changes. Returns how many casts were added."""
    nodes = list(graph.nodes)
    converted: dict[str, str] = {}
    cast_to: dict[tuple[str, int], str] = {}
    for node in nodes:
        half = id(node) in plan.half
        for index, name in enumerate(node.input):
            fixed = index in FLOAT_INPUTS.get(node.op_type, ())
            if graph.element_type(name) != TensorProto.FLOAT or (node.op_type == "Cast"):
                continue
            wanted = TensorProto.FLOAT16 if half and not fixed else TensorProto.FLOAT
            if graph.constant(name) is not None and name in graph.tensors:
                if wanted == TensorProto.FLOAT16:
                    graph.set_input(node, index, _half_constant(graph, name, converted))
            elif plan.is_half(name) != (wanted == TensorProto.FLOAT16):
                if (name, wanted) not in cast_to:
                    suffix = "half" if wanted == TensorProto.FLOAT16 else "single"
                    cast_to[name, wanted] = graph.insert("Cast", [name], f"{name}_{suffix}", to=wanted)
                graph.set_input(node, index, cast_to[name, wanted])
        if half:
            _retype(node)
    return len(cast_to) + sum(_cast_output(graph, name) for name in sorted(graph.outputs) if plan.is_half(name))


def _half_constant(graph: Graph, name: str, converted: dict[str, str]) -> str:
    if name not in converted:
        value = graph.constant(name)
        assert value is not None
        converted[name] = graph.add_constant(f"{name}_half", value.astype(np.float16))
    return converted[name]


def _retype(node: onnx.NodeProto) -> None:
    """Let nodes that state their output's type state FP16."""
    for entry in node.attribute:
        if entry.name in ("to", "dtype") and entry.i == TensorProto.FLOAT:
            entry.i = TensorProto.FLOAT16


def _cast_output(graph: Graph, name: str) -> int:
    """Keep an output's name and type: what made it in FP16 gets another name, and a Cast makes the output."""
    node = graph.producer(name)
    if node is None:
        return 0
    inner = graph.new_name(f"{name}_half")
    graph.replace(name, inner)
    node.output[list(node.output).index(name)] = inner
    graph.nodes.append(
        helper.make_node("Cast", [inner], [name], name=graph.new_name(f"{name}_Cast"), to=TensorProto.FLOAT)
    )
    return 1


def _prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with types inferred, constants as initializers, and an opset in which its Q and DQ may be FP16."""
    quantized = any(node.op_type in (QUANTIZE, DEQUANTIZE) for node in model.graph.node)
    if quantized and opset_of(model) < FIRST_OPSET_OF_HALF_QDQ:
        try:
            model = version_converter.convert_version(model, FIRST_OPSET_OF_HALF_QDQ)
        except (RuntimeError, version_converter.ConvertError) as error:
            raise InputError(
                "FP16 in an INT8 model", got=f"opset {opset_of(model)}, which can't be converted",
                expected=f"opset {FIRST_OPSET_OF_HALF_QDQ} or newer", hint="export and quantize it with that opset",
            ) from error  # fmt: skip
    graph = Graph(model)
    for node in graph.nodes:
        for index, name in enumerate(node.input):
            value = None if name in graph.tensors or not name else graph.constant(name)
            if value is not None:
                graph.set_input(node, index, graph.add_constant(f"{name}_value", value))
    return with_shapes(graph.write())


def _require_convertible(model: onnx.ModelProto) -> None:
    require_opset(model, "FP16: the model")
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    if kinds & {TensorProto.FLOAT16, TensorProto.BFLOAT16}:
        raise InputError(
            "FP16: the model is in half precision already", got="float16 weights", expected="a float32 or INT8 model"
        )
    integer = sorted({n.op_type for n in model.graph.node if "Integer" in n.op_type or n.op_type.startswith("QLinear")})
    if integer:
        raise InputError(
            "FP16", got=f"integer operators {', '.join(integer)}", expected="a float model, or INT8 with Q and DQ"
        )
    require_finite(model, "FP16: the model")


def _out_of_range(model: onnx.ModelProto, samples: Sequence[dict[str, np.ndarray]]) -> dict[str, str]:
    """Nodes that read or make values too near the largest half, or only subnormal ones: the value seen, by name."""
    if not samples:
        return {}
    watched = _watched(model, TensorProto.FLOAT)
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


def _watched(model: onnx.ModelProto, kind: int) -> onnx.ModelProto:
    """A copy that has every inner tensor of a type as an output, behind the outputs that it had."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    known = {value.name for value in model.graph.output}
    inner = (v for v in model.graph.value_info if v.type.tensor_type.elem_type == kind and v.name not in known)
    watched.graph.output.extend(inner)
    return watched

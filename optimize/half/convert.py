"""FP16 inside the graph, for readers that compute in the types of the file: strongly typed TensorRT, 10.12 and later.

Inputs and outputs stay float32. What else stays in float32 is decided by structure: the preprocessing in front of the
first weighted layer; sensitive operators (Sigmoid, Softmax, normalisation, reductions) and the arithmetic on the
statistics that they compute; layers whose weights or, on samples, values exceed the range of half precision.
Everything else is FP16. In an INT8 file the scales become FP16 with their layer: in strongly typed TensorRT a Q's
scale has its input's type, and a DQ's output has its scale's type (NvInfer.h).

Why not `onnxruntime.transformers.float16`: it clips weights beyond 65504 and raises those below 1e-7 instead of keeping
their layer in FP32, converts the preprocessing too, and writes FP16 scales into INT8 files of opset 17, which nothing
loads because such scales exist only from opset 19 on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, version_converter

from edgeau.optimize.onnx_graph.graph import Graph, opset_of, with_shapes
from edgeau.optimize.onnx_graph.model_file import require_finite, require_opset
from edgeau.optimize.onnx_graph.operators import (
    DEQUANTIZE,
    QUANTIZE,
    WEIGHTED_OPS,
)
from edgeau.runtime.errors import EdgeauError, InputError

from .plan import Plan, out_of_range

FIRST_OPSET_OF_HALF_QDQ = 19
# Inputs that are float32 whatever the type of the data.
FLOAT_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}


@dataclass(frozen=True)
class HalfResult:
    """A model in half precision.

    Attributes:
        model: float32 inputs and outputs, FP16 inside.
        kept: why nodes that compute on floats stay in float32, by node name.
        casts: number of Cast nodes added.
    """

    model: onnx.ModelProto
    kept: dict[str, str]
    casts: int


def to_fp16(model: onnx.ModelProto, samples: Sequence[dict[str, np.ndarray]] = ()) -> onnx.ModelProto:
    """The model that `convert` returns."""
    return convert(model, samples).model


def convert(model: onnx.ModelProto, samples: Sequence[dict[str, np.ndarray]] = ()) -> HalfResult:
    """Convert a float32 model, or an INT8 model finished for TensorRT, to FP16 inside.

    Args:
        model: left as it is.
        samples: inputs by name; nodes whose values come within a factor of 2 of 65504 on them, or are all below 6e-5,
            stay in float32.

    Raises:
        InputError: the model has half precision already, integer operators, an unknown opset or NaN weights, or nothing
            to convert.
        EdgeauError: the result is not valid ONNX.
    """
    _require_convertible(model)
    graph = Graph(_prepared(model))
    if not graph.of_type(*WEIGHTED_OPS):
        raise InputError("FP16", got="a model without convolution or matrix product", expected="something to convert")
    plan = Plan(graph, out_of_range(graph.model, samples))
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


def _rewrite(graph: Graph, plan: Plan) -> int:
    """Convert constants, set types, and insert casts where precision changes. Returns the number of casts."""
    nodes = list(graph.nodes)
    converted: dict[str, str] = {}
    cast_to: dict[tuple[str, int], str] = {}
    for node in nodes:
        half = id(node) in plan.half
        for index, name in enumerate(node.input):
            fixed = index in FLOAT_INPUTS.get(node.op_type, ())
            if graph.element_type(name) != TensorProto.FLOAT or (node.op_type == "Cast"):
                continue
            kind = TensorProto.FLOAT16 if half and not fixed else TensorProto.FLOAT
            if graph.constant(name) is not None and name in graph.tensors:
                if kind == TensorProto.FLOAT16:
                    graph.set_input(node, index, _half_constant(graph, name, converted))
            elif plan.is_half(name) != (kind == TensorProto.FLOAT16):
                if (name, kind) not in cast_to:
                    suffix = "half" if kind == TensorProto.FLOAT16 else "single"
                    cast_to[name, kind] = graph.insert("Cast", [name], f"{name}_{suffix}", to=kind)
                graph.set_input(node, index, cast_to[name, kind])
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
    """Set attributes that name the output's type to FP16."""
    for entry in node.attribute:
        if entry.name in ("to", "dtype") and entry.i == TensorProto.FLOAT:
            entry.i = TensorProto.FLOAT16


def _cast_output(graph: Graph, name: str) -> int:
    """Keep a graph output's name and type: rename the FP16 tensor and cast it to the output."""
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

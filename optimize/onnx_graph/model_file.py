"""Reading ONNX files, and the checks before they are quantized or converted; each error is one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper

from edgeau.runtime.errors import InputError

from .graph import opset_of
from .operators import QUANTIZED_OPS

OLDEST_OPSET, NEWEST_OPSET = 13, onnx.defs.onnx_opset_version()
# Older ones have broadcasting and batch normalization of other meanings.
OLDEST_CONVERTIBLE_OPSET = 7


# What onnx and protobuf raise for files that are damaged or something else.
DAMAGE = (DecodeError, onnx.checker.ValidationError, OSError, ValueError, TypeError, LookupError, RecursionError)


def read_model(file: Path) -> onnx.ModelProto:
    """Read an ONNX file with its external data. Raises InputError where it is missing or damaged."""
    if not file.is_file():
        raise InputError(f"ONNX {file}", got="no such file", expected="a model such as fp32.onnx")
    try:
        model = onnx.load(str(file))
        onnx.checker.check_model(model)
        require_sound(model)
    except DAMAGE as error:
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else "not readable"
        raise InputError(
            f"ONNX {file}", got=f"damaged or not ONNX ({reason})", hint="export the model again"
        ) from error
    return model


def require_sound(model: onnx.ModelProto) -> None:
    """Raise ValueError where a name is no text, or a weight is of an unknown type or of another size than it says.

    The protobuf format allows both, and what reads a graph relies on neither.
    """
    graph = model.graph
    names = [model.producer_name, model.producer_version, model.domain, graph.name]
    names += [value.name for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer)]
    for node in graph.node:
        names += [node.op_type, node.domain, node.name, *node.input, *node.output, *(a.name for a in node.attribute)]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("a name that is not UTF-8")
    for tensor in graph.initializer:
        numpy_helper.to_array(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        TensorProto.DataType.Name(value.type.tensor_type.elem_type)


def require_float(model: onnx.ModelProto, name: str) -> None:
    """Raise InputError unless the model is float and has a known opset and finite weights."""
    require_opset(model, name)
    operators = sorted({node.op_type for node in model.graph.node} & QUANTIZED_OPS)
    if operators:
        raise InputError(
            f"{name} is quantized already",
            got=f"operators {', '.join(operators)}",
            expected="a float model",
            hint="use the FP32 model that it was made from",
        )
    require_finite(model, name)


def to_supported_opset(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The model itself, or in OLDEST_OPSET if its own is older, by ONNX's version converter.

    Raises:
        InputError: the converter can't do it.
    """
    if not OLDEST_CONVERTIBLE_OPSET <= opset_of(model) < OLDEST_OPSET:
        return model
    try:
        converted = onnx.version_converter.convert_version(model, OLDEST_OPSET)
        onnx.checker.check_model(converted)
    except (RuntimeError, *DAMAGE) as error:  # RuntimeError is what the converter raises for operators it can't convert
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{name}: opset {opset_of(model)}",
            got=f"operators that ONNX's version converter can't convert to {OLDEST_OPSET} ({reason})",
            hint="export it with opset 18",
        ) from error
    return converted


def require_opset(model: onnx.ModelProto, name: str) -> None:
    """Raise InputError unless quantization supports the model's opset."""
    version = opset_of(model)
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise InputError(
            f"{name}: opset",
            got=str(version),
            expected=f"{OLDEST_OPSET} to {NEWEST_OPSET}",
            hint="export it with opset 18, or convert it with onnx.version_converter",
        )


def require_finite(model: onnx.ModelProto, name: str) -> None:
    """Raise InputError for the first weight with NaN or infinity."""
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind == "f" and not np.isfinite(values.astype(np.float32)).all():
            bad = int((~np.isfinite(values.astype(np.float32))).sum())
            raise InputError(
                f"{name}: weight {tensor.name}",
                got=f"{bad} of {values.size} values NaN or infinite",
                expected="finite weights",
                hint="the training diverged; export an earlier checkpoint",
            )

"""Reading float ONNX files: what can be wrong with one is said in one line, before any work is done on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from edgeau.runtime.errors import EdgeauError, InputError

QUANTIZED_OPS = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "FakeQuantize",
        "ConvInteger",
        "MatMulInteger",
        "QLinearConv",
        "QLinearMatMul",
    }
)
OLDEST_OPSET, NEWEST_OPSET = 13, onnx.defs.onnx_opset_version()


def read_model(file: Path) -> onnx.ModelProto:
    """Read an ONNX file whole, external data included. Raises InputError where it is missing or damaged."""
    if not file.is_file():
        raise InputError(f"ONNX {file}", got="no such file", expected="a model such as fp32.onnx")
    try:
        model = onnx.load(str(file))
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, FileNotFoundError) as error:
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else "not readable"
        raise InputError(
            f"ONNX {file}", got=f"damaged or not ONNX ({reason})", hint="export the model again"
        ) from error
    return model


def opset(model: onnx.ModelProto) -> int:
    """Version of the default operator set, 0 where the model imports none."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def require_float(model: onnx.ModelProto, name: str) -> None:
    """Raise InputError unless the model is float, has a known opset and finite weights, so that it can be quantized."""
    require_opset(model, name)
    found = sorted({node.op_type for node in model.graph.node} & QUANTIZED_OPS)
    if found:
        raise InputError(
            f"{name} is quantized already", got=f"operators {', '.join(found)}", expected="a float model",
            hint="give the FP32 model that it was made from",
        )  # fmt: skip
    require_finite(model, name)


def require_opset(model: onnx.ModelProto, name: str) -> None:
    """Raise InputError where the opset is one that quantization doesn't know."""
    version = opset(model)
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise InputError(
            f"{name}: opset", got=str(version), expected=f"{OLDEST_OPSET} to {NEWEST_OPSET}",
            hint="export it with opset 18, or convert it with onnx.version_converter",
        )  # fmt: skip


def require_finite(model: onnx.ModelProto, name: str) -> None:
    """Raise InputError naming the first weight that holds NaN or infinity."""
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind == "f" and not np.isfinite(values.astype(np.float32)).all():
            bad = int((~np.isfinite(values.astype(np.float32))).sum())
            raise InputError(
                f"{name}: weight {tensor.name}", got=f"{bad} of {values.size} values NaN or infinite",
                expected="finite weights", hint="the training diverged; export an earlier checkpoint",
            )  # fmt: skip


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove nodes and weights that no output needs any more, in place."""
    while True:
        used = {name for node in model.graph.node for name in node.input} | {o.name for o in model.graph.output}
        dead = [node for node in model.graph.node if not used & set(node.output)]
        if not dead:
            break
        for node in dead:
            model.graph.node.remove(node)
    for tensor in [t for t in model.graph.initializer if t.name not in used]:
        model.graph.initializer.remove(tensor)


def session(model: onnx.ModelProto) -> Any:
    """An ONNX Runtime session of a model in memory, on one thread. Raises EdgeauError where it can't be loaded."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise EdgeauError(f"ONNX Runtime can't load this model: {reason}") from error

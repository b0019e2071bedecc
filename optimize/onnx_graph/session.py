"""Models in memory on ONNX Runtime's CPU, one thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx

from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.privacy import send_no_telemetry

_FATAL_ONLY = 4


def open_session(model: onnx.ModelProto, *, optimized: bool = True) -> Any:
    """An `onnxruntime.InferenceSession`. Raises EdgeauError where ONNX Runtime can't load the model.

    Args:
        model: up to 2 GB.
        optimized: whether ONNX Runtime may fuse and replace operators.
    """
    send_no_telemetry()
    import onnxruntime

    level = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise EdgeauError(f"ONNX Runtime can't load this model: {reason}") from error


def run(model: onnx.ModelProto, inputs: dict[str, np.ndarray], *, optimized: bool = False) -> list[np.ndarray]:
    """All outputs for one set of inputs, in the graph's order; without graph optimizations unless asked for."""
    return next(run_each(model, [inputs], optimized=optimized))


def run_each(
    model: onnx.ModelProto, samples: Iterable[dict[str, np.ndarray]], *, optimized: bool = False
) -> Iterator[list[np.ndarray]]:
    """`run` for several sets of inputs; the model is loaded once."""
    session = open_session(model, optimized=optimized)
    for inputs in samples:
        yield list(session.run(None, inputs))

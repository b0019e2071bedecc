"""OpenVINO: runs every ONNX variant on Intel and ARM CPUs, in the precision that the file says."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Dict, Mapping, Tuple

import numpy as np

from edgeau.runtime.errors import BackendError
from edgeau.runtime.model_file import ModelFile, onnx_problem
from edgeau.runtime.privacy import send_no_telemetry

from .base import Backend, BackendOptions

send_no_telemetry()
import openvino as ov  # noqa: E402, TID251 - its one file

# OpenVINO's names of capabilities and of types.
_LOWER_PRECISIONS = {"BF16": "bf16", "FP16": "f16"}


class OpenVinoBackend(Backend):
    """An ONNX file compiled for the CPU. ``infer`` may be called from several threads; calls take turns."""

    name = "openvino"

    def __init__(self, file: ModelFile, options: BackendOptions) -> None:
        problem = onnx_problem(file)
        if problem is not None:
            raise BackendError(f"{file.path} {problem}")
        config: Dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": options.inference_precision,
            "PERFORMANCE_HINT": "LATENCY",
            # A pinned call waits for its core while others are idle: where other programs were running, calls between
            # those of a detector took twice as long, and on idle cores no less.
            "ENABLE_CPU_PINNING": False,
        }
        if options.threads is not None:
            config["INFERENCE_NUM_THREADS"] = options.threads
        try:
            core = ov.Core()
            model = core.read_model(model=file.data, weights=b"")
            # Compiling may give an output further names, so the file's own are taken before.
            self.output_names = tuple(port.get_any_name() for port in model.outputs)
            single = _for_one(model)
            compiled = core.compile_model(model, "CPU", config)
        except Exception as error:
            raise BackendError(f"OpenVINO can't load {file.path}: {_first_line(error)}") from error
        precision = str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        if precision != options.inference_precision:
            raise BackendError(f"OpenVINO was asked for {options.inference_precision} and computes in {precision}")
        self._request = compiled.create_infer_request()
        self._request_for_one = self._request
        if single is not None:
            with contextlib.suppress(RuntimeError):  # the graph of any batch does it too, a little slower
                self._request_for_one = core.compile_model(single, "CPU", config).create_infer_request()
        self._lock = threading.Lock()
        self.input_shapes = {
            port.get_any_name(): tuple(d.get_length() for d in list(port.get_partial_shape())[1:])
            for port in compiled.inputs
        }
        self.settings = {
            "device": "CPU",
            "threads": options.threads,
            "inference_precision": precision,
            "pinned": bool(compiled.get_property("ENABLE_CPU_PINNING")),
            "version": ov.__version__.split("-")[0],
        }

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        self.check(inputs)
        with self._lock:
            request = self._request_for_one if len(next(iter(inputs.values()))) == 1 else self._request
            try:
                results = request.infer({name: inputs[name] for name in self.input_shapes}, share_inputs=True)
            except Exception as error:
                raise BackendError(f"OpenVINO failed: {_first_line(error)}") from error
            return {name: np.array(results[name]) for name in self.output_names}


def lower_precisions() -> Tuple[str, ...]:
    """Types below float32 that this CPU multiplies natively; others OpenVINO would compute in float32."""
    capabilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(name for capability, name in _LOWER_PRECISIONS.items() if capability in capabilities)


def _for_one(model: Any) -> Any:
    """A copy for one face, None if the model has a fixed batch, or no copy can be made.

    With every shape known, one face takes a sixth less time; and calls with several faces in between, after which a
    graph of any batch is slower for a while, don't slow it.
    """
    shapes = {port.get_any_name(): list(port.get_partial_shape()) for port in model.inputs}
    if not all(shape and shape[0].is_dynamic for shape in shapes.values()):
        return None
    single = model.clone()
    try:
        single.reshape({name: [1, *(d.get_length() for d in shape[1:])] for name, shape in shapes.items()})
    except RuntimeError:
        return None
    return single


def open(file: ModelFile, options: BackendOptions) -> OpenVinoBackend:
    """Load an ONNX file. Raises BackendError."""
    return OpenVinoBackend(file, options)


def _first_line(error: Exception) -> str:
    """The first line that says what happened, rather than where in OpenVINO's source."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line for line in lines if not line.startswith("Exception from ")), lines[0])

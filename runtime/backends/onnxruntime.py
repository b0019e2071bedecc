"""ONNX Runtime: runs every ONNX variant, on the CPU unless another provider is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping

import numpy as np
import onnxruntime as ort  # noqa: TID251 - its one file

from edgeau.runtime.errors import BackendError, InputError

from .base import Backend, BackendOptions


class OnnxRuntimeBackend(Backend):
    """An ONNX file in an ONNX Runtime session. ``infer`` may be called from several threads."""

    name = "onnxruntime"

    def __init__(self, file: Path, options: BackendOptions) -> None:
        available = ort.get_available_providers()
        if options.provider not in available:
            raise InputError("ONNX Runtime provider", got=options.provider, expected=f"one of {', '.join(available)}")
        session_options = ort.SessionOptions()
        session_options.log_severity_level = 3
        if options.threads is not None:
            session_options.intra_op_num_threads = options.threads
        try:
            self._session = ort.InferenceSession(str(file), session_options, providers=[options.provider])
        except Exception as error:
            raise BackendError(f"ONNX Runtime can't load {file}: {_first_line(error)}") from error
        got = self._session.get_providers()
        if got[0] != options.provider:
            raise BackendError(f"ONNX Runtime was asked for {options.provider} and fell back to {got[0]}")
        self.input_shapes = {i.name: tuple(i.shape[1:]) for i in self._session.get_inputs()}
        self.output_names = tuple(o.name for o in self._session.get_outputs())
        self.settings = {
            "provider": got[0],
            "threads": options.threads,
            "version": ort.__version__,
        }

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        self.check(inputs)
        try:
            outputs = self._session.run(None, {name: inputs[name] for name in self.input_shapes})
        except Exception as error:
            raise BackendError(f"ONNX Runtime failed: {_first_line(error)}") from error
        return dict(zip(self.output_names, outputs))


def open(file: Path, options: BackendOptions) -> OnnxRuntimeBackend:
    """Load an ONNX file. Raises BackendError."""
    return OnnxRuntimeBackend(file, options)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

"""ONNX Runtime: runs every ONNX variant, on the CPU unless another provider is asked for.

With ``TensorrtExecutionProvider`` ONNX Runtime builds an engine itself, which takes minutes on a small board: engine
and timing caches are kept in edgeau's cache folder (EDGEAU_CACHE, else ~/.cache/edgeau), one folder per model file, and
a first build is announced. The engine grows with the largest batch seen, so another batch may build again. Source of
option names: ONNX Runtime's documentation of the TensorRT execution provider.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Dict, List, Mapping, Tuple

import numpy as np

from edgeau.runtime.detect import cache_folder
from edgeau.runtime.errors import BackendError, EdgeauWarning, InputError
from edgeau.runtime.model_file import ModelFile, onnx_problem
from edgeau.runtime.privacy import send_no_telemetry

from .base import Backend, BackendOptions

send_no_telemetry()
import onnxruntime as ort  # noqa: E402, TID251 - its one file

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
Provider = Tuple[str, Dict[str, str]]


class OnnxRuntimeBackend(Backend):
    """An ONNX file in an ONNX Runtime session. ``infer`` may be called from several threads."""

    name = "onnxruntime"

    def __init__(self, file: ModelFile, options: BackendOptions) -> None:
        problem = onnx_problem(file)
        if problem is not None:
            raise BackendError(f"{file.path} {problem}")
        providers = _providers(file, options.provider)
        session_options = ort.SessionOptions()
        session_options.log_severity_level = 4  # its errors are raised, and printed they may hold a file's own text
        if options.threads is not None:
            session_options.intra_op_num_threads = options.threads
        try:
            self._session = ort.InferenceSession(file.data, session_options, providers=providers)
        except Exception as error:
            raise BackendError(f"ONNX Runtime can't load {file.path}: {_one_line(error)}") from error
        got = self._session.get_providers()
        if got[0] != options.provider:
            raise BackendError(f"ONNX Runtime was asked for {options.provider} and fell back to {got[0]}")
        self.input_shapes = {i.name: tuple(i.shape[1:]) for i in self._session.get_inputs()}
        self.output_names = tuple(o.name for o in self._session.get_outputs())
        self.settings = {
            "provider": got[0],
            "provider_options": dict(providers[0][1]),
            "threads": options.threads,
            "version": ort.__version__,
        }

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        self.check(inputs)
        try:
            outputs = self._session.run(None, {name: inputs[name] for name in self.input_shapes})
        except Exception as error:
            raise BackendError(f"ONNX Runtime failed: {_one_line(error)}") from error
        return dict(zip(self.output_names, outputs))


def open(file: ModelFile, options: BackendOptions) -> OnnxRuntimeBackend:
    """Load an ONNX file. Raises BackendError."""
    return OnnxRuntimeBackend(file, options)


def _providers(file: ModelFile, asked: str) -> List[Provider]:
    """The provider that was asked for with its options, then those that run the nodes that it can't."""
    available = ort.get_available_providers()
    if asked not in available:
        hint = "pip install 'edgeau[gpu]' for those of NVIDIA GPUs" if asked in (CUDA, TENSORRT) else None
        raise InputError("ONNX Runtime provider", got=asked, expected=f"one of {', '.join(available)}", hint=hint)
    options = _tensorrt_options(file) if asked == TENSORRT else {}
    rest = {TENSORRT: [CUDA, CPU], CPU: []}.get(asked, [CPU])
    return [(asked, options), *((name, {}) for name in rest if name in available)]


def _tensorrt_options(file: ModelFile) -> Dict[str, str]:
    folder = cache_folder() / "onnxruntime-tensorrt" / file.sha256[:16]
    _make_writable(folder)
    if not any(folder.glob("*.engine")):
        warnings.warn(
            f"ONNX Runtime first builds an engine of {file.path.name}, which can take minutes; it is kept in {folder}",
            EdgeauWarning,
            stacklevel=2,
        )
    return {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(folder),
        # A file with Q/DQ nodes needs the flag; one without would ask for a calibration table.
        "trt_int8_enable": str(b"QuantizeLinear" in file.data),
    }


def _make_writable(folder: Path) -> None:
    """Make a folder, or raise InputError before a build of minutes whose result could not be kept."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise InputError(f"cache folder {folder}", got="not writable", hint="set EDGEAU_CACHE to a folder that is")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

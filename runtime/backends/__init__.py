"""Inference backends. ``open_backend`` is the only place that knows them all by name."""

from __future__ import annotations

import importlib
from typing import Dict, Optional, Tuple, Union

from edgeau.runtime.errors import BackendError, InputError, MissingExtraError
from edgeau.runtime.files import PathLike
from edgeau.runtime.model_file import ModelFile, read_model_file

from .base import Backend, BackendOptions, FakeBackend

__all__ = [
    "BACKEND_NAMES",
    "Backend",
    "BackendOptions",
    "FakeBackend",
    "lower_precisions",
    "missing",
    "open_backend",
]

# name -> (module of this package, extra that brings its library)
_TABLE: Dict[str, Tuple[str, str]] = {
    "onnxruntime": (".onnxruntime", "cpu"),
    "openvino": (".openvino", "cpu"),
    "tensorrt": (".tensorrt", "jetson"),
}
_COMMANDS = {
    # TensorRT is in no extra: a Jetson has it from JetPack.
    "tensorrt": "sudo apt-get install python3-libnvinfer (a Jetson), pip install tensorrt (elsewhere)"
}
BACKEND_NAMES = tuple(_TABLE)
"""Backends that `open_backend` and ``--backend`` know, by name."""


def open_backend(name: str, file: Union[PathLike, ModelFile], options: BackendOptions = BackendOptions()) -> Backend:
    """Load a model file on a backend.

    Args:
        name: one of BACKEND_NAMES.
        file: an ONNX file, or a plan for ``tensorrt``: a path, or bytes that were verified (``Package.read``).
        options: threads and the like; a backend ignores those that don't concern it.

    Raises:
        InputError: unknown backend, or no such file.
        MissingExtraError: its library is not installed.
        BackendError: it can't load the file.
    """
    if name not in _TABLE:
        raise InputError("backend", got=repr(name), expected=", ".join(BACKEND_NAMES))
    module, extra = _TABLE[name]
    try:
        opener = importlib.import_module(module, __name__).open
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name:
            raise MissingExtraError(error.name, extra, f"the {name} backend", _command(name)) from error
        raise BackendError(f"the {name} backend can't be imported: {error}") from error
    backend: Backend = opener(file if isinstance(file, ModelFile) else read_model_file(file), options)
    return backend


def missing(name: str) -> Optional[str]:
    """Why a backend can't run here, in one line; None if its library can be imported."""
    module, _ = _TABLE[name]
    try:
        importlib.import_module(module, __name__)
    except ImportError as error:
        library = getattr(error, "name", None) or str(error)
        return f"{library} is not installed; type: {_command(name)}"
    return None


def lower_precisions(name: str) -> Tuple[str, ...]:
    """Types below float32 in which an installed backend computes natively here, for `BackendOptions`: ``bf16``."""
    natively = getattr(importlib.import_module(_TABLE[name][0], __name__), "lower_precisions", tuple)
    precisions: Tuple[str, ...] = natively()
    return precisions


def _command(name: str) -> str:
    """What installs a backend's library."""
    return _COMMANDS.get(name) or f"pip install 'edgeau[{_TABLE[name][1]}]'"

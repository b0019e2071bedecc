"""Inference backends, one file each. ``open_backend`` is the only place that knows them all by name."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Dict, Optional, Tuple

from edgeau.runtime.errors import BackendError, InputError, MissingExtraError

from .base import Backend, BackendOptions, FakeBackend

__all__ = ["BACKEND_NAMES", "Backend", "BackendOptions", "FakeBackend", "missing", "open_backend"]

# name -> (module of this package, extra that brings its library)
_TABLE: Dict[str, Tuple[str, str]] = {
    "onnxruntime": (".onnxruntime", "cpu"),
    "openvino": (".openvino", "cpu"),
    "tensorrt": (".tensorrt", "jetson"),
}
BACKEND_NAMES = tuple(_TABLE)
"""Backends that `open_backend` and ``--backend`` know, by name."""


def open_backend(name: str, file: Path, options: BackendOptions = BackendOptions()) -> Backend:
    """Load a model file on a backend.

    Args:
        name: one of BACKEND_NAMES.
        file: an ONNX file, or a plan for ``tensorrt``.
        options: threads and the like; a backend ignores what it has no use for.

    Raises:
        InputError: unknown backend.
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
            raise MissingExtraError(error.name, extra, f"the {name} backend") from error
        raise BackendError(f"the {name} backend can't be imported: {error}") from error
    backend: Backend = opener(file, options)
    return backend


def missing(name: str) -> Optional[str]:
    """Why a backend can't run here, in one line; None where its library imports."""
    module, extra = _TABLE[name]
    try:
        importlib.import_module(module, __name__)
    except ImportError as error:
        library = getattr(error, "name", None) or str(error)
        return f"{library} is not installed; type: pip install 'edgeau[{extra}]'"
    return None

"""Which CUDA binding is used: libcudart through ctypes, cuda-python or pycuda, whichever works here.

A Jetson has libcudart from JetPack, and it fits the driver there, which pip's cuda-python may not: it is tried first.
Elsewhere cuda-python comes first. A binding that is installed and can't use the driver (its CUDA is newer) is passed
over. Nothing happens at import.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from edgeau.runtime.errors import InputError, MissingExtraError

from .cuda_base import Cuda, CudaError
from .cuda_pycuda import PyCuda
from .cuda_python import CudaPython
from .cudart import load_cudart

BINDING_VARIABLE = "EDGEAU_CUDA"


def open_cuda(binding: Optional[str] = None) -> Cuda:
    """Open the first GPU through the first binding that works.

    Args:
        binding: ``cuda-python``, ``pycuda`` or ``cudart`` (the library itself, through ctypes) to insist on one, as the
            environment variable EDGEAU_CUDA does.

    Raises:
        InputError: no binding has that name.
        MissingExtraError: no binding is installed.
        CudaError: none of those installed can use a GPU; the text has each one's reason.
    """
    # Kernels are loaded when they are first used: less memory and a quicker start. CUDA reads this once, as it starts.
    os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")
    reasons: List[str] = []
    insisted = binding or os.environ.get(BINDING_VARIABLE) or None
    for name in _order(insisted):
        libraries, make = _BINDINGS[name]
        for library in libraries():
            try:
                return make(library)
            except CudaError as error:
                reasons.append(f"{name}: {error}")
    if not reasons:
        raise MissingExtraError(insisted or "libcudart, cuda-python or pycuda", "jetson", "the tensorrt backend")
    raise CudaError(f"CUDA can't be used here: {'; '.join(reasons)}", sticky=False)


def installed_binding() -> Optional[str]:
    """Name of the binding that ``open_cuda`` tries first, without asking the GPU; None if none is installed."""
    return next((name for name in _order(None) if any(True for _ in _BINDINGS[name][0]())), None)


def _order(insisted: Optional[str]) -> Tuple[str, ...]:
    if insisted is not None and insisted not in _BINDINGS:
        raise InputError(f"CUDA binding ({BINDING_VARIABLE})", got=insisted, expected=", ".join(_BINDINGS))
    if insisted is not None:
        return (insisted,)
    # Every Jetson is an aarch64 machine.
    first = ("cudart",) if platform.machine() == "aarch64" else ()
    return (*first, *(name for name in _BINDINGS if name not in first))


def _cuda_python() -> Iterator[Any]:
    # ``cuda.cudart`` is its name before 12.8.
    for name in ("cuda.bindings.runtime", "cuda.cudart"):
        with contextlib.suppress(ImportError):
            yield importlib.import_module(name)
            return


def _pycuda() -> Iterator[Any]:
    with contextlib.suppress(ImportError):
        yield importlib.import_module("pycuda.driver")


# Name -> its libraries that can be loaded here, the preferred one first, and the seam over one.
_BINDINGS: Dict[str, Tuple[Callable[[], Iterator[Any]], Callable[[Any], Cuda]]] = {
    "cuda-python": (_cuda_python, CudaPython),
    "pycuda": (_pycuda, PyCuda),
    "cudart": (lambda: load_cudart(), CudaPython),
}

"""CUDA's runtime library through ctypes, with the shape of cuda-python's runtime module.

A Jetson has this library from JetPack, so that an engine runs there with nothing installed by pip and without a
network. It has only what the seam calls. Source of signatures and numbers: CUDA runtime API reference (11.4 to 13).
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from types import SimpleNamespace
from typing import Any, Dict, Iterator, Sequence, Tuple

LIBRARIES = (
    "libcudart.so.13",
    "libcudart.so.12",
    "libcudart.so.11.0",
    "libcudart.so",
    "/usr/local/cuda/lib64/libcudart.so",
)

# Function -> types of what it gives back through pointers, types of what it takes.
_Signature = Tuple[Tuple[Any, ...], Tuple[Any, ...]]
_FUNCTIONS: Dict[str, _Signature] = {
    "cudaSetDevice": ((), (c_int,)),
    "cudaGetLastError": ((), ()),
    "cudaDeviceGetAttribute": ((c_int,), (c_int, c_int)),
    "cudaMemGetInfo": ((c_size_t, c_size_t), ()),
    "cudaMalloc": ((c_void_p,), (c_size_t,)),
    "cudaFree": ((), (c_void_p,)),
    "cudaHostAlloc": ((c_void_p,), (c_size_t, c_uint)),
    "cudaHostGetDevicePointer": ((c_void_p,), (c_void_p, c_uint)),
    "cudaFreeHost": ((), (c_void_p,)),
    "cudaMemcpyAsync": ((), (c_void_p, c_void_p, c_size_t, c_int, c_void_p)),
    "cudaStreamCreateWithFlags": ((c_void_p,), (c_uint,)),
    "cudaStreamDestroy": ((), (c_void_p,)),
    "cudaStreamSynchronize": ((), (c_void_p,)),
    "cudaEventCreate": ((c_void_p,), ()),
    "cudaEventRecord": ((), (c_void_p, c_void_p)),
    "cudaEventSynchronize": ((), (c_void_p,)),
    "cudaEventElapsedTime": ((c_float,), (c_void_p, c_void_p)),
    "cudaEventDestroy": ((), (c_void_p,)),
    "cudaStreamBeginCapture": ((), (c_void_p, c_int)),
    "cudaStreamEndCapture": ((c_void_p,), (c_void_p,)),
    "cudaGraphInstantiateWithFlags": ((c_void_p,), (c_void_p, c_ulonglong)),
    "cudaGraphDestroy": ((), (c_void_p,)),
    "cudaGraphLaunch": ((), (c_void_p, c_void_p)),
    "cudaGraphExecDestroy": ((), (c_void_p,)),
}
# All but these write their results through the first arguments.
_RESULTS_LAST = frozenset(("cudaStreamEndCapture",))


class CudaRuntime:
    """The library, with each function returning a tuple: the error's number, then the results.

    Args:
        library: a loaded ``libcudart``.
    """

    __name__ = "cudart"
    cudaDeviceAttr = SimpleNamespace(  # noqa: N815 - CUDA's names
        cudaDevAttrIntegrated=18,
        cudaDevAttrCanMapHostMemory=19,
        cudaDevAttrComputeCapabilityMajor=75,
        cudaDevAttrComputeCapabilityMinor=76,
    )
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815
    cudaHostAllocDefault, cudaHostAllocMapped, cudaStreamNonBlocking = 0, 2, 1  # noqa: N815

    def __init__(self, library: Any) -> None:
        library.cudaGetErrorString.restype = c_char_p
        library.cudaGetErrorString.argtypes = (c_int,)
        self._error_string = library.cudaGetErrorString
        for name, signature in _FUNCTIONS.items():
            setattr(self, name, _wrapped(getattr(library, name), signature, results_last=name in _RESULTS_LAST))

    def cudaGetErrorString(self, code: int) -> Tuple[int, bytes]:  # noqa: N802
        """The text of an error."""
        return 0, self._error_string(code) or b"unknown error"


def load_cudart(names: Sequence[str] = LIBRARIES) -> Iterator[CudaRuntime]:
    """Those of these libraries that can be loaded and have every function, in this order."""
    for name in names:
        try:
            library = CudaRuntime(ctypes.CDLL(name))
        except (OSError, AttributeError):
            continue
        yield library


def _wrapped(function: Any, signature: _Signature, *, results_last: bool) -> Any:
    results, arguments = signature
    pointers = tuple(POINTER(kind) for kind in results)
    function.restype = c_int
    function.argtypes = (*arguments, *pointers) if results_last else (*pointers, *arguments)

    def call(*values: Any) -> Tuple[Any, ...]:
        places = [kind() for kind in results]
        addresses = [ctypes.byref(place) for place in places]
        code = function(*values, *addresses) if results_last else function(*addresses, *values)
        # A null pointer comes back as None; every address here is a number.
        return (code, *(place.value or 0 for place in places))

    return call

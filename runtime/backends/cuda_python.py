"""The CUDA seam through cuda-python's runtime module. Source: CUDA runtime API reference."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Any, Iterator, Tuple

import numpy as np

from .cuda_base import Cuda, CudaError, HostBuffer, Stream, version_of

# Errors after which every further call in the process fails, until it ends (cudaError_t in the reference).
_STICKY_CODES = frozenset((214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 999))


class CudaPython(Cuda):
    """Through cuda-python's runtime module (``cuda.bindings.runtime``, before 12.8 ``cuda.cudart``).

    Each of its functions returns a tuple: the error, then the results.
    """

    has_graphs = True

    def __init__(self, runtime: Any) -> None:
        self._rt = runtime
        self.binding = _name_of(runtime)
        self._check("cudaSetDevice", runtime.cudaSetDevice(0))
        # The runtime makes the primary context with the first call that needs one.
        self._check("cudaFree", runtime.cudaFree(0))

    def _check(self, name: str, result: Tuple[Any, ...]) -> Any:
        code = int(result[0])
        if code != 0:
            _, text = self._rt.cudaGetErrorString(result[0])
            self._rt.cudaGetLastError()
            raise CudaError(f"{name} failed: {text.decode()} (CUDA error {code})", code in _STICKY_CODES)
        values = result[1:]
        return values[0] if len(values) == 1 else values

    def _call(self, name: str, *arguments: Any) -> Any:
        return self._check(name, getattr(self._rt, name)(*arguments))

    @contextlib.contextmanager
    def activate(self) -> Iterator[None]:
        self._call("cudaSetDevice", 0)
        yield

    def release(self) -> None:
        """Nothing to do: the runtime owns the primary context, and others may be using it."""

    def integrated(self) -> bool:
        attributes = self._rt.cudaDeviceAttr
        asked = (attributes.cudaDevAttrIntegrated, attributes.cudaDevAttrCanMapHostMemory)
        return all(self._call("cudaDeviceGetAttribute", attribute, 0) for attribute in asked)

    def compute_capability(self) -> str:
        attributes = self._rt.cudaDeviceAttr
        asked = (attributes.cudaDevAttrComputeCapabilityMajor, attributes.cudaDevAttrComputeCapabilityMinor)
        return ".".join(str(self._call("cudaDeviceGetAttribute", attribute, 0)) for attribute in asked)

    def memory_info(self) -> Tuple[int, int]:
        free, total = self._call("cudaMemGetInfo")
        return int(free), int(total)

    def malloc(self, size: int) -> Any:
        return int(self._call("cudaMalloc", size))

    def free(self, memory: Any) -> None:
        self._call("cudaFree", memory)

    def host_alloc(self, size: int, mapped: bool) -> HostBuffer:
        flags = self._rt.cudaHostAllocMapped if mapped else self._rt.cudaHostAllocDefault
        pointer = int(self._call("cudaHostAlloc", size, flags))
        array: np.ndarray = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(pointer))
        device = int(self._call("cudaHostGetDevicePointer", pointer, 0)) if mapped else None
        return HostBuffer(array, device, pointer)

    def host_free(self, buffer: HostBuffer) -> None:
        self._call("cudaFreeHost", buffer.owner)

    def stream(self) -> Stream:
        owner = self._call("cudaStreamCreateWithFlags", self._rt.cudaStreamNonBlocking)
        return Stream(int(owner), owner)

    def destroy_stream(self, stream: Stream) -> None:
        self._call("cudaStreamDestroy", stream.owner)

    def copy_in(self, device: int, host: np.ndarray, stream: Stream) -> None:
        kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", device, host.ctypes.data, host.nbytes, kind, stream.owner)

    def copy_out(self, host: np.ndarray, device: int, stream: Stream) -> None:
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", host.ctypes.data, device, host.nbytes, kind, stream.owner)

    def synchronize(self, stream: Stream) -> None:
        self._call("cudaStreamSynchronize", stream.owner)

    def record_event(self, stream: Stream) -> Any:
        event = self._call("cudaEventCreate")
        self._call("cudaEventRecord", event, stream.owner)
        return event

    def elapsed_ms(self, start: Any, end: Any) -> float:
        self._call("cudaEventSynchronize", end)
        return float(self._call("cudaEventElapsedTime", start, end))

    def destroy_event(self, event: Any) -> None:
        self._call("cudaEventDestroy", event)

    def begin_capture(self, stream: Stream) -> None:
        # Thread-local: what other threads do with CUDA meanwhile neither lands in the graph nor spoils it.
        mode = self._rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream.owner, mode)

    def end_capture(self, stream: Stream) -> Any:
        graph = self._call("cudaStreamEndCapture", stream.owner)
        try:
            return self._call("cudaGraphInstantiateWithFlags", graph, 0)
        finally:
            self._call("cudaGraphDestroy", graph)

    def launch(self, graph: Any, stream: Stream) -> None:
        self._call("cudaGraphLaunch", graph, stream.owner)

    def destroy_graph(self, graph: Any) -> None:
        self._call("cudaGraphExecDestroy", graph)


def _name_of(runtime: Any) -> str:
    if runtime.__name__ == "cudart":
        return "cudart"
    return f"cuda-python {version_of('cuda-bindings') if 'bindings' in runtime.__name__ else ''}".strip()

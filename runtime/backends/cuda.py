"""The one seam over cuda-python and pycuda: memory, streams, events and graphs of the first GPU.

Either binding does; cuda-python is preferred, because pycuda has no CUDA graphs. Both work in the device's primary
context, which torch and ONNX Runtime share, so none of them pulls the GPU from under the other. Nothing happens at
import: ``open_cuda`` looks for a binding and for a GPU.

Sources: CUDA runtime API reference (cudaError_t: which errors are sticky), pycuda 2026.1's wrap_cudadrv.cpp.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
from dataclasses import dataclass
from typing import Any, Iterator, Optional, Tuple

import numpy as np

from edgeau.runtime.errors import BackendError, MissingExtraError

# Errors after which every further call in the process fails, until it ends: by number, and as pycuda words them.
_STICKY_CODES = frozenset((214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 999))
_STICKY_TEXTS = (
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "illegal memory access",
    "launch timed out",
    "context is destroyed",
    "device-side assert",
    "hardware stack error",
    "illegal instruction",
    "misaligned address",
    "operation not supported on global/shared address space",
    "invalid program counter",
    "unspecified launch failure",
    "unknown error",
)


BINDING_VARIABLE = "EDGEAU_CUDA"


class CudaError(BackendError):
    """A CUDA call failed.

    Attributes:
        sticky: whether the GPU is lost to this process, so that only a new process can use it.
    """

    def __init__(self, text: str, sticky: bool) -> None:
        super().__init__(text)
        self.sticky = sticky


@dataclass(frozen=True)
class HostBuffer:
    """Page-locked host memory.

    Attributes:
        array: uint8 [bytes], the memory.
        device: the GPU's address of the same memory where it is mapped, else None.
        owner: what the binding frees.
    """

    array: np.ndarray
    device: Optional[int]
    owner: Any


@dataclass(frozen=True)
class Stream:
    """A CUDA stream: its ``handle`` as an integer, and the binding's object."""

    handle: int
    owner: Any


class Cuda:
    """What the TensorRT backend needs of CUDA. Every call but ``activate`` belongs inside ``with activate()``.

    Attributes:
        binding: name and version of the Python package.
        has_graphs: whether the binding can capture CUDA graphs.
    """

    binding: str
    has_graphs: bool

    def activate(self) -> contextlib.AbstractContextManager[None]:
        """Make the primary context current in this thread, for as long as the block runs."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of the primary context."""
        raise NotImplementedError

    def integrated(self) -> bool:
        """Whether the GPU shares its memory with the CPU, as on a Jetson, and can map host memory."""
        raise NotImplementedError

    def compute_capability(self) -> str:
        """Such as ``8.7``."""
        raise NotImplementedError

    def memory_info(self) -> Tuple[int, int]:
        """Free bytes and all bytes of the GPU's memory."""
        raise NotImplementedError

    def malloc(self, size: int) -> Any:
        """Device memory; ``int()`` of it is its address."""
        raise NotImplementedError

    def free(self, memory: Any) -> None:
        """Free device memory."""
        raise NotImplementedError

    def host_alloc(self, size: int, mapped: bool) -> HostBuffer:
        """Page-locked host memory, ``mapped`` into the GPU's address space or not."""
        raise NotImplementedError

    def host_free(self, buffer: HostBuffer) -> None:
        """Free page-locked memory; its array must not be touched afterwards."""
        raise NotImplementedError

    def stream(self) -> Stream:
        """A stream that doesn't wait for the default stream."""
        raise NotImplementedError

    def destroy_stream(self, stream: Stream) -> None:
        """End a stream."""
        raise NotImplementedError

    def copy_in(self, device: int, host: np.ndarray, stream: Stream) -> None:
        """Queue a copy of a contiguous page-locked array to the device."""
        raise NotImplementedError

    def copy_out(self, host: np.ndarray, device: int, stream: Stream) -> None:
        """Queue a copy from the device to a contiguous page-locked array."""
        raise NotImplementedError

    def synchronize(self, stream: Stream) -> None:
        """Wait for everything queued on the stream. Errors of queued work surface here."""
        raise NotImplementedError

    def record_event(self, stream: Stream) -> Any:
        """An event that marks this point of the stream."""
        raise NotImplementedError

    def elapsed_ms(self, start: Any, end: Any) -> float:
        """Time between two events, waiting for the second."""
        raise NotImplementedError

    def destroy_event(self, event: Any) -> None:
        """Free an event."""
        raise NotImplementedError

    def begin_capture(self, stream: Stream) -> None:
        """From now on, record what is queued on the stream and don't run it."""
        raise NotImplementedError

    def end_capture(self, stream: Stream) -> Any:
        """Stop recording; returns the graph, ready to launch. Raises CudaError where the recording was refused."""
        raise NotImplementedError

    def launch(self, graph: Any, stream: Stream) -> None:
        """Queue a graph."""
        raise NotImplementedError

    def destroy_graph(self, graph: Any) -> None:
        """Free a graph."""
        raise NotImplementedError


def open_cuda(binding: Optional[str] = None) -> Cuda:
    """Open the first GPU through the binding that is installed.

    Args:
        binding: ``cuda-python`` or ``pycuda`` to insist on one, as the environment variable EDGEAU_CUDA does.

    Raises:
        MissingExtraError: no binding is installed.
        CudaError: there is no GPU, or its driver doesn't fit.
    """
    # Kernels are loaded when they are first used: less memory and a quicker start. CUDA reads this once, at its own.
    os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")
    binding = binding or os.environ.get(BINDING_VARIABLE) or None
    if binding in (None, "cuda-python"):
        runtime = _import("cuda.bindings.runtime", "cuda.cudart")
        if runtime is not None:
            return CudaPython(runtime)
    if binding in (None, "pycuda"):
        driver = _import("pycuda.driver")
        if driver is not None:
            return PyCuda(driver)
    raise MissingExtraError(binding or "cuda-python (or pycuda)", "jetson", "the tensorrt backend")


def installed_binding() -> Optional[str]:
    """Name of the binding that ``open_cuda`` would take, without asking the GPU; None where there is none."""
    if _import("cuda.bindings.runtime", "cuda.cudart") is not None:
        return "cuda-python"
    return "pycuda" if _import("pycuda.driver") is not None else None


def _import(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _version(distribution: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "of an unknown version"


class CudaPython(Cuda):
    """Through cuda-python's runtime module (``cuda.bindings.runtime``, before 12.8 ``cuda.cudart``).

    Each of its functions returns a tuple: the error, then the results.
    """

    has_graphs = True

    def __init__(self, runtime: Any) -> None:
        self._rt = runtime
        self.binding = f"cuda-python {_version('cuda-bindings') if 'bindings' in runtime.__name__ else ''}".strip()
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
        wanted = (attributes.cudaDevAttrIntegrated, attributes.cudaDevAttrCanMapHostMemory)
        return all(self._call("cudaDeviceGetAttribute", attribute, 0) for attribute in wanted)

    def compute_capability(self) -> str:
        attributes = self._rt.cudaDeviceAttr
        wanted = (attributes.cudaDevAttrComputeCapabilityMajor, attributes.cudaDevAttrComputeCapabilityMinor)
        return ".".join(str(self._call("cudaDeviceGetAttribute", attribute, 0)) for attribute in wanted)

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


class PyCuda(Cuda):
    """Through pycuda's driver module, in the primary context and without ``autoinit``. It has no graphs."""

    has_graphs = False

    def __init__(self, driver: Any) -> None:
        self._drv = driver
        self.binding = f"pycuda {_version('pycuda')}"
        with self._errors("cuInit"):
            driver.init()
            self._device = driver.Device(0)
            self._context = self._device.retain_primary_context()

    @contextlib.contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except self._drv.Error as error:
            text = str(error)
            sticky = any(phrase in text for phrase in _STICKY_TEXTS)
            raise CudaError(text if "failed" in text else f"{name} failed: {text}", sticky) from error

    @contextlib.contextmanager
    def activate(self) -> Iterator[None]:
        with self._errors("cuCtxPushCurrent"):
            self._context.push()
        try:
            yield
        finally:
            with self._errors("cuCtxPopCurrent"):
                self._drv.Context.pop()

    def release(self) -> None:
        # A context that is current in this thread may be let go from any thread, not only from the one that got it.
        with self._errors("cuDevicePrimaryCtxRelease"):
            self._context.push()
            self._context.detach()

    def integrated(self) -> bool:
        names = self._drv.device_attribute
        with self._errors("cuDeviceGetAttribute"):
            wanted = (names.INTEGRATED, names.CAN_MAP_HOST_MEMORY)
            return all(self._device.get_attribute(attribute) for attribute in wanted)

    def compute_capability(self) -> str:
        with self._errors("cuDeviceGetAttribute"):
            return ".".join(str(number) for number in self._device.compute_capability())

    def memory_info(self) -> Tuple[int, int]:
        with self._errors("cuMemGetInfo"):
            free, total = self._drv.mem_get_info()
        return int(free), int(total)

    def malloc(self, size: int) -> Any:
        with self._errors("cuMemAlloc"):
            return self._drv.mem_alloc(size)

    def free(self, memory: Any) -> None:
        with self._errors("cuMemFree"):
            memory.free()

    def host_alloc(self, size: int, mapped: bool) -> HostBuffer:
        flags = self._drv.host_alloc_flags.DEVICEMAP if mapped else 0
        with self._errors("cuMemHostAlloc"):
            array = self._drv.pagelocked_empty(size, np.uint8, mem_flags=flags)
            device = int(array.base.get_device_pointer()) if mapped else None
        return HostBuffer(array, device, array.base)

    def host_free(self, buffer: HostBuffer) -> None:
        with self._errors("cuMemFreeHost"):
            buffer.owner.free()

    def stream(self) -> Stream:
        with self._errors("cuStreamCreate"):
            # 1 is CU_STREAM_NON_BLOCKING.
            owner = self._drv.Stream(1)
        return Stream(int(owner.handle), owner)

    def destroy_stream(self, stream: Stream) -> None:
        """Nothing to do: pycuda destroys it with its last reference."""

    def copy_in(self, device: int, host: np.ndarray, stream: Stream) -> None:
        with self._errors("cuMemcpyHtoDAsync"):
            self._drv.memcpy_htod_async(device, host, stream.owner)

    def copy_out(self, host: np.ndarray, device: int, stream: Stream) -> None:
        with self._errors("cuMemcpyDtoHAsync"):
            self._drv.memcpy_dtoh_async(host, device, stream.owner)

    def synchronize(self, stream: Stream) -> None:
        with self._errors("cuStreamSynchronize"):
            stream.owner.synchronize()

    def record_event(self, stream: Stream) -> Any:
        with self._errors("cuEventRecord"):
            return self._drv.Event().record(stream.owner)

    def elapsed_ms(self, start: Any, end: Any) -> float:
        with self._errors("cuEventElapsedTime"):
            end.synchronize()
            return float(start.time_till(end))

    def destroy_event(self, event: Any) -> None:
        """Nothing to do: pycuda destroys it with its last reference."""

    def begin_capture(self, stream: Stream) -> None:  # noqa: ARG002 - the seam's signature
        raise CudaError("pycuda has no CUDA graphs; install cuda-python", sticky=False)

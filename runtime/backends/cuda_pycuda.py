"""The CUDA seam through pycuda's driver module. Source: pycuda 2026.1, src/wrapper/wrap_cudadrv.cpp."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, Tuple

import numpy as np

from .cuda_base import Cuda, CudaError, HostBuffer, Stream, version_of

# Errors after which every further call in the process fails, as cuGetErrorString words them: pycuda keeps no number.
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


class PyCuda(Cuda):
    """Through pycuda's driver module, in the primary context and without ``autoinit``. It has no graphs."""

    has_graphs = False

    def __init__(self, driver: Any) -> None:
        self._drv = driver
        self.binding = f"pycuda {version_of('pycuda')}"
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
            needed = (names.INTEGRATED, names.CAN_MAP_HOST_MEMORY)
            return all(self._device.get_attribute(attribute) for attribute in needed)

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
        # pycuda destroys it with its last reference, for which the context must be current, as it is here.
        stream.owner = None

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

"""Memory of an engine's inputs and outputs."""

from __future__ import annotations

from typing import Any, Dict, Sequence

import numpy as np

from .cuda_base import Cuda, CudaError, HostBuffer
from .engine_tensors import Tensor


class Buffers:
    """Memory of all tensors at the largest batch, allocated once: page-locked on the host, and mapped into the GPU's
    address space or paired with memory of the device.

    Args:
        cuda: active while the buffers are made and freed.
        tensors: what to allocate for.
        mapped: share the host's memory with the GPU instead of copying.

    Raises:
        CudaError: out of memory; nothing stays allocated.
    """

    def __init__(self, cuda: Cuda, tensors: Sequence[Tensor], mapped: bool) -> None:
        self.mapped = mapped
        self._cuda = cuda
        self._host: Dict[str, HostBuffer] = {}
        self._device: Dict[str, Any] = {}
        try:
            for tensor in tensors:
                self._host[tensor.name] = cuda.host_alloc(tensor.nbytes, mapped)
                if not mapped:
                    self._device[tensor.name] = cuda.malloc(tensor.nbytes)
        except CudaError:
            self.free()
            raise

    def address(self, tensor: Tensor) -> int:
        """The address that the engine reads or writes."""
        mapped = self._host[tensor.name].device
        return int(self._device[tensor.name]) if mapped is None else mapped

    def view(self, tensor: Tensor, batch: int) -> np.ndarray:
        """A tensor on the host, in its shape at this batch."""
        shape = tensor.shape_at(batch)
        size = int(np.prod(shape)) * int(np.dtype(tensor.dtype).itemsize)
        return self._host[tensor.name].array[:size].view(tensor.dtype).reshape(shape)

    def free(self) -> None:
        """Free everything."""
        while self._device:
            self._cuda.free(self._device.popitem()[1])
        while self._host:
            self._cuda.host_free(self._host.popitem()[1])

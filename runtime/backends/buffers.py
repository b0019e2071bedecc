"""Memory of an engine's inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

import numpy as np

from .cuda import Cuda, CudaError, HostBuffer


@dataclass(frozen=True)
class Tensor:
    """An input or output of an engine.

    Attributes:
        name, is_input, dtype: of the tensor.
        shape: with the profile's largest batch first.
        smallest: the profile's smallest batch.
    """

    name: str
    is_input: bool
    dtype: Any
    shape: Tuple[int, ...]
    smallest: int

    @property
    def nbytes(self) -> int:
        """Bytes at the largest batch."""
        return int(np.prod(self.shape)) * int(np.dtype(self.dtype).itemsize)


class Buffers:
    """Memory of all tensors, allocated once: page-locked on the host, and mapped or copied to the device."""

    def __init__(self, cuda: Cuda, tensors: List[Tensor], mapped: bool) -> None:
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
        """What the engine reads or writes."""
        mapped = self._host[tensor.name].device
        return int(self._device[tensor.name]) if mapped is None else mapped

    def view(self, tensor: Tensor, batch: int) -> np.ndarray:
        """The host's side of a tensor: [batch, ...]."""
        shape = (batch, *tensor.shape[1:])
        size = int(np.prod(shape)) * int(np.dtype(tensor.dtype).itemsize)
        return self._host[tensor.name].array[:size].view(tensor.dtype).reshape(shape)

    def free(self) -> None:
        """Free everything."""
        while self._device:
            self._cuda.free(self._device.popitem()[1])
        while self._host:
            self._cuda.host_free(self._host.popitem()[1])

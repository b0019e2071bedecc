"""What the TensorRT backend needs of CUDA: memory, streams, events and graphs of the first GPU.

Each binding implements ``Cuda`` in a file of its own; ``cuda.open_cuda`` chooses one. All of them work in the device's
primary context, which torch and ONNX Runtime share, so that no library takes the GPU away from another.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Optional, Tuple

import numpy as np

from edgeau.runtime.errors import BackendError


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


@dataclass
class Stream:
    """A CUDA stream: its ``handle`` as an integer, and the binding's object ``owner`` until it is destroyed."""

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


def version_of(distribution: str) -> str:
    """Version of an installed distribution, for the name of a binding."""
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "of an unknown version"

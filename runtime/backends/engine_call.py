"""One call of an engine, queued on a stream: copies in, the network, copies out."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping

import numpy as np

from edgeau.runtime.errors import BackendError

from .buffers import Buffers
from .cuda_base import Cuda, Stream
from .engine_tensors import EngineTensors


class LoadedEngine:
    """What TensorRT made of a plan.

    Attributes:
        name: of its file, for messages.
        tensors: inputs and outputs.
        complaint: gives TensorRT's last error, or the text that it is called with if there was none.
        context, engine, runtime: TensorRT's objects.
    """

    def __init__(
        self,
        name: str,
        tensors: EngineTensors,
        complaint: Callable[[str], str],
        *,
        context: Any,
        engine: Any,
        runtime: Any,
    ) -> None:
        self.name, self.tensors, self.complaint = name, tensors, complaint
        self.context, self.engine, self.runtime = context, engine, runtime

    def free(self) -> None:
        """Let TensorRT free its objects, in the order that it needs."""
        del self.context
        del self.engine
        del self.runtime


class EngineCall:
    """An engine with the buffers that it reads and writes.

    Attributes:
        buffers: their host side is written before ``submit``, and read once the stream was waited for.
        batch: that the engine is set to; 0 before the first.
    """

    def __init__(self, cuda: Cuda, stream: Stream, engine: LoadedEngine, buffers: Buffers) -> None:
        self._cuda, self._stream, self._engine = cuda, stream, engine
        self.buffers, self.batch = buffers, 0
        for tensor in engine.tensors.all:
            if not engine.context.set_tensor_address(tensor.name, buffers.address(tensor)):
                raise BackendError(f"TensorRT refuses the address of {tensor.name}: {engine.complaint('no reason')}")

    def write(self, inputs: Mapping[str, np.ndarray], batch: int) -> None:
        """Put inputs into the host's buffers; with fewer rows than the batch, the others keep what they hold."""
        for tensor in self._engine.tensors.inputs:
            rows = inputs[tensor.name]
            np.copyto(self.buffers.view(tensor, batch)[: len(rows)], rows)

    def read(self, count: int) -> Dict[str, np.ndarray]:
        """Copies of the first ``count`` images' outputs as float32, by name."""
        outputs = {}
        for tensor in self._engine.tensors.outputs:
            rows = count * tensor.rows_per_image if tensor.rows_per_image else None
            outputs[tensor.name] = self.buffers.view(tensor, self.batch)[:rows].astype(np.float32)
        return outputs

    def set_batch(self, batch: int) -> None:
        """Tell the engine the batch of the next calls."""
        self.batch = 0
        for tensor in self._engine.tensors.inputs:
            if not self._engine.context.set_input_shape(tensor.name, tensor.shape_at(batch)):
                raise BackendError(f"TensorRT refuses batch {batch}: {self._engine.complaint('no reason')}")
        self.batch = batch

    def submit(self) -> None:
        """Queue copies in, the network, copies out."""
        if self.buffers.mapped:
            self.enqueue()
            return
        for tensor in self._engine.tensors.inputs:
            self._cuda.copy_in(self.buffers.address(tensor), self.buffers.view(tensor, self.batch), self._stream)
        self.enqueue()
        for tensor in self._engine.tensors.outputs:
            self._cuda.copy_out(self.buffers.view(tensor, self.batch), self.buffers.address(tensor), self._stream)

    def enqueue(self) -> None:
        """Queue the network alone."""
        if not self._engine.context.execute_async_v3(self._stream.handle):
            reason = self._engine.complaint("it gave no reason")
            raise BackendError(f"TensorRT refused to run {self._engine.name}: {reason}")

"""An engine that is ready to run: a stream, buffers, the engine's context and perhaps a CUDA graph.

A session is opened whole or not at all. All of it happens inside ``cuda.activate()`` and in one thread at a time, which
the backend sees to.
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Mapping, Tuple

import numpy as np

from edgeau.runtime.errors import InputError
from edgeau.runtime.timing import time_calls

from .base import BackendOptions
from .buffers import Buffers
from .cuda_base import Cuda, Stream
from .cuda_graph import CudaGraph
from .engine_call import EngineCall, LoadedEngine
from .engine_tensors import EngineTensors

_TRIAL_CALLS, _TRIAL_WARM_UP = 20, 2


class EngineSession:
    """Runs one engine. Made by ``open_session``.

    Attributes:
        tensors: of the engine.
        memory: ``memory`` (``copied`` or ``mapped``), and where both were measured ``copied_ms`` and ``mapped_ms``.
    """

    def __init__(
        self,
        cuda: Cuda,
        stream: Stream,
        engine: LoadedEngine,
        call: EngineCall,
        graph: CudaGraph,
        memory: Mapping[str, Any],
    ) -> None:
        self._cuda, self._stream, self._engine = cuda, stream, engine
        self._call, self._graph, self.memory = call, graph, memory

    @property
    def tensors(self) -> EngineTensors:
        return self._engine.tensors

    @property
    def cuda_graph(self) -> Any:
        """True once calls are replayed from a graph or may be, else why not."""
        return self._graph.state

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Outputs as float32 by name, of inputs with at most the largest batch; smaller ones run with spare rows."""
        count = len(next(iter(inputs.values())))
        batch = max(count, self.tensors.smallest_batch)
        self._call.write(inputs, batch)
        self._run(batch)
        return self._call.read(count)

    def gpu_ms(self, batch: int, calls: int) -> np.ndarray:
        """Time of the network alone on the GPU, by CUDA events: float64 [calls], milliseconds."""
        self._run(batch)
        samples = []
        for _ in range(calls):
            start = self._cuda.record_event(self._stream)
            self._call.enqueue()
            end = self._cuda.record_event(self._stream)
            samples.append(self._cuda.elapsed_ms(start, end))
            self._cuda.destroy_event(start)
            self._cuda.destroy_event(end)
        return np.asarray(samples, np.float64)

    def close(self) -> None:
        """Free graph, context, engine, memory and stream, in this order. On a lost GPU only what TensorRT holds."""
        try:
            self._cuda.synchronize(self._stream)
            self._graph.drop()
        finally:
            self._engine.free()
        self._call.buffers.free()
        self._cuda.destroy_stream(self._stream)

    def _run(self, batch: int) -> None:
        """Compute the batch that is in the host's buffers, and wait for it."""
        if batch != self._call.batch:
            # A graph replays one shape, and must not meet a context that was changed since.
            self._graph.drop()
            self._call.set_batch(batch)
        else:
            # The batch ran before, so that everything that TensorRT does on a first enqueue is done.
            self._graph.record(self._call.submit)
        if self._graph.recorded:
            self._graph.launch()
        else:
            self._call.submit()
        self._cuda.synchronize(self._stream)


def open_session(cuda: Cuda, load: Callable[[], LoadedEngine], options: BackendOptions) -> EngineSession:
    """Open a session whole, or raise with nothing left allocated.

    Args:
        cuda: active.
        load: deserializes the engine.
        options: memory and graphs.

    Raises:
        InputError: mapped memory was asked for and this GPU can't map.
        BackendError: as ``load`` does, and where TensorRT or CUDA fails.
    """
    with contextlib.ExitStack() as undo:
        stream = cuda.stream()
        undo.callback(cuda.destroy_stream, stream)
        engine = load()
        undo.callback(engine.free)
        call, memory = _choose_memory(cuda, stream, engine, options)
        graph = CudaGraph(cuda, stream, options.cuda_graph)
        undo.pop_all()
    return EngineSession(cuda, stream, engine, call, graph, memory)


def _choose_memory(
    cuda: Cuda, stream: Stream, engine: LoadedEngine, options: BackendOptions
) -> Tuple[EngineCall, Dict[str, Any]]:
    """Buffers that are copied or mapped; where both are possible, what measures faster."""
    can_map, mapped = cuda.integrated(), options.mapped_memory
    if mapped and not can_map:
        raise InputError("mapped_memory", got="a GPU with memory of its own", expected="an integrated GPU")
    facts: Dict[str, Any] = {}
    if can_map and mapped is None:
        copied_ms, mapped_ms = (_trial_ms(cuda, stream, engine, mapped=kind) for kind in (False, True))
        mapped = mapped_ms <= copied_ms
        facts = {"copied_ms": round(copied_ms, 4), "mapped_ms": round(mapped_ms, 4)}
    buffers = Buffers(cuda, engine.tensors.all, mapped=bool(mapped))
    try:
        call = EngineCall(cuda, stream, engine, buffers)
    except BaseException:
        buffers.free()
        raise
    return call, {"memory": "mapped" if mapped else "copied", **facts}


def _trial_ms(cuda: Cuda, stream: Stream, engine: LoadedEngine, *, mapped: bool) -> float:
    """Median wall time of a call at the smallest batch with these buffers, host copies included."""
    batch = engine.tensors.smallest_batch
    arrays = {tensor.name: np.zeros(tensor.shape_at(batch), tensor.dtype) for tensor in engine.tensors.inputs}
    buffers = Buffers(cuda, engine.tensors.all, mapped)
    try:
        call = EngineCall(cuda, stream, engine, buffers)
        call.set_batch(batch)

        def infer_once() -> None:
            call.write(arrays, batch)
            call.submit()
            cuda.synchronize(stream)

        calls_ms = time_calls(infer_once, seconds=0.0, min_samples=_TRIAL_WARM_UP + _TRIAL_CALLS)
    finally:
        buffers.free()
    return float(np.median(calls_ms[_TRIAL_WARM_UP:]))

"""TensorRT: runs an engine that was built for this machine, through the named tensors of TensorRT 8.5 and later.

An engine is checked against its sidecar and this machine before anything of it is loaded. Buffers are allocated once,
for the largest batch of the profile; inputs go through page-locked memory, or on a GPU that shares the CPU's memory
through memory mapped into both, whichever measured faster when the engine was opened. Where a batch size comes twice
in a row, copies and enqueue are captured in a CUDA graph and replayed; where that is refused, they are queued as
before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import tensorrt as trt  # noqa: TID251 - its one file

from edgeau.runtime.engine_file import preflight, rebuild_command
from edgeau.runtime.errors import BackendError, EngineError, InputError
from edgeau.runtime.machine import read_machine

from .base import Backend, BackendOptions
from .buffers import Buffers, Tensor
from .cuda import Cuda, CudaError, Stream, open_cuda

_NUMPY_TYPES = {"FLOAT": np.float32, "HALF": np.float16, "UINT8": np.uint8, "INT32": np.int32, "INT8": np.int8}
_TRIAL_CALLS = 20


class TensorRtBackend(Backend):
    """An engine with its own stream and buffers. ``infer`` may be called from several threads; calls take turns.

    After an error that loses the GPU to this process (an illegal access, say), every further call raises at once and
    says that a new process is needed.
    """

    name = "tensorrt"

    def __init__(self, file: Path, options: BackendOptions) -> None:
        if not hasattr(trt.ICudaEngine, "num_io_tensors"):
            raise EngineError(f"TensorRT {trt.__version__} has no named tensors; edgeau needs TensorRT 8.5 or newer")
        # The library that was imported decides, whatever else is installed.
        sidecar = preflight(file, dataclasses.replace(read_machine(), tensorrt=str(trt.__version__)))
        self._file, self._lock = file, threading.Lock()
        self._lost: Optional[str] = None
        self._graph: Any = None
        self._batch = 0
        self._buffers: Optional[Buffers] = None
        self._stream: Optional[Stream] = None
        self._runtime = self._engine = self._context = None
        self._log = _make_log()
        self._cuda: Optional[Cuda] = open_cuda()
        self._graph_state = _graph_wish(self._cuda, options)
        try:
            with self._cuda.activate():
                self._load(file.read_bytes())
                memory = self._choose_memory(options)
        except BaseException:
            self.close()
            raise
        self.input_shapes = {t.name: _image_shape(t) for t in self._tensors if t.is_input}
        self.output_names = tuple(sorted((t.name for t in self._tensors if not t.is_input), key=lambda n: n != "au"))
        self._facts = {
            "version": trt.__version__,
            "binding": self._cuda.binding,
            "precision": sidecar.precision,
            "max_batch": self._tensors[0].shape[0],
            **memory,
        }

    @property
    def settings(self) -> Mapping[str, Any]:  # type: ignore[override]
        """As in Backend; ``cuda_graph`` is True once one was captured, else why there is none."""
        return {**self._facts, "cuda_graph": True if self._graph is not None else self._graph_state}

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """As in Backend. More faces than the profile's largest batch are run in several goes, fewer than its smallest
        with rows to spare."""
        self.check(inputs)
        count, largest = len(next(iter(inputs.values()))), self._tensors[0].shape[0]
        parts = [
            self._infer_part({name: rows[i : i + largest] for name, rows in inputs.items()})
            for i in range(0, count, largest)
        ]
        return parts[0] if len(parts) == 1 else {n: np.concatenate([p[n] for p in parts]) for n in self.output_names}

    def _infer_part(self, inputs: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        count = len(next(iter(inputs.values())))
        batch = max(count, self._tensors[0].smallest)
        with self._running() as (cuda, buffers):
            for tensor in self._tensors:
                if tensor.is_input:
                    np.copyto(buffers.view(tensor, batch)[:count], inputs[tensor.name])
            self._run(cuda, buffers, batch)
            return {
                tensor.name: buffers.view(tensor, batch)[:count].astype(np.float32)
                for tensor in self._tensors
                if not tensor.is_input
            }

    def gpu_ms(self, batch: int = 1, calls: int = 50) -> np.ndarray:
        """Time of one enqueue on the GPU alone, by CUDA events, without copies: float64 [calls], milliseconds."""
        smallest, largest = self._tensors[0].smallest, self._tensors[0].shape[0]
        if not smallest <= batch <= largest:
            raise InputError(f"batch for {self._file.name}", got=str(batch), expected=f"{smallest} to {largest}",
                             hint=f"build the engine for it: edgeau build PACKAGE --batch 1,1,{batch}")  # fmt: skip
        samples = []
        with self._running() as (cuda, buffers):
            self._run(cuda, buffers, batch)
            for _ in range(calls):
                start = cuda.record_event(self._get_stream())
                self._enqueue()
                end = cuda.record_event(self._get_stream())
                samples.append(cuda.elapsed_ms(start, end))
                cuda.destroy_event(start)
                cuda.destroy_event(end)
        return np.asarray(samples, np.float64)

    def close(self) -> None:
        """Free graph, context, engine, memory and stream, in this order. Calling it twice does nothing."""
        with self._lock:
            cuda, self._cuda = self._cuda, None
            if cuda is None:
                return
            # On a lost GPU every call fails: there is nothing to give back, and the process must end anyway.
            with contextlib.suppress(CudaError), cuda.activate():
                self._free(cuda)
            self._context = self._engine = self._runtime = None
            with contextlib.suppress(CudaError):
                cuda.release()

    def _free(self, cuda: Cuda) -> None:
        stream, self._stream = self._stream, None
        buffers, self._buffers = self._buffers, None
        if stream is not None and self._lost is None:
            cuda.synchronize(stream)
        self._drop_graph(cuda)
        self._context = None
        self._engine = None
        self._runtime = None
        if buffers is not None:
            buffers.free()
        if stream is not None:
            cuda.destroy_stream(stream)

    @contextlib.contextmanager
    def _running(self) -> Any:
        """One thread at a time, in the right context, and with lost GPUs remembered."""
        with self._lock:
            if self._lost is not None:
                raise BackendError(self._lost)
            if self._cuda is None or self._buffers is None:
                raise BackendError(f"{self._file} was closed")
            try:
                with self._cuda.activate():
                    yield self._cuda, self._buffers
            except CudaError as error:
                if error.sticky:
                    self._lost = f"the GPU is lost to this process ({error}); start a new process"
                    raise BackendError(self._lost) from error
                raise

    def _load(self, plan: bytes) -> None:
        try:
            self._runtime = trt.Runtime(self._log)
        except TypeError as error:
            # pybind11 reports TensorRT's null pointer this way where CUDA can't be initialised.
            raise BackendError(f"TensorRT can't start: {self._complaint('no usable CUDA device')}") from error
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(
                f"TensorRT {trt.__version__} refuses {self._file}: {self._complaint('it gave no reason')}; "
                f"build it again here: {rebuild_command(self._file)}"
            )
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError(f"{self._file}: no execution context: {self._complaint('out of GPU memory')}")
        self._tensors = _tensors(self._engine)

    def _complaint(self, otherwise: str) -> str:
        return self._log.errors[-1] if self._log.errors else otherwise

    def _choose_memory(self, options: BackendOptions) -> Dict[str, Any]:
        """Allocate the buffers: copied, mapped, or where both are possible what measures faster."""
        cuda = self._get_cuda()
        self._stream = cuda.stream()
        wish = options.mapped_memory
        can_map = cuda.integrated()
        if wish and not can_map:
            raise InputError("mapped_memory", got="a GPU with memory of its own", expected="an integrated GPU")
        if not can_map or wish is not None:
            self._use(Buffers(cuda, self._tensors, mapped=bool(wish)))
            return {"memory": "mapped" if wish else "copied"}
        copied_ms = self._trial(mapped=False)
        mapped_ms = self._trial(mapped=True)
        if copied_ms < mapped_ms:
            self._replace(mapped=False)
        memory = "copied" if copied_ms < mapped_ms else "mapped"
        return {"memory": memory, "copied_ms": round(copied_ms, 4), "mapped_ms": round(mapped_ms, 4)}

    def _trial(self, mapped: bool) -> float:
        """Median wall time of a call at the smallest batch, host copies included."""
        cuda, buffers = self._get_cuda(), self._replace(mapped)
        batch = self._tensors[0].smallest
        arrays = {t.name: np.zeros((batch, *t.shape[1:]), t.dtype) for t in self._tensors if t.is_input}
        samples = []
        for _ in range(_TRIAL_CALLS + 2):
            start = time.perf_counter()
            for tensor in self._tensors:
                if tensor.is_input:
                    np.copyto(buffers.view(tensor, batch), arrays[tensor.name])
            self._set_batch(cuda, batch)
            self._submit(cuda, buffers, batch)
            cuda.synchronize(self._get_stream())
            samples.append((time.perf_counter() - start) * 1e3)
        return float(np.median(samples[2:]))

    def _replace(self, mapped: bool) -> Buffers:
        cuda = self._get_cuda()
        if self._buffers is not None:
            old, self._buffers = self._buffers, None
            old.free()
        return self._use(Buffers(cuda, self._tensors, mapped))

    def _use(self, buffers: Buffers) -> Buffers:
        self._buffers = buffers
        # What was warmed up for other addresses has to be warmed up again before it is captured.
        self._batch = 0
        for tensor in self._tensors:
            if not self._get_context().set_tensor_address(tensor.name, buffers.address(tensor)):
                raise BackendError(f"TensorRT refuses the address of {tensor.name}: {self._complaint('no reason')}")
        return buffers

    def _run(self, cuda: Cuda, buffers: Buffers, batch: int) -> None:
        """Compute the batch that stands in the host's buffers, and wait for it."""
        repeated = self._set_batch(cuda, batch)
        if repeated and self._graph is None and self._graph_state is True:
            self._capture(cuda, buffers, batch)
        if self._graph is not None:
            cuda.launch(self._graph, self._get_stream())
        else:
            self._submit(cuda, buffers, batch)
        cuda.synchronize(self._get_stream())

    def _set_batch(self, cuda: Cuda, batch: int) -> bool:
        """Tell the context the batch. Returns whether it was the same in the call before, so that everything that
        TensorRT does on a first enqueue is done."""
        if batch == self._batch:
            return True
        # A graph replays one shape and must not meet a context that was changed since.
        self._drop_graph(cuda)
        self._batch = 0
        for tensor in self._tensors:
            if tensor.is_input and not self._get_context().set_input_shape(tensor.name, (batch, *tensor.shape[1:])):
                raise BackendError(f"TensorRT refuses batch {batch}: {self._complaint('no reason')}")
        self._batch = batch
        return False

    def _submit(self, cuda: Cuda, buffers: Buffers, batch: int) -> None:
        """Queue copies in, the network, copies out."""
        stream = self._get_stream()
        if not buffers.mapped:
            for tensor in self._tensors:
                if tensor.is_input:
                    cuda.copy_in(buffers.address(tensor), buffers.view(tensor, batch), stream)
        self._enqueue()
        if not buffers.mapped:
            for tensor in self._tensors:
                if not tensor.is_input:
                    cuda.copy_out(buffers.view(tensor, batch), buffers.address(tensor), stream)

    def _enqueue(self) -> None:
        if not self._get_context().execute_async_v3(self._get_stream().handle):
            raise BackendError(f"TensorRT refused to run {self._file.name}: {self._complaint('it gave no reason')}")

    def _capture(self, cuda: Cuda, buffers: Buffers, batch: int) -> None:
        """Record a call as a graph. A refusal leaves no graph, and plain calls from then on."""
        stream = self._get_stream()
        refused: Optional[BackendError] = None
        try:
            cuda.begin_capture(stream)
            try:
                self._submit(cuda, buffers, batch)
            except BackendError as error:
                refused = error
            finally:
                # The stream leaves its recording mode in any case; what a refused call recorded is thrown away.
                graph = cuda.end_capture(stream)
            if refused is None:
                self._graph = graph
            else:
                cuda.destroy_graph(graph)
        except CudaError as error:
            if error.sticky:
                raise
            refused = refused or error
        if refused is not None:
            self._graph_state = f"refused: {refused}"

    def _drop_graph(self, cuda: Cuda) -> None:
        graph, self._graph = self._graph, None
        if graph is not None:
            cuda.destroy_graph(graph)

    def _get_cuda(self) -> Cuda:
        assert self._cuda is not None
        return self._cuda

    def _get_context(self) -> Any:
        return self._context

    def _get_stream(self) -> Stream:
        assert self._stream is not None
        return self._stream


def open(file: Path, options: BackendOptions) -> TensorRtBackend:
    """Load an engine. Raises EngineError where it doesn't fit this machine, BackendError where the GPU fails."""
    return TensorRtBackend(file, options)


def _graph_wish(cuda: Cuda, options: BackendOptions) -> Any:
    """True where graphs are wanted and possible, else why not."""
    if not options.cuda_graph:
        return "not asked for"
    return True if cuda.has_graphs else f"{cuda.binding} has none; install cuda-python"


def _tensors(engine: Any) -> List[Tensor]:
    """Inputs and outputs, with the batch of profile 0's upper end. The inputs come first."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    shapes = {name: tuple(engine.get_tensor_shape(name)) for name in names}
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    smallest = largest = shapes[inputs[0]][0]
    if largest == -1:
        low, _, high = engine.get_tensor_profile_shape(inputs[0], 0)
        smallest, largest = low[0], high[0]
    found = []
    for name in sorted(names, key=lambda name: name not in inputs):
        if -1 in shapes[name][1:]:
            raise EngineError(f"the engine's tensor {name} is {list(shapes[name])}: only the batch may vary")
        shape = (largest, *shapes[name][1:])
        found.append(Tensor(name, name in inputs, _dtype(engine, name), shape, smallest))
    return found


def _dtype(engine: Any, name: str) -> Any:
    kind = engine.get_tensor_dtype(name).name
    if kind not in _NUMPY_TYPES:
        raise EngineError(f"the engine's tensor {name} is {kind}, which edgeau doesn't read")
    return _NUMPY_TYPES[kind]


def _image_shape(tensor: Tensor) -> Tuple[int, int, int]:
    if len(tensor.shape) != 4:
        raise EngineError(f"the engine's input {tensor.name} is {list(tensor.shape)}, not [N, H, W, 3]")
    return tensor.shape[1], tensor.shape[2], tensor.shape[3]


def _make_log() -> Any:
    """A logger that keeps TensorRT's errors and prints nothing."""

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: List[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.errors.append(" ".join(str(message).split()))

    return Log()

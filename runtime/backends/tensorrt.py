"""TensorRT: runs an engine that was built for this machine, through the named tensors of TensorRT 8.5 and later.

An engine is checked against its sidecar and this machine before anything of it is loaded, and exactly the bytes that
were checked are deserialized. Buffers are allocated once, for the largest batch of the profile; inputs go through
page-locked memory, or on a GPU that shares the CPU's memory through memory mapped into both, whichever measured faster
when the engine was opened. Where a batch size comes twice in a row, copies and enqueue are recorded in a CUDA graph and
replayed; if that is refused, they are queued as before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from typing import Any, Callable, Dict, Iterator, Mapping, Optional

import numpy as np
import tensorrt as trt  # noqa: TID251 - its one file

from edgeau.runtime.engine_check import VerifiedEngine, preflight
from edgeau.runtime.engine_file import rebuild_command
from edgeau.runtime.errors import BackendError, EngineError, InputError
from edgeau.runtime.machine import read_machine
from edgeau.runtime.model_file import ModelFile

from .base import Backend, BackendOptions
from .cuda import open_cuda
from .cuda_base import CudaError
from .engine_call import LoadedEngine
from .engine_session import EngineSession, open_session
from .engine_tensors import read_tensors
from .tensorrt_log import listen


class TensorRtBackend(Backend):
    """An engine with its own stream and buffers. ``infer`` may be called from several threads; calls take turns.

    After an error that loses the GPU to this process (an illegal access, say), every further call raises at once and
    says that a new process is needed.
    """

    name = "tensorrt"

    def __init__(self, file: ModelFile, options: BackendOptions) -> None:
        if not hasattr(trt.ICudaEngine, "num_io_tensors"):
            raise EngineError(f"TensorRT {trt.__version__} has no named tensors; edgeau needs TensorRT 8.5 or newer")
        # The library that was imported decides, whatever else is installed.
        verified = preflight(file, dataclasses.replace(read_machine(), tensorrt=str(trt.__version__)))
        self._path, self._lock = file.path, threading.Lock()
        self._unusable: Optional[str] = None
        self._cuda = open_cuda()
        try:
            with self._cuda.activate():
                self._session = open_session(self._cuda, lambda: _load(verified), options)
        except BaseException:
            with contextlib.suppress(CudaError):
                self._cuda.release()
            raise
        self._tensors = self._session.tensors
        self.input_shapes = {t.name: (t.shape[1], t.shape[2], t.shape[3]) for t in self._tensors.inputs}
        self.output_names = tuple(t.name for t in self._tensors.outputs)
        self._closed = False
        self._facts = {
            "version": trt.__version__,
            "binding": self._cuda.binding,
            "precision": verified.sidecar.precision,
            "max_batch": self._tensors.largest_batch,
            **self._session.memory,
        }

    @property
    def settings(self) -> Mapping[str, Any]:  # type: ignore[override]
        """As in Backend; ``cuda_graph`` is True where calls are replayed from a graph, else why there is none."""
        return {**self._facts, "cuda_graph": self._session.cuda_graph}

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """As in Backend. More faces than the profile's largest batch run in several calls, fewer than its smallest
        with spare rows."""
        self.check(inputs)
        count, largest = len(next(iter(inputs.values()))), self._tensors.largest_batch
        parts = []
        for start in range(0, count, largest):
            with self._running() as session:
                parts.append(session.infer({name: inputs[name][start : start + largest] for name in self.input_shapes}))
        return parts[0] if len(parts) == 1 else {n: np.concatenate([p[n] for p in parts]) for n in self.output_names}

    def gpu_ms(self, batch: int = 1, calls: int = 50) -> np.ndarray:
        """Time of one enqueue on the GPU alone, by CUDA events, without copies: float64 [calls], milliseconds."""
        smallest, largest = self._tensors.smallest_batch, self._tensors.largest_batch
        if not smallest <= batch <= largest:
            hint = f"build the engine for it: edgeau build PACKAGE --batch 1,1,{batch}"
            raise InputError(
                f"batch for {self._path.name}", got=str(batch), expected=f"{smallest} to {largest}", hint=hint
            )
        with self._running() as session:
            return session.gpu_ms(batch, calls)

    def close(self) -> None:
        """Free the session and the context. Calling it twice does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._unusable = self._unusable or f"{self._path} was closed"
            # On a lost GPU every call fails: there is nothing to give back, and the process must end anyway.
            with contextlib.suppress(CudaError), self._cuda.activate():
                self._session.close()
            with contextlib.suppress(CudaError):
                self._cuda.release()

    @contextlib.contextmanager
    def _running(self) -> Iterator[EngineSession]:
        """The session, for one thread at a time, in the right context; a lost GPU is remembered."""
        with self._lock:
            if self._unusable is not None:
                raise BackendError(self._unusable)
            try:
                with self._cuda.activate():
                    yield self._session
            except CudaError as error:
                if not error.sticky:
                    raise
                self._unusable = f"the GPU is lost to this process ({error}); start a new process"
                raise BackendError(self._unusable) from error


def open(file: ModelFile, options: BackendOptions) -> TensorRtBackend:
    """Load an engine. Raises EngineError where it doesn't fit this machine, BackendError where the GPU fails."""
    return TensorRtBackend(file, options)


def _load(verified: VerifiedEngine) -> LoadedEngine:
    """Deserialize a verified plan. Raises EngineError or BackendError with TensorRT's reason."""
    log = listen(trt)
    path = verified.file.path

    def complaint(otherwise: str) -> str:
        return str(log.errors[-1]) if log.errors else otherwise

    runtime = _make_runtime(log.logger, complaint)
    core = verified.sidecar.settings.get("dla_core")
    if core is not None:
        if type(core) is not int or core < 0:
            raise EngineError(f"{path}: its sidecar's dla_core is {core!r}, not the number of a DLA core")
        # As trtexec does for --useDLACore: a plan is deserialized for the core that its runtime is set to.
        runtime.DLA_core = core
    engine = runtime.deserialize_cuda_engine(verified.file.data)
    if engine is None:
        raise EngineError(
            f"TensorRT {trt.__version__} refuses {path}: {complaint('it gave no reason')}; "
            f"build it again here: {rebuild_command(path)}"
        )
    context = engine.create_execution_context()
    if context is None:
        raise EngineError(f"{path}: no execution context: {complaint('out of GPU memory')}")
    tensors = read_tensors(engine, context)
    return LoadedEngine(path.name, tensors, complaint, context=context, engine=engine, runtime=runtime)


def _make_runtime(logger: Any, complaint: Callable[[str], str]) -> Any:
    try:
        return trt.Runtime(logger)
    except TypeError as error:
        # pybind11 reports TensorRT's null pointer this way where CUDA can't be initialised.
        raise BackendError(f"TensorRT can't start: {complaint('no usable CUDA device')}") from error

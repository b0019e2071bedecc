"""A call recorded as a CUDA graph, which is quicker to launch than its parts."""

from __future__ import annotations

from typing import Any, Callable, Union

from edgeau.runtime.errors import BackendError

from .cuda_base import Cuda, CudaError, Stream


class CudaGraph:
    """Records what a function queues, and launches it again.

    Args:
        cuda: active during every call.
        stream: that the function queues on.
        asked_for: whether graphs are wanted at all.
    """

    def __init__(self, cuda: Cuda, stream: Stream, asked_for: bool) -> None:
        self._cuda, self._stream = cuda, stream
        self._graph: Any = None
        self._why_not = "" if asked_for else "not asked for"
        if asked_for and not cuda.has_graphs:
            self._why_not = f"{cuda.binding} has none; install cuda-python"

    @property
    def state(self) -> Union[bool, str]:
        """True while a graph is recorded or may be, else why there is none."""
        return self._why_not if self._why_not and not self.recorded else True

    @property
    def recorded(self) -> bool:
        """Whether there is a graph to launch."""
        return self._graph is not None

    def record(self, submit: Callable[[], None]) -> None:
        """Record what ``submit`` queues, unless a graph is there or graphs are refused. A refusal is final."""
        if self.recorded or self._why_not:
            return
        try:
            self._graph = self._record(submit)
        except BackendError as error:
            if isinstance(error, CudaError) and error.sticky:
                raise
            self._why_not = f"refused: {error}"

    def launch(self) -> None:
        """Queue the recorded graph."""
        self._cuda.launch(self._graph, self._stream)

    def drop(self) -> None:
        """Free the graph, if there is one."""
        graph, self._graph = self._graph, None
        if graph is not None:
            self._cuda.destroy_graph(graph)

    def _record(self, submit: Callable[[], None]) -> Any:
        self._cuda.begin_capture(self._stream)
        try:
            submit()
        except BaseException:
            # The stream must leave its recording mode; what a refused call recorded is thrown away.
            self._cuda.destroy_graph(self._cuda.end_capture(self._stream))
            raise
        return self._cuda.end_capture(self._stream)

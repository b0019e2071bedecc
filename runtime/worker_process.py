"""Processes that do part of a command's work: each on one thread, and stopped by their parent alone."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from typing import Any, Callable, Iterable, Iterator, List, Sequence, Tuple, TypeVar

from .errors import EdgeauError

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    begin: Callable[..., None],
    arguments: Tuple[Any, ...] = (),
) -> Iterator[Result]:
    """Results in the order of the items, as soon as they are there.

    Args:
        work: a function of a module; what it raises is raised here.
        items: what it is called with.
        workers: how many processes.
        begin: what each process calls first, with the arguments; it calls `begin_worker`.
        arguments: of ``begin``.

    Raises:
        EdgeauError: a process was killed.
    """
    # Libraries with threads of their own, and graphics contexts, do not survive a fork.
    context = multiprocessing.get_context("spawn")
    from concurrent.futures import ProcessPoolExecutor

    futures: List[Any] = []
    with ProcessPoolExecutor(workers, context, begin, arguments) as pool, _killed_workers():
        try:
            with one_thread_each():  # the pool starts its processes when it gets work
                for item in items:
                    futures.append(pool.submit(work, item))
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def results_of(futures: Iterable[Any]) -> Iterator[Any]:
    """Results of a process pool's futures, in their order. Raises EdgeauError where a process was killed."""
    with _killed_workers():
        for future in futures:
            yield future.result()


@contextlib.contextmanager
def _killed_workers() -> Iterator[None]:
    from concurrent.futures.process import BrokenProcessPool

    try:
        yield
    except BrokenProcessPool as error:
        why = "could not start or was killed, perhaps because memory ran out"
        raise EdgeauError(f"a process that shares the work {why}") from error


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Limit processes started in this context to one thread each, since there may be one per core."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def begin_worker() -> None:
    """What a worker process does first: leave Ctrl-C to its parent, and give OpenCV one thread."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)

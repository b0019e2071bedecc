"""Run a stage of a pipeline in a thread, ahead of the stage that consumes it."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Generator, Iterable, Optional, Tuple, TypeVar

T = TypeVar("T")

# A stage that hangs when the pipeline is closed is abandoned after this.
_JOIN_S = 2.0


def ahead(items: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """Yield items in order, while a thread prepares at most ``depth`` further ones. With 0 there is no thread.

    An exception of the iterable is raised after the items before it. When the generator is closed, the thread ends with
    the item in hand, and a generator that it iterates over is closed there.
    """
    if depth == 0:
        yield from items
        return
    prepared: queue.Queue[Tuple[Optional[Tuple[T]], Optional[BaseException]]] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def prepare() -> None:
        iterator = iter(items)
        failure: Optional[BaseException] = None
        try:
            for item in iterator:
                prepared.put(((item,), None))
                if stop.is_set():
                    break
        except BaseException as error:  # noqa: BLE001 - raised again where the items are consumed
            failure = error
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        if not stop.is_set():
            prepared.put((None, failure))

    thread = threading.Thread(target=prepare, name="edgeau stage", daemon=True)
    thread.start()
    try:
        while True:
            entry, error = prepared.get()
            if error is not None:
                raise error
            if entry is None:
                return
            yield entry[0]
    finally:
        stop.set()
        with contextlib.suppress(queue.Empty):  # room for an item that the thread waits to hand over
            while True:
                prepared.get_nowait()
        thread.join(_JOIN_S)

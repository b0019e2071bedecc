"""Throughput when several callers share one loaded variant, as a server's threads do."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np

from edgeau.runtime.backends import Backend


def faces_per_s(backend: Backend, inputs: Mapping[str, np.ndarray], callers: int, seconds: float) -> float:
    """Faces per second that ``callers`` threads get together, each calling again as soon as it has its answer.

    Args:
        backend: may be called from several threads.
        inputs: of each call.
        callers: number of threads.
        seconds: calls start for so long; those under way at the end count with the time until the last is done.
    """
    calls = [0] * callers
    start_together = threading.Barrier(callers + 1)
    stop = threading.Event()
    errors: list[Exception] = []

    def work(number: int) -> None:
        start_together.wait()
        try:
            while not stop.is_set():
                backend.infer(inputs)
                calls[number] += 1
        except Exception as error:  # noqa: BLE001 - raised again in the thread that measures
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,), name="edgeau caller") for number in range(callers)]
    for thread in threads:
        thread.start()
    start_together.wait()
    start = time.perf_counter()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(calls) * len(next(iter(inputs.values()))) / (time.perf_counter() - start)


def by_callers(
    backend: Backend, inputs: Mapping[str, np.ndarray], callers: Sequence[int], seconds: float
) -> dict[str, float]:
    """`faces_per_s` for each number of callers, by that number as text, as JSON has it."""
    return {str(count): faces_per_s(backend, inputs, count, seconds) for count in callers}

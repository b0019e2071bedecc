"""How fast a fresh engine is on its device: wall time of whole calls, warmed up."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List

import numpy as np

from edgeau.runtime.backends import Backend

WARM_UP_S, MEASURE_S, LEAST, MOST = 2.0, 5.0, 50, 20000
Clock = Callable[[], float]


def measure_latency(backend: Backend, batch: int, clock: Clock = time.perf_counter) -> Dict[str, Any]:
    """Time ``infer`` on one batch of random crops, transfers and checks included.

    Returns:
        ``batch``, ``runs``, and ``p50_ms``, ``p90_ms``, ``p99_ms`` and ``mean_ms`` of the wall time of a call.
    """
    draw = np.random.default_rng(0)
    inputs = {
        name: draw.integers(0, 256, (batch, *shape), np.uint8, endpoint=False)
        for name, shape in backend.input_shapes.items()
    }
    until = clock() + WARM_UP_S
    while clock() < until:
        backend.infer(inputs)
    times_ms: List[float] = []
    until = clock() + MEASURE_S
    while len(times_ms) < LEAST or (clock() < until and len(times_ms) < MOST):
        started = clock()
        backend.infer(inputs)
        times_ms.append(1e3 * (clock() - started))
    found: Dict[str, Any] = {"batch": batch, "runs": len(times_ms)}
    found.update({f"p{q}_ms": round(float(np.percentile(times_ms, q)), 4) for q in (50, 90, 99)})
    return {**found, "mean_ms": round(float(np.mean(times_ms)), 4)}

"""How fast a new engine is on its device: wall time of whole calls, after warm-up."""

from __future__ import annotations

import time

import numpy as np

from edgeau.runtime.backends import Backend
from edgeau.runtime.timing import Clock, latency, time_calls, warm_up

from .device_report import MeasuredLatency

WARM_UP_S, MEASURE_S, MIN_SAMPLES, MAX_SAMPLES = 2.0, 5.0, 50, 20000


def measure_latency(backend: Backend, batch: int, clock: Clock = time.perf_counter) -> MeasuredLatency:
    """Time ``infer`` on one batch of random crops, transfers and checks included.

    Args:
        backend: with the engine.
        batch: faces per call.
        clock: current time in seconds.
    """
    draw = np.random.default_rng(0)
    inputs = {
        name: draw.integers(0, 256, (batch, *shape), np.uint8, endpoint=False)
        for name, shape in backend.input_shapes.items()
    }
    warm_up(lambda: backend.infer(inputs), WARM_UP_S, clock)
    calls_ms = time_calls(lambda: backend.infer(inputs), MEASURE_S, MIN_SAMPLES, MAX_SAMPLES, clock)
    summary = latency([calls_ms])
    times = {name: round(getattr(summary, name), 4) for name in ("p50_ms", "p90_ms", "p99_ms", "mean_ms")}
    return MeasuredLatency(batch=batch, runs=summary.samples, **times)

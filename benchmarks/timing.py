"""Wall times of one call: warm-up by time, raw samples kept, percentiles of all of them.

No sample is dropped: a slow call is what the user of the device will see as well. A coefficient of variation above
UNSTABLE_CV says that the machine was busy or its clock moved, and that the figures should be taken again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

UNSTABLE_CV = 0.15


@dataclass(frozen=True)
class Latency:
    """Wall time of one call, in milliseconds.

    Attributes:
        p50_ms, p90_ms, p99_ms: percentiles, interpolated linearly between samples.
        mean_ms, min_ms, max_ms: over all samples.
        cv: coefficient of variation, standard deviation over mean.
        samples: how many calls were timed; p99 means little below 100 of them.
    """

    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float
    max_ms: float
    cv: float
    samples: int

    @property
    def unstable(self) -> bool:
        """Whether the samples scatter too much to be compared with another measurement."""
        return self.cv > UNSTABLE_CV


def latency(samples_ms: Sequence[float] | np.ndarray) -> Latency:
    """Summarise raw samples. Raises ValueError where there are none."""
    values = np.asarray(samples_ms, np.float64)
    if values.size == 0:
        raise ValueError("no samples: at least one call must be timed")
    p50, p90, p99 = np.percentile(values, (50, 90, 99))
    mean = float(values.mean())
    return Latency(
        p50_ms=float(p50),
        p90_ms=float(p90),
        p99_ms=float(p99),
        mean_ms=mean,
        min_ms=float(values.min()),
        max_ms=float(values.max()),
        cv=float(values.std() / mean) if mean > 0 else 0.0,
        samples=int(values.size),
    )


def warm_up(call: Callable[[], object], seconds: float) -> float:
    """Call until ``seconds`` have passed, at least once. Returns the first call's time in milliseconds."""
    start = time.perf_counter()
    call()
    first_ms = (time.perf_counter() - start) * 1e3
    while time.perf_counter() - start < seconds:
        call()
    return first_ms


def time_calls(call: Callable[[], object], seconds: float, min_samples: int = 1) -> np.ndarray:
    """Call for ``seconds``, and until there are ``min_samples``.

    Returns:
        float64 [samples], milliseconds of each call, in order.
    """
    samples: list[int] = []
    clock = time.perf_counter_ns
    end = clock() + int(seconds * 1e9)
    now = clock()
    while now < end or len(samples) < min_samples:
        call()
        after = clock()
        samples.append(after - now)
        now = after
    return np.asarray(samples, np.float64) / 1e6

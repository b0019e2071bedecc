"""Wall time per call: warm-up by time, every sample kept, percentiles over all of them.

No sample is dropped: users of the device will see the slow calls too. A coefficient of variation above UNSTABLE_CV
means that the machine was busy or its clock frequency changed, and that the measurement should be repeated.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence, Union

import numpy as np

UNSTABLE_CV = 0.15

Clock = Callable[[], float]


@dataclass(frozen=True)
class Latency:
    """Wall time per call, in milliseconds.

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
        """Whether the samples scatter too much for a comparison with another measurement."""
        return self.cv > UNSTABLE_CV


def latency(samples_ms: Union[Sequence[float], np.ndarray]) -> Latency:
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


def warm_up(call: Callable[[], object], seconds: float, clock: Clock = time.perf_counter) -> float:
    """Call until ``seconds`` have passed, at least once. Returns the duration of the first call in milliseconds."""
    start = clock()
    call()
    first_ms = (clock() - start) * 1e3
    while clock() - start < seconds:
        call()
    return first_ms


def time_calls(
    call: Callable[[], object],
    seconds: float,
    min_samples: int = 1,
    max_samples: Optional[int] = None,
    clock: Clock = time.perf_counter,
) -> np.ndarray:
    """Time calls for ``seconds``, but at least ``min_samples`` and at most ``max_samples`` of them.

    Args:
        call: what to time; its return value is dropped.
        seconds: no call starts later than this after the first, once there are ``min_samples``.
        min_samples: lower limit, which takes precedence over ``max_samples``.
        max_samples: upper limit; None for no limit.
        clock: current time in seconds.

    Returns:
        float64 [samples], duration of each call in milliseconds, in order.
    """
    samples: List[float] = []
    now = clock()
    end = now + seconds
    while len(samples) < min_samples or (now < end and (max_samples is None or len(samples) < max_samples)):
        call()
        after = clock()
        samples.append(after - now)
        now = after
    return np.asarray(samples, np.float64) * 1e3

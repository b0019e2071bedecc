"""Wall time per call: warm-up until steady, every sample kept, percentiles with distribution-free intervals.

No sample is dropped: users of the device will see the slow calls too. Calls are timed in rounds, which makes statistics
robust on a shared machine: a disturbance affects some rounds, and medians over rounds ignore it.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np

from .statistics import median_interval, quantile_interval

# Warm-up ends when the last two slices were not faster than the best one before by more than this.
STEADY_WITHIN = 0.02
_STEADY_SLICES = 2

Clock = Callable[[], float]
IntervalMs = Tuple[float, Optional[float]]


@dataclass(frozen=True)
class Latency:
    """Wall time per call, in milliseconds. Intervals hold the true value with a probability of 95%.

    Attributes:
        p50_ms: median of the medians by round. Among all calls a slow round would count less, since it has fewer.
        p50_interval_ms: over rounds; the upper end is None if there are fewer than 6 rounds.
        p90_ms, p99_ms, p999_ms: percentiles of all calls, interpolated linearly.
        p90_interval_ms, p99_interval_ms, p999_interval_ms: over calls, as if they were independent; slow calls come in
            bursts, so the truth is less certain. The upper end is None if there are too few calls to know it.
        mean_ms, max_ms: over all calls.
        min_ms: the fastest call: what the device can do when nothing disturbs it.
        samples, rounds: number of each.
    """

    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    p50_interval_ms: IntervalMs
    p90_interval_ms: IntervalMs
    p99_interval_ms: IntervalMs
    p999_interval_ms: IntervalMs
    mean_ms: float
    min_ms: float
    max_ms: float
    samples: int
    rounds: int

    @property
    def p50_uncertainty(self) -> float:
        """Half the width of p50's interval as a share of p50; infinity if there are too few rounds."""
        low, high = self.p50_interval_ms
        return math.inf if high is None else (high - low) / 2 / self.p50_ms


def latency(rounds_ms: Sequence[np.ndarray]) -> Latency:
    """Summarise the calls of each round. Raises ValueError if there are none."""
    values = np.concatenate([np.asarray(each, np.float64) for each in rounds_ms]) if len(rounds_ms) else np.zeros(0)
    if values.size == 0:
        raise ValueError("no samples: at least one call must be timed")
    medians = [float(np.median(each)) for each in rounds_ms if len(each)]
    p90, p99, p999 = np.percentile(values, (90, 99, 99.9))
    return Latency(
        p50_ms=float(np.median(medians)),
        p90_ms=float(p90),
        p99_ms=float(p99),
        p999_ms=float(p999),
        p50_interval_ms=_finite(median_interval(medians)),
        p90_interval_ms=_finite(quantile_interval(values, 0.9)),
        p99_interval_ms=_finite(quantile_interval(values, 0.99)),
        p999_interval_ms=_finite(quantile_interval(values, 0.999)),
        mean_ms=float(values.mean()),
        min_ms=float(values.min()),
        max_ms=float(values.max()),
        samples=int(values.size),
        rounds=len(medians),
    )


def warm_up(call: Callable[[], object], seconds: float, clock: Clock = time.perf_counter) -> float:
    """Call until ``seconds`` have passed, at least once. Returns the duration of the first call in milliseconds."""
    start = clock()
    call()
    first_ms = (clock() - start) * 1e3
    while clock() - start < seconds:
        call()
    return first_ms


def warm_up_until_steady(
    call: Callable[[], object], limit_s: float, slice_s: float = 0.05, clock: Clock = time.perf_counter
) -> float:
    """Call until further calls are no faster, or ``limit_s`` have passed; at least once.

    Slices of ``slice_s`` are compared by their fastest call, which a disturbance elsewhere on the machine does not
    change.

    Returns:
        Elapsed seconds.
    """
    start = clock()
    best, steady = math.inf, 0
    while (steady < _STEADY_SLICES and clock() - start < limit_s) or best == math.inf:
        fastest = float(time_calls(call, slice_s, clock=clock, min_samples=1).min())
        steady = 0 if fastest < best * (1 - STEADY_WITHIN) else steady + 1
        best = min(best, fastest)
    return clock() - start


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


def _finite(interval: Tuple[float, float]) -> IntervalMs:
    """JSON has no infinity."""
    low, high = interval
    return low, None if math.isinf(high) else high

"""Distribution-free statistics of measured times: intervals of quantiles and of ratios.

The interval of a quantile lies between two order statistics. Whatever the distribution, the number of samples below
the true quantile is binomial, so the coverage of the interval is a sum of binomial probabilities (Thompson, "On
confidence ranges for the median and other expectation distributions", 1936). The samples must be independent: on a
shared machine, medians of rounds nearly are, and single calls within a round are not.
"""

from __future__ import annotations

import math
from typing import Sequence, Tuple, Union

import numpy as np

Values = Union[Sequence[float], np.ndarray]
Interval = Tuple[float, float]

COVERAGE = 0.95


def quantile_interval(values: Values, quantile: float, coverage: float = COVERAGE) -> Interval:
    """Interval that holds the true quantile of positive values with at least this probability.

    Args:
        values: independent samples, above 0.
        quantile: above 0 and below 1; 0.5 is the median.
        coverage: probability, below 1.

    Returns:
        Lower and upper end; 0 and infinity where there are too few samples for an end.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    below = _binomial_cdf(len(ordered), quantile)
    tail = (1 - coverage) / 2
    # The r-th smallest is above the quantile with probability below[r - 1], and below it with 1 - below[r - 1].
    low = int(np.searchsorted(below, tail, side="right"))
    high = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    return (
        float(ordered[low - 1]) if low else 0.0,
        float(ordered[high - 1]) if high <= len(ordered) else math.inf,
    )


def median_interval(values: Values, coverage: float = COVERAGE) -> Interval:
    """`quantile_interval` of the median."""
    return quantile_interval(values, 0.5, coverage)


def ratio(cost: Values, other: Values) -> float:
    """Median over rounds of one cost divided by another's in the same round."""
    return float(np.median(_paired(cost, other)))


def ratio_interval(cost: Values, other: Values, coverage: float = COVERAGE) -> Interval:
    """Interval that holds the true `ratio` with at least this probability, (0, infinity) if rounds are too few."""
    return median_interval(_paired(cost, other), coverage)


def unpaired_ratio(cost: Values, other: Values) -> float:
    """Median of one cost divided by the median of another that was measured at another time."""
    return float(np.median(cost) / np.median(other))


def unpaired_ratio_interval(cost: Values, other: Values, coverage: float = COVERAGE) -> Interval:
    """Interval that holds the true `unpaired_ratio` with at least this probability.

    The ends of the two medians' intervals are divided; each interval has the square root of the coverage.
    """
    each = math.sqrt(coverage)
    (low, high), (other_low, other_high) = median_interval(cost, each), median_interval(other, each)
    return low / other_high, high / other_low if other_low else math.inf


def _paired(cost: Values, other: Values) -> np.ndarray:
    common = min(len(cost), len(other))
    return np.divide(cost[:common], other[:common])


def _binomial_cdf(trials: int, probability: float) -> np.ndarray:
    """float64 [trials]: probability of at most 0, 1, ... trials - 1 successes."""
    if trials == 0:
        return np.zeros(0)
    successes = np.arange(trials - 1)
    steps = np.log((trials - successes) / (successes + 1)) + math.log(probability / (1 - probability))
    log_pmf = trials * math.log1p(-probability) + np.concatenate([[0.0], np.cumsum(steps)])
    return np.minimum(np.cumsum(np.exp(log_pmf)), 1.0)

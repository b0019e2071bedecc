"""Intervals of quantiles and ratios, checked against scipy's binomial distribution and by their actual coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeau.runtime.statistics import (
    median_interval,
    quantile_interval,
    ratio,
    ratio_interval,
    unpaired_ratio,
    unpaired_ratio_interval,
)

scipy_stats = pytest.importorskip("scipy.stats")


@given(st.integers(1, 300), st.sampled_from([0.5, 0.9, 0.99, 0.999]), st.sampled_from([0.9, 0.95, 0.9995]))
def test_quantile_interval_agrees_with_scipys_binomial(count, quantile, coverage):
    values = np.arange(1.0, count + 1)
    low, high = quantile_interval(values[::-1], quantile, coverage)
    tail, binomial = (1 - coverage) / 2, scipy_stats.binom(count, quantile)
    # The true quantile is below the r-th smallest sample if at most r - 1 samples are below the quantile.
    lows = [r for r in range(1, count + 1) if binomial.cdf(r - 1) <= tail]
    highs = [r for r in range(1, count + 1) if binomial.sf(r - 1) <= tail]
    assert low == (max(lows) if lows else 0)
    assert high == (min(highs) if highs else math.inf)


def test_median_interval_of_ten_samples():
    # The 2nd and 9th of 10 enclose it with probability 1 - 2 (1 + 10) / 2^10 = 97.9%, the 3rd and 8th with 89.1%.
    assert median_interval(range(1, 11), 0.95) == (2, 9)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_too_few_samples_have_no_interval(count):
    assert median_interval(np.ones(count), 0.95) == (0, math.inf)


def test_the_upper_end_of_a_rare_quantile_needs_many_samples():
    assert quantile_interval(np.ones(1000), 0.999)[1] == math.inf
    assert quantile_interval(np.ones(5000), 0.999)[1] == 1


def test_median_intervals_of_skewed_samples_have_the_stated_coverage():
    random = np.random.default_rng(0)
    held = [
        low <= math.log(2) <= high for low, high in (median_interval(random.exponential(size=30)) for _ in range(2000))
    ]
    assert 0.94 <= np.mean(held) <= 0.99  # at least 0.95; a margin of two standard errors


def test_a_paired_ratio_is_not_affected_by_disturbances_of_both():
    load = np.array([1.0, 3.0, 1.5, 9.0, 1.0, 2.0, 1.0, 4.0])
    assert ratio(2.2 * load, 2.0 * load) == pytest.approx(1.1)
    assert ratio_interval(2.2 * load, 2.0 * load) == pytest.approx((1.1, 1.1))


def test_a_paired_ratio_uses_the_rounds_that_both_have():
    assert ratio([2.0, 4.0, 8.0, 1.0], [1.0, 2.0, 4.0]) == 2.0


@pytest.mark.parametrize(("rounds", "coverage"), [(8, 0.9), (12, 0.9995), (25, 0.99)])
def test_ratio_intervals_have_the_stated_coverage(rounds, coverage):
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        low, high = ratio_interval(np.exp(random.normal(0, 0.1, rounds)), np.ones(rounds), coverage)
        hits += low <= 1 <= high
    assert hits / 400 >= coverage - 0.02


def test_too_few_rounds_give_an_unbounded_interval():
    assert ratio_interval([2.0, 2.0], [1.0, 1.0], 0.9995) == (0.0, math.inf)


def test_unpaired_ratio_of_two_known_distributions():
    random = np.random.default_rng(1)
    old, new = random.normal(1.0, 0.01, 40), random.normal(1.2, 0.01, 50)
    low, high = unpaired_ratio_interval(new, old)
    assert unpaired_ratio(new, old) == pytest.approx(1.2, abs=0.01)
    assert low < 1.2 < high
    assert high - low < 0.03
    assert unpaired_ratio_interval(new[:3], old) == (0, math.inf)

"""Verdicts within one run, against FP32, and between an old and a new one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeau.benchmarks.comparison import Ratio, compare, paired, unpaired, with_fp32_ratios

ROUNDS = 20


def record(variant: str, p50_ms: Any, min_ms: Any = None, yardstick_ms: Any = (), **changes: Any) -> dict[str, Any]:
    times = [float(each) for each in np.broadcast_to(p50_ms, ROUNDS)]
    floor = [float(each) for each in np.broadcast_to(times if min_ms is None else min_ms, ROUNDS)]
    return {
        "package": "tiny", "variant": variant, "backend": "onnxruntime", "threads": 1, "batch": 1, "warnings": [],
        "latency": {"p50_ms": float(np.median(times))},
        "rounds": {"p50_ms": times, "min_ms": floor, "yardstick_ms": list(yardstick_ms)}, **changes,
    }  # fmt: skip


def verdict(old: dict[str, Any], new: dict[str, Any], share: float = 0.03, *, same_run: bool = False) -> str:
    (difference,) = compare({"a": old}, {"a": new}, share, same_run=same_run)
    return difference.verdict


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.01, 1.2, "slower"),
        (0.8, 0.99, "faster"),
        (0.96, 1.04, "no difference"),
        (0.9, 1.04, "undecided"),
        (0, float("inf"), "undecided"),
    ],
)
def test_the_verdict_follows_the_interval(low: float, high: float, expected: str) -> None:
    assert Ratio(1.0, low, high).verdict == expected


def test_ratios_to_fp32_are_computed_per_round_with_a_warning_if_undecided() -> None:
    load = np.exp(np.random.default_rng(0).normal(0, 0.5, ROUNDS))
    wild = np.exp(np.random.default_rng(1).normal(0, 0.5, ROUNDS))
    records = [record("fp32", 2 * load), record("int8", load), record("odd", 2 * wild), record("int8", 1, threads=2)]
    fp32, fast, odd, alone = with_fp32_ratios(records)
    assert fp32["versus_fp32"]["value"] == 1
    assert fast["versus_fp32"]["value"] == pytest.approx(0.5)
    assert fast["versus_fp32"]["verdict"] == "faster"
    assert [bool(each["warnings"]) for each in (fp32, fast, odd)] == [False, False, True]
    assert "measure longer" in odd["warnings"][0]
    assert alone["versus_fp32"] is None


def test_paired_rounds_detect_a_difference_that_two_runs_cannot() -> None:
    load = np.exp(np.random.default_rng(0).normal(0, 0.3, ROUNDS))
    assert paired(1.02 * load, load).verdict == "slower"
    assert unpaired(1.02 * load, load).verdict == "undecided"


def test_a_slower_minimum_is_a_regression_but_a_busy_machine_is_not() -> None:
    noise = np.random.default_rng(0).normal(1, 0.005, ROUNDS)
    old = record("fp32", 2 * noise, 1.8 * noise)
    assert verdict(old, record("fp32", 2.1 * noise, 1.89 * noise)) == "slower"
    assert verdict(old, record("fp32", 1.9 * noise, 1.71 * noise)) == "faster"
    assert verdict(old, record("fp32", 3.0 * noise, 1.8 * noise)) == "no difference"
    assert verdict(old, record("fp32", 2.1 * noise, 1.89 * noise), share=0.1) == "no difference"


def test_a_disturbed_run_leaves_a_small_change_undecided() -> None:
    noise = np.random.default_rng(0).normal(1, 0.005, ROUNDS)
    old, busy = record("fp32", 2 * noise, 1.8 * noise), np.exp(np.random.default_rng(1).normal(0.2, 0.3, ROUNDS))
    new = record("fp32", 2 * busy, 1.06 * 1.8 * noise)
    assert verdict(old, new) == "undecided"
    assert verdict(old, new, same_run=True) == "slower"


def test_a_change_that_the_yardstick_shares_is_no_difference() -> None:
    noise = np.random.default_rng(0).normal(1, 0.005, ROUNDS)
    old, new = record("fp32", 2, 1.8 * noise, noise), record("fp32", 2.2, 1.1 * 1.8 * noise, 1.1 * noise)
    assert verdict(old, new) == "no difference"
    without = record("fp32", 2.2, 1.1 * 1.8 * noise)
    assert verdict(old, without) == "slower"


def test_intervals_widen_with_the_number_of_comparisons() -> None:
    random = np.random.default_rng(0)
    old = record("fp32", random.normal(1, 0.02, ROUNDS))
    new = record("fp32", random.normal(1, 0.02, ROUNDS))
    (alone,) = compare({"a": old}, {"a": new}, 0.03, same_run=False)
    many = compare(dict.fromkeys("abcdefgh", old), dict.fromkeys("abcdefgh", new), 0.03, same_run=False)
    assert len(many) == 8
    assert many[0].p50.high - many[0].p50.low > alone.p50.high - alone.p50.low


def test_only_records_in_common_are_compared() -> None:
    assert compare({"a": record("fp32", 1)}, {"b": record("fp32", 1)}, 0.03, same_run=False) == []

"""Whether one candidate is slower or faster than another, or no difference can be shown."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeau.runtime.statistics import (
    COVERAGE,
    median_interval,
    ratio,
    ratio_interval,
    unpaired_ratio,
    unpaired_ratio_interval,
)

Record = Mapping[str, Any]

# An interval that reaches no further than this from 1 shows that there is no difference worth mentioning.
NO_DIFFERENCE_WITHIN = 0.05


@dataclass(frozen=True)
class Ratio:
    """A time divided by another, with its interval.

    Attributes:
        value: above 1 is slower.
        low, high: interval that holds the true value; high is infinity if there are too few rounds.
    """

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``slower``, ``faster``, ``no difference``, or ``undecided`` if the interval is too wide for any of them."""
        if self.low > 1:
            return "slower"
        if self.high < 1:
            return "faster"
        narrow = self.low > 1 - NO_DIFFERENCE_WITHIN and self.high < 1 + NO_DIFFERENCE_WITHIN
        return "no difference" if narrow else "undecided"

    def to_json(self) -> dict[str, Any]:
        """Plain values; infinity becomes None."""
        value = {**dataclasses.asdict(self), "verdict": self.verdict}
        return {key: None if each == math.inf else each for key, each in value.items()}


def paired(times: Sequence[float], others: Sequence[float], coverage: float = COVERAGE) -> Ratio:
    """Compare times by round of two candidates of the same run."""
    return Ratio(ratio(times, others), *ratio_interval(times, others, coverage))


def unpaired(times: Sequence[float], others: Sequence[float], coverage: float = COVERAGE) -> Ratio:
    """Compare times by round of two runs."""
    return Ratio(unpaired_ratio(times, others), *unpaired_ratio_interval(times, others, coverage))


def with_fp32_ratios(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Records of one run with ``versus_fp32``: p50 over that of FP32 on the same backend, threads and batch.

    None if FP32 was not measured. If the interval is too wide for a verdict, the record gets a warning that says so.
    """

    def key(record: Record) -> tuple[Any, ...]:
        return record["package"], record["backend"], record["threads"], record["batch"]

    base = {key(record): record["rounds"]["p50_ms"] for record in records if record["variant"] == "fp32"}
    return [_with_fp32_ratio(record, base.get(key(record))) for record in records]


def _with_fp32_ratio(record: Record, base_ms: Sequence[float] | None) -> dict[str, Any]:
    if base_ms is None or not base_ms:
        return {**record, "versus_fp32": None}
    result = paired(record["rounds"]["p50_ms"], base_ms)
    warnings = list(record["warnings"])
    if record["variant"] != "fp32" and result.verdict == "undecided":
        warnings.append(f"takes {_span(result)} times FP32's time: measure longer (--seconds) to decide")
    return {**record, "versus_fp32": result.to_json(), "warnings": warnings}


def _span(result: Ratio) -> str:
    return f"{result.low:.2f} to {result.high:.2f}"


@dataclass(frozen=True)
class Difference:
    """One candidate, old and new.

    Attributes:
        name: variant, backend and settings.
        p50: ratio of p50, new over old, by round.
        floor: ratio of the fastest call of each round; load on the machine hardly changes it.
        old_p50_ms, new_p50_ms: as measured.
        verdict: ``slower`` or ``faster`` if it is significant, larger than the share, and p50 and floor agree;
            ``no difference`` if the whole interval of the floor is within the share of 1; otherwise ``undecided``.
            Between two runs, the change must also exceed how uncertain p50 was: a disturbed run proves little.
    """

    name: str
    p50: Ratio
    floor: Ratio
    old_p50_ms: float
    new_p50_ms: float
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        value = {**dataclasses.asdict(self), "p50": self.p50.to_json(), "floor": self.floor.to_json()}
        return value


def compare(old: Mapping[str, Record], new: Mapping[str, Record], share: float, *, same_run: bool) -> list[Difference]:
    """Compare the records that both have, by name.

    Args:
        old, new: records by the name of the candidate.
        share: smallest change that counts, such as 0.03.
        same_run: whether old and new were measured in the same rounds. Otherwise the floor is divided by the
            yardstick's time in the same round, so that a change of the clock frequency is not taken for one of the
            candidate, and the runs are compared as independent samples.

    Intervals hold for all names together with 95% (Bonferroni).
    """
    names = [name for name in old if name in new]
    coverage = 1 - (1 - COVERAGE) / max(1, len(names))
    return [_difference(name, old[name], new[name], share, coverage, same_run) for name in names]


def _difference(name: str, old: Record, new: Record, share: float, coverage: float, same_run: bool) -> Difference:
    ratio_of = paired if same_run else unpaired
    p50 = ratio_of(new["rounds"]["p50_ms"], old["rounds"]["p50_ms"], coverage)
    floor = ratio_of(_floor(new, old, same_run), _floor(old, new, same_run), coverage)
    return Difference(
        name=name,
        p50=p50,
        floor=floor,
        old_p50_ms=old["latency"]["p50_ms"],
        new_p50_ms=new["latency"]["p50_ms"],
        verdict=_verdict(p50, floor, share, 0.0 if same_run else max(_disturbance(old), _disturbance(new))),
    )


def _floor(record: Record, other: Record, same_run: bool) -> list[float]:
    fastest: list[float] = record["rounds"]["min_ms"]
    yardstick = record["rounds"]["yardstick_ms"]
    if same_run or not yardstick or not other["rounds"]["yardstick_ms"]:
        return fastest
    return [ms / scale for ms, scale in zip(fastest, yardstick, strict=True)]


def _disturbance(record: Record) -> float:
    """Half of the interval of p50 as a share of p50."""
    medians = record["rounds"]["p50_ms"]
    low, high = median_interval(medians)
    return (high - low) / 2 / float(np.median(medians))


def _verdict(p50: Ratio, floor: Ratio, share: float, disturbance: float) -> str:
    least = share + disturbance
    if floor.low > 1 and floor.value > 1 + least and p50.high > 1:
        return "slower"
    if floor.high < 1 and floor.value < 1 - least and p50.low < 1:
        return "faster"
    return "no difference" if floor.low > 1 - share and floor.high < 1 + share else "undecided"

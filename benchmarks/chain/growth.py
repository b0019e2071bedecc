"""How the time of a step grows with images, batch and model, from times of the same rounds.

A command's time is a fixed part plus a part per unit of work. The latter is the difference of the largest and
the smallest size over the difference of the units, round by round, so that whatever all sizes have in common drops out.
Growth is given as the factor per doubling: 2 is proportional, 1 is no growth at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgeau.runtime.statistics import Values

from .measure import Times
from .steps import STEPS


@dataclass(frozen=True)
class Spread:
    """Median over rounds, with the lowest and highest round.

    These contain the true median with a probability of 1 - 2 ** (1 - rounds): 75% for 3 rounds, 97% for 6.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class UnitCost:
    """What a step costs per unit of work.

    Attributes:
        step, model, batch, unit: as in `steps.Point`.
        each_s: wall seconds per unit.
        fixed_s: wall seconds that do not depend on the number of units.
    """

    step: str
    model: str
    batch: int
    unit: str
    each_s: Spread
    fixed_s: Spread


@dataclass(frozen=True)
class Growth:
    """How a time grows when one thing is increased and all else is equal.

    Attributes:
        step: of the chain.
        along: what is increased, with its ends: ``images, 32 to 128``.
        of: which time, such as ``one command`` or ``one step``.
        from_s, to_s: the time at both ends, medians over rounds.
        per_doubling: factor per doubling of what is increased.
    """

    step: str
    along: str
    of: str
    from_s: float
    to_s: float
    per_doubling: Spread


def spread(values: Values) -> Spread:
    """Median, minimum and maximum of at least one value."""
    return Spread(float(np.median(values)), float(np.min(values)), float(np.max(values)))


def costs(times: Sequence[Times]) -> list[UnitCost]:
    """The cost per unit of each step that was timed at several sizes."""
    result = []
    for group in _groups(times):
        each, fixed = _each_s(group), _fixed_s(group)
        first = group[0].point
        if len(group) > 1:
            result.append(UnitCost(first.step, first.model, first.batch, first.unit, spread(each), spread(fixed)))
    return result


def growths(times: Sequence[Times], macs: Mapping[str, int]) -> list[Growth]:
    """Growth along units of work, batch and model's multiply-adds, wherever two sizes were timed."""
    groups = list(_groups(times))
    # That more training steps take longer says nothing.
    result = [_along_units(group) for group in groups if len(group) > 1 and group[0].point.unit != "step"]
    for first, second in ((a, b) for a in groups for b in groups if a[0].point.step == b[0].point.step):
        one, two = first[0].point, second[0].point
        if one.model == two.model and one.batch < two.batch:
            result.append(_between(first, second, "batch", one.batch, two.batch))
        small, large = macs.get(one.model, 0), macs.get(two.model, 0)
        if one.batch == two.batch and 0 < small < large:
            result.append(_between(first, second, "MMACs of the model", small / 1e6, large / 1e6))
    return sorted(result, key=lambda growth: STEPS.index(growth.step))


def _groups(times: Sequence[Times]) -> Iterator[list[Times]]:
    """Points that differ in nothing but the units of work, smallest first."""
    keys = dict.fromkeys((each.point.step, each.point.model, each.point.batch) for each in times)
    for key in keys:
        members = [each for each in times if (each.point.step, each.point.model, each.point.batch) == key]
        yield sorted(members, key=lambda each: each.point.count)


def _each_s(group: Sequence[Times]) -> np.ndarray:
    """float64 [rounds]: seconds per unit; of a single size, all of its time per unit."""
    first, last = group[0], group[-1]
    if first is last:
        return np.asarray(first.wall_s) / first.point.count
    small, large = _same_rounds(first, last)
    return (large - small) / (last.point.count - first.point.count)


def _fixed_s(group: Sequence[Times]) -> np.ndarray:
    each = _each_s(group)
    return np.asarray(group[0].wall_s)[: len(each)] - each * group[0].point.count


def _same_rounds(first: Times, last: Times) -> tuple[np.ndarray, np.ndarray]:
    """Times of the rounds that both have; an interrupted round has only some."""
    common = min(len(first.wall_s), len(last.wall_s))
    return np.asarray(first.wall_s[:common]), np.asarray(last.wall_s[:common])


def _along_units(group: Sequence[Times]) -> Growth:
    first, last = group[0], group[-1]
    small, large = _same_rounds(first, last)
    point = first.point
    held = ", ".join(filter(None, (point.model, f"batch {point.batch}" if point.batch else "")))
    along = f"{point.unit}s, {point.count} to {last.point.count}" + (f" ({held})" if held else "")
    factor = _per_doubling(small, large, point.count, last.point.count)
    return Growth(point.step, along, "one command", float(np.median(small)), float(np.median(large)), factor)


def _between(first: Sequence[Times], second: Sequence[Times], what: str, low: float, high: float) -> Growth:
    point, other = first[0].point, second[0].point
    small, large = _each_s(first), _each_s(second)
    common = min(len(small), len(large))
    small, large = small[:common], large[:common]
    held = point.model if what == "batch" else f"{point.model} to {other.model}"
    return Growth(
        point.step,
        f"{what}, {low:.4g} to {high:.4g} ({held})",
        f"one {point.unit}",
        float(np.median(small)),
        float(np.median(large)),
        _per_doubling(small, large, low, high),
    )


def _per_doubling(small: np.ndarray, large: np.ndarray, low: float, high: float) -> Spread:
    """The factor by which a time grows when ``low`` doubles, by round; NaN where a difference was not positive."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.where((small > 0) & (large > 0), large / small, np.nan)
    return spread(np.power(ratios, 1 / math.log2(high / low)))

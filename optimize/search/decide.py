"""Who won, and the record of how."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from edgeau.runtime.manifest import Variant
from edgeau.runtime.selection import Measurement, Selection
from edgeau.runtime.statistics import ratio

from .race import RaceResult
from .runner import Runner


def decide(
    runners: Mapping[str, Runner], race: RaceResult, baseline: str, losers: Mapping[str, str], objective: str
) -> Selection:
    """The winner: never slower than FP32 was, and among equals the one with the fewest threads.

    Args:
        runners: what was measured, by `Candidate.label`, those with the fewest threads first.
        race: how they compare.
        baseline: label of FP32 as it ran before.
        losers: why other candidates were not measured, by label.
        objective: one of OBJECTIVES.

    Returns:
        The selection as far as the measurements determine it.
    """
    losers = {**losers, **race.losers}
    fp32_ms = runners[baseline].pace_ms
    slower = {label: ratio(runner.pace_ms, fp32_ms) for label, runner in runners.items()}
    able = [label for label in runners if slower[label] <= 1.0]
    for label in runners:
        if label not in able:
            losers.setdefault(label, f"{slower[label]:.2f} times as slow as FP32 was ({baseline})")
    if objective == "size":
        winner = min(able, key=lambda label: (runners[label].candidate.variant.size_bytes, slower[label]))
        size = runners[winner].candidate.variant.size_bytes
        losers.update({label: _larger(runners[label].candidate.variant, size) for label in able})
    else:
        winner = _cheapest(runners, race, able, baseline)
    losers.pop(winner, None)
    chosen = runners[winner].candidate
    return Selection(
        variant=chosen.variant.name,
        backend=chosen.backend,
        threads=chosen.threads,
        batch=chosen.batch,
        label=winner,
        objective=objective,
        settled=race.settled,
        rounds=race.rounds,
        ms_per_crop=float(np.median(runners[winner].pace_ms)),
        fp32_ms_per_crop=float(np.median(fp32_ms)),
        times_fp32=slower[winner],
        ties={label: why for label, why in race.ties.items() if label != winner and label not in losers},
        losers=losers,
        measured=tuple(_measurement(runners[x], race.costs[x], objective) for x in runners),
        measured_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _cheapest(runners: Mapping[str, Runner], race: RaceResult, able: list[str], baseline: str) -> str:
    """The winner by cost: the first of the leader and those that tie with it, once that is settled."""
    equals = [label for label in runners if label in able and (label == race.leader or label in race.ties)]
    if not equals:
        return baseline
    return equals[0] if race.settled else min(equals, key=lambda label: np.median(race.costs[label]))


def _larger(variant: Variant, smallest: int) -> str:
    if variant.size_bytes == smallest:
        return "the same size, and not faster"
    return f"{variant.size_bytes} bytes, {variant.size_bytes / smallest:.2f} times the smallest"


def _measurement(runner: Runner, costs: list[float], objective: str) -> Measurement:
    candidate = runner.candidate
    return Measurement(
        label=candidate.label,
        variant=candidate.variant.name,
        backend=candidate.backend,
        threads=candidate.threads,
        batch=candidate.batch,
        ms_per_crop=float(np.median(runner.pace_ms)),
        ms_per_crop_by_round=tuple(round(value, 4) for value in runner.pace_ms),
        mj_per_crop=float(np.median(costs)) if objective == "energy" else None,
    )

"""Who won, and the record of how."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from edgeau.runtime.manifest import Variant
from edgeau.runtime.selection import Measurement, Selection
from edgeau.runtime.statistics import ratio

from .frames import FrameRace
from .race import MIN_ROUNDS, SAME_WITHIN, RaceResult
from .runner import Runner


def decide(
    runners: Mapping[str, Runner],
    race: RaceResult,
    frames: FrameRace | None,
    baseline: str,
    losers: Mapping[str, str],
    objective: str,
) -> Selection:
    """The winner: never slower than FP32 was, neither by the model alone nor by whole frames nor by a stream of them.

    Where whole frames were measured, they decide; among equals there the fewest threads, which leave the cores to the
    application, and with as many threads the model alone. Where none were measured, the model alone decides, and among
    equals the fewest threads.

    Args:
        runners: what was measured, by `Candidate.label`, those with the fewest threads first.
        race: how their models compare.
        frames: how whole frames compare, of some of them; None where none were measured.
        baseline: label of FP32 as it ran before.
        losers: why other candidates were not measured, by label.
        objective: one of OBJECTIVES.

    Returns:
        The selection as far as the measurements determine it.
    """
    losers, ties = {**losers, **race.losers}, race.ties
    fp32_ms = runners[baseline].pace_ms
    slower = {label: ratio(runner.pace_ms, fp32_ms) for label, runner in runners.items()}
    able = [label for label in runners if slower[label] <= 1.0]
    for label in runners:
        if label not in able:
            losers.setdefault(label, f"{slower[label]:.2f} times the time of FP32 ({baseline})")
    if objective == "size":
        winner = min(able, key=lambda label: (runners[label].candidate.variant.size_bytes, slower[label]))
        size = runners[winner].candidate.variant.size_bytes
        losers.update({label: _larger(runners[label].candidate.variant, size) for label in able})
    elif frames is None:
        winner = _cheapest(race, [label for label in able if label == race.leader or label in race.ties] or [baseline])
    else:
        equals = _equals(frames, [label for label in able if label in frames.stream_ms], baseline)
        winner = _cheapest(race, _fewest_threads(runners, equals) or [baseline])
        # The models' verdicts on these no longer count.
        losers = {label: why for label, why in losers.items() if label not in equals}
        losers.update({**frames.calls.losers, **_slow_streams(frames, able, baseline)})
        ties = {**ties, **frames.calls.ties, frames.calls.leader: f"a tie with {winner}"}
    losers.pop(winner, None)
    chosen = runners[winner].candidate
    return Selection(
        variant=chosen.variant.name,
        backend=chosen.backend,
        threads=chosen.threads,
        batch=chosen.batch,
        label=winner,
        objective=objective,
        settled=race.settled and (frames is None or frames.calls.settled),
        rounds=race.rounds,
        ms_per_crop=_median(runners[winner].pace_ms),
        fp32_ms_per_crop=_median(fp32_ms),
        times_fp32=slower[winner],
        ties={label: why for label, why in ties.items() if label != winner and label not in losers},
        losers=losers,
        measured=tuple(_measurement(runners[x], race.costs[x], frames, objective) for x in runners),
        measured_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        inference_precision=chosen.inference_precision,
        ms_per_frame=None if frames is None else _median(frames.calls.costs[winner]),
        fp32_ms_per_frame=None if frames is None else _median(frames.calls.costs[baseline]),
        stream_per_s=None if frames is None else 1e3 / _median(frames.stream_ms[winner]),
        fp32_stream_per_s=None if frames is None else 1e3 / _median(frames.stream_ms[baseline]),
    )


def _cheapest(race: RaceResult, labels: Sequence[str]) -> str:
    """The cheapest of these: the first of the leader and those that tie with it, once that is settled."""
    equals = [label for label in labels if label == race.leader or label in race.ties]
    if equals and race.settled:
        return equals[0]
    return min(equals or labels, key=lambda label: _median(race.costs[label]))


def _equals(frames: FrameRace, labels: Sequence[str], baseline: str) -> list[str]:
    """Those with the shortest frames among the labels whose frames and streams take no longer than FP32's."""
    costs, slow = frames.calls.costs, _slow_streams(frames, labels, baseline)
    able = [x for x in labels if x not in slow and ratio(costs[x], costs[baseline]) <= 1.0]
    best = min(able, key=lambda label: _median(costs[label]), default=baseline)
    # After few rounds nothing is known to be equal, and the shortest median is the best guess.
    equals = frames.calls.equals if frames.calls.rounds >= MIN_ROUNDS else ()
    return [x for x in able if x == best or x in equals]


def _slow_streams(frames: FrameRace, labels: Sequence[str], baseline: str) -> dict[str, str]:
    """The labels that make a stream slower than FP32 does, with the reason."""
    times = {x: ratio(frames.stream_ms[x], frames.stream_ms[baseline]) for x in labels if x in frames.stream_ms}
    slow = {x: value for x, value in times.items() if value > 1 + SAME_WITHIN}
    return {x: f"a stream takes {value:.2f} times as long as with FP32 ({baseline})" for x, value in slow.items()}


def _fewest_threads(runners: Mapping[str, Runner], labels: Sequence[str]) -> list[str]:
    """Those of the labels, which are in order of threads, that have as many as the first."""
    threads = [runners[label].candidate.threads for label in labels]
    return [label for label, count in zip(labels, threads, strict=True) if count == threads[0]]


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))


def _larger(variant: Variant, smallest: int) -> str:
    if variant.size_bytes == smallest:
        return "the same size, and not faster"
    return f"{variant.size_bytes} bytes, {variant.size_bytes / smallest:.2f} times the smallest"


def _measurement(runner: Runner, costs: list[float], frames: FrameRace | None, objective: str) -> Measurement:
    candidate = runner.candidate
    frame_ms = [] if frames is None else frames.calls.costs.get(candidate.label, [])
    stream_ms = [] if frames is None else frames.stream_ms.get(candidate.label, [])
    return Measurement(
        label=candidate.label,
        variant=candidate.variant.name,
        backend=candidate.backend,
        threads=candidate.threads,
        batch=candidate.batch,
        ms_per_crop=_median(runner.pace_ms),
        ms_per_crop_by_round=tuple(round(value, 4) for value in runner.pace_ms),
        mj_per_crop=_median(costs) if objective == "energy" else None,
        inference_precision=candidate.inference_precision,
        ms_per_frame=_median(frame_ms) if frame_ms else None,
        ms_per_frame_by_round=tuple(round(value, 4) for value in frame_ms),
        stream_per_s=1e3 / _median(stream_ms) if stream_ms else None,
    )

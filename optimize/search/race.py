"""Which of several costs is lowest, measured in turns until the order, or a tie, is statistically settled.

Rounds are A B C, C A B, ...: each runner is measured once per round, in random order, so that changes of clock or load
affect all alike, and costs are compared round by round. The ratio of two runners is the median of their ratios per
round; its interval is the distribution-free one between order statistics, whose coverage is a sum of binomial
probabilities (Thompson, 1936). A loser is decided by an interval of 99.95%, which allows for testing after each round;
a tie by one of 90% within SAME_WITHIN (two one-sided tests at 5%).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgeau.runtime.statistics import ratio, ratio_interval

MIN_ROUNDS, MAX_ROUNDS = 12, 80
SAME_WITHIN = 0.02
_SURE, _LIKELY = 0.9995, 0.90
_EARLY_ROUNDS, _HOPELESS = 3, 1.5


@dataclass
class RaceResult:
    """The result of a race.

    Attributes:
        costs: cost per round of each runner; losers have fewer rounds.
        leader: lowest median cost among those that have not lost.
        ties: runners that have not lost to the leader, with the reason.
        equals: the leader, and those of the ties that are probably not slower.
        losers: runners with higher costs, with the reason.
        rounds: number of rounds.
        settled: whether all others are losers or within SAME_WITHIN of the leader; False if time ran out.
    """

    costs: dict[str, list[float]]
    leader: str
    ties: dict[str, str] = field(default_factory=dict)
    equals: list[str] = field(default_factory=list)
    losers: dict[str, str] = field(default_factory=dict)
    rounds: int = 0
    settled: bool = False


def race(
    runners: Mapping[str, Callable[[], float]],
    *,
    deadline: float,
    keep: Sequence[str] = (),
    max_rounds: int = MAX_ROUNDS,
    cost: str = "cost",
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> RaceResult:
    """Measure runners in turns.

    Args:
        runners: by name, functions that make one measurement and return a cost above 0.
        deadline: by ``clock``; no measurement starts after it, except that each runner is measured once.
        keep: names of runners that are measured to the end even if they lose.
        max_rounds: the race ends after this many rounds even if nothing is settled.
        cost: what it is called in reasons.
        seed: of the order in each round.
        clock: seconds.
    """
    random = np.random.default_rng(seed)
    result = RaceResult({name: [] for name in runners}, leader=next(iter(runners)))
    live = list(runners)
    while result.rounds < max_rounds and (result.rounds == 0 or clock() < deadline):
        for index in random.permutation(len(live)):
            if result.rounds == 0 or clock() < deadline:
                result.costs[live[index]].append(runners[live[index]]())
        result.rounds += 1
        _rank(result, live, cost)
        live = [name for name in live if name not in result.losers or name in keep]
        if result.settled:
            break
    return result


def _rank(result: RaceResult, live: Sequence[str], cost: str) -> None:
    """Sort the runners into losers, ties and the leader, as far as the rounds so far tell."""
    contenders = [name for name in live if name not in result.losers]
    result.leader = min(contenders, key=lambda name: float(np.median(result.costs[name])))
    best = result.costs[result.leader]
    result.ties, result.equals = {}, [result.leader]
    same = 0
    for name in contenders:
        if name == result.leader:
            continue
        middle = ratio(result.costs[name], best)
        if result.rounds < MIN_ROUNDS:
            if result.rounds >= _EARLY_ROUNDS and min(result.costs[name]) > _HOPELESS * max(best):
                result.losers[name] = f"{middle:.2f} times the {cost} of {result.leader}"
                continue
            result.ties[name] = "too few rounds to tell"
            result.equals.append(name)
            continue
        low, high = ratio_interval(result.costs[name], best, _SURE)
        if low > 1:
            result.losers[name] = f"{middle:.2f} ({low:.2f} to {high:.2f}) times the {cost} of {result.leader}"
            continue
        low, high = ratio_interval(result.costs[name], best, _LIKELY)
        equal = low <= 1 or high < 1 + SAME_WITHIN
        result.equals += [name] * equal
        verdict = "a tie" if equal else "probably more"
        result.ties[name] = f"{middle:.2f} ({low:.2f} to {high:.2f}) times the {cost} of {result.leader}: {verdict}"
        same += high < 1 + SAME_WITHIN
    result.ties = {name: why for name, why in result.ties.items() if name not in result.losers}
    result.settled = same == len(result.ties)

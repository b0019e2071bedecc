from __future__ import annotations

import numpy as np
import pytest

from edgeau.optimize.search.race import MAX_ROUNDS, MIN_ROUNDS, race


class Clock:
    """A clock that advances only when a runner runs."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Runner:
    """Random costs around a mean, multiplied by the machine's drift."""

    def __init__(self, mean: float, clock: Clock, drift=lambda now: 1.0, noise: float = 0.03, seed: int = 0) -> None:
        self._mean, self._clock, self._drift, self._noise = mean, clock, drift, noise
        self._random = np.random.default_rng(seed)
        self.runs = 0

    def __call__(self) -> float:
        self._clock.now += 0.1
        self.runs += 1
        return self._mean * self._drift(self._clock.now) * float(np.exp(self._random.normal(0, self._noise)))


def _field(means, **more):
    clock = Clock()
    return {name: Runner(mean, clock, seed=i, **more) for i, (name, mean) in enumerate(means.items())}, clock


def test_the_cheapest_wins_and_the_others_lose_with_a_reason():
    runners, clock = _field({"a": 1.3, "b": 1.0, "c": 1.15})
    result = race(runners, deadline=1e9, clock=clock)
    assert result.leader == "b"
    assert result.settled
    assert set(result.losers) == {"a", "c"}
    assert "times the cost of b" in result.losers["a"]


def test_a_hopeless_runner_is_dropped_early():
    runners, clock = _field({"slow": 10.0, "a": 1.0, "b": 1.01})
    race(runners, deadline=1e9, clock=clock)
    assert runners["slow"].runs < MIN_ROUNDS


def test_a_hopeless_runner_is_not_an_equal():
    runners, clock = _field({"slow": 10.0, "fast": 3.0})
    result = race(runners, deadline=1e9, clock=clock, keep=["slow"])
    assert result.settled
    assert result.equals == ["fast"]
    assert result.ties == {}


def test_a_runner_in_keep_is_measured_to_the_end_even_if_it_loses():
    runners, clock = _field({"slow": 10.0, "a": 1.0, "b": 1.01})
    result = race(runners, deadline=1e9, clock=clock, keep=["slow"])
    assert runners["slow"].runs == result.rounds
    assert "slow" in result.losers


def test_equal_runners_tie():
    runners, clock = _field({"a": 1.0, "b": 1.001}, noise=0.005)
    result = race(runners, deadline=1e9, clock=clock)
    assert result.settled
    assert not result.losers
    assert len(result.ties) == 1
    assert "tie" in next(iter(result.ties.values()))


def test_the_race_ends_unsettled_at_the_deadline():
    runners, clock = _field({"a": 1.0, "b": 1.02}, noise=0.3)
    result = race(runners, deadline=3.0, clock=clock)
    assert clock.now <= 3.0 + 0.1
    assert not result.settled
    assert len(result.ties) == 1


def test_every_runner_is_measured_once_even_without_time():
    runners, clock = _field({"a": 1.0, "b": 2.0})
    result = race(runners, deadline=-1.0, clock=clock)
    assert {name: len(costs) for name, costs in result.costs.items()} == {"a": 1, "b": 1}
    assert not result.settled


def test_the_race_ends_after_the_maximum_number_of_rounds():
    runners, clock = _field({"a": 1.0, "b": 1.015}, noise=0.5)
    assert race(runners, deadline=1e9, clock=clock).rounds <= MAX_ROUNDS


@pytest.mark.parametrize("seed", range(5))
def test_a_machine_that_slows_down_by_half_does_not_change_the_order(seed):
    """Measured one after the other, b would bear the slow half; measured in turns it doesn't."""
    runners, clock = _field({"a": 1.1, "b": 1.0}, drift=lambda now: 1.0 + min(now, 2.0) / 2)
    result = race(runners, deadline=1e9, clock=clock, seed=seed)
    assert (result.leader, set(result.losers)) == ("b", {"a"})


@pytest.mark.parametrize("seed", range(20))
def test_identical_runners_are_not_distinguished(seed):
    clock = Clock()
    runners = {"a": Runner(1.0, clock, seed=2 * seed), "b": Runner(1.0, clock, seed=2 * seed + 1)}
    losers = race(runners, deadline=1e9, clock=clock, max_rounds=30, seed=seed).losers
    assert not losers


def test_a_runner_that_is_probably_slower_neither_loses_nor_counts_as_equal():
    """With 15% of noise, 40 rounds detect a difference of 4% at 90% confidence but not at 99.95%."""
    runners, clock = _field({"a": 1.0, "b": 1.08}, noise=0.15)
    result = race(runners, deadline=1e9, clock=clock, max_rounds=40)
    assert "b" in result.ties
    assert result.ties["b"].endswith("of a: probably more")
    assert result.equals == ["a"]

"""Measuring in rounds: their order, when they end, and what remains after an interruption."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgeau.benchmarks.measurement import BenchOptions
from edgeau.benchmarks.rounds import Runner, run_rounds
from edgeau.runtime.backends import FakeBackend

INPUTS = {"face": np.zeros((3, 8, 8, 3), np.uint8)}


class Watched(FakeBackend):
    """Calls ``seen`` with its name at each call."""

    def __init__(self, name: str, seen: Callable[[str], None]) -> None:
        super().__init__({"face": (8, 8, 3)}, au_count=2)
        self.watched, self.seen = name, seen

    def infer(self, inputs):
        self.seen(self.watched)
        return super().infer(inputs)


def runners(names: str, seen: Callable[[str], None]) -> list[Runner]:
    return [Runner(Watched(name, seen), INPUTS) for name in names]


def options(**changes) -> BenchOptions:
    return BenchOptions(**{"warmup_s": 0, "seconds": 1e-9, "rounds": 12, "energy": False, **changes})


def test_every_round_runs_every_runner_once_in_varying_order() -> None:
    calls: list[str] = []
    group = runners("abc", calls.append)
    calls.clear()
    run_rounds(group, options())
    blocks = [name for at, name in enumerate(calls) if at == 0 or calls[at - 1] != name]
    order = "".join(blocks[3:])  # without warm-up; a name at the end of a round and the start of the next is one block
    assert all(each.latency().rounds == 12 for each in group)
    assert len({order[at : at + 3] for at in range(0, len(order) - 2)}) > 3
    assert all(len(each.rounds().yardstick_ms) == 12 and min(each.rounds().yardstick_ms) > 0 for each in group)


def test_rounds_end_when_every_result_is_precise_enough() -> None:
    group = runners("ab", lambda _: None)
    run_rounds(group, options(seconds=1e9, slice_s=1e-4, precision=1e9, rounds=7))
    assert [each.latency().rounds for each in group] == [7, 7]


def test_rounds_end_when_the_time_is_up() -> None:
    group = runners("ab", lambda _: None)
    run_rounds(group, options(seconds=0.05, slice_s=0.01, precision=0, rounds=2))
    used_s = sum(each.timed_s for each in group)
    assert used_s >= 0.1
    assert used_s - sum(each.samples[-1].sum() / 1e3 for each in group) < 0.1  # the last round was needed


@pytest.mark.parametrize("whole", [0, 1, 3])
def test_an_interruption_keeps_the_complete_rounds(whole: int) -> None:
    """The interruption is in the round after this number of complete ones."""
    seen: list[str] = []

    def interrupt(name: str) -> None:
        if name == "b" and [line[:5] for line in seen].count("round") == whole and "warm-up: b" in seen:
            raise KeyboardInterrupt

    group = [Runner(Watched(name, interrupt), INPUTS, label=name) for name in "ab"]
    settings = options(rounds=1000, seconds=1e9, slice_s=1e-4)
    if not whole:
        with pytest.raises(KeyboardInterrupt):
            run_rounds(group, settings, seen.append)
        return
    assert not run_rounds(group, settings, seen.append)
    assert [each.latency().rounds for each in group] == [whole, whole]

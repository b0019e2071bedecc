"""Measures backends in rounds: every candidate once per round, in random order, so that they can be compared by round.

Whatever changes on the machine between rounds (clock, load, temperature) affects all candidates alike. A fixed
computation, the yardstick, also runs in every round, so that runs at different times can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgeau.optimize.search.energy import Energy, Meter, Sampler, energy_of, find_meter, idle_power_w
from edgeau.runtime.backends import Backend
from edgeau.runtime.machine_state import MachineState, read_state
from edgeau.runtime.report import Report, silent
from edgeau.runtime.timing import Latency, latency, time_calls, warm_up, warm_up_until_steady

from .measurement import BenchOptions, Rounds

# Other candidates have used the caches, so this share of a slice runs untimed first.
_WARM_SHARE = 0.1
_YARDSTICK_S = 0.02


def run_rounds(
    runners: Sequence[Runner],
    options: BenchOptions,
    progress: Report = silent,
) -> bool:
    """Warm up, then measure until every p50 is precise enough or the time is used.

    Returns:
        Whether it ran to its end; False if the user interrupted it after a whole round.
    """
    meter = find_meter() if options.energy else "not requested"
    idle_w = idle_power_w(meter) if isinstance(meter, Meter) else 0.0
    for runner in runners:
        runner.prepare(meter, idle_w)
        progress(f"warm-up: {runner.label}")
        warm_up_until_steady(runner.call, options.warmup_s)
    slice_s = min(options.slice_s, options.seconds / options.rounds)
    random = np.random.default_rng(options.seed)
    done = 0
    try:
        while runners and not _finished(runners, options, done):
            machine_ms = yardstick_ms()
            timed = {int(at): runners[at].time_slice(slice_s) for at in random.permutation(len(runners))}
            for at, samples in timed.items():
                runners[at].add(samples, machine_ms)
            done += 1
            progress(f"round {done}, candidates: {len(runners)}")
    except KeyboardInterrupt:
        if not done:
            raise
        return False
    return True


def _finished(runners: Sequence[Runner], options: BenchOptions, done: int) -> bool:
    if done < options.rounds:
        return False
    if sum(runner.timed_s for runner in runners) >= options.seconds * len(runners):
        return True
    return all(runner.latency().p50_uncertainty <= options.precision for runner in runners)


class Runner:
    """An open backend with its inputs, and the times measured so far."""

    def __init__(
        self, backend: Backend, inputs: Mapping[str, np.ndarray], load_ms: float | None = None, label: str = ""
    ) -> None:
        self.backend, self.inputs, self.load_ms = backend, inputs, load_ms
        self.label = label or backend.name
        self.batch = len(next(iter(inputs.values())))
        # The first call shows whether the backend runs at all.
        self.first_ms = warm_up(self.call, 0)
        self.timed_s = 0.0
        self.samples: list[np.ndarray] = []
        self.state_before = self.state_after = MachineState()
        self._yardstick_ms: list[float] = []
        self._meter: Meter | str = "not requested"
        self._idle_w = self._joules = self._metered_s = 0.0

    def call(self) -> object:
        """One inference."""
        return self.backend.infer(self.inputs)

    def prepare(self, meter: Meter | str, idle_w: float) -> None:
        """Read the state of the machine, and take note of the energy meter, or of the reason why there is none."""
        self._meter, self._idle_w = meter, idle_w
        self.state_before = read_state()

    def time_slice(self, seconds: float) -> np.ndarray:
        """Milliseconds of each call of one round."""
        warm_up(self.call, seconds * _WARM_SHARE)
        if not isinstance(self._meter, Meter):
            return time_calls(self.call, seconds)
        with Sampler(self._meter) as sampler:
            samples = time_calls(self.call, seconds)
        self._joules += sampler.joules
        self._metered_s += sampler.seconds
        return samples

    def add(self, samples_ms: np.ndarray, yardstick_ms: float) -> None:
        """Keep the calls of a round."""
        self.samples.append(samples_ms)
        self._yardstick_ms.append(yardstick_ms)
        self.timed_s += float(samples_ms.sum()) / 1e3
        self.state_after = read_state()

    def latency(self) -> Latency:
        """Statistics of all rounds so far."""
        return latency(self.samples)

    def rounds(self) -> Rounds:
        """Times by round."""
        return Rounds(
            p50_ms=tuple(float(np.median(each)) for each in self.samples),
            min_ms=tuple(float(each.min()) for each in self.samples),
            yardstick_ms=tuple(self._yardstick_ms),
        )

    def energy(self) -> Energy:
        """Energy per call, or the reason why it is unknown."""
        if isinstance(self._meter, Meter):
            calls = sum(len(each) for each in self.samples)
            return energy_of(self._meter, self._idle_w, self._joules, self._metered_s, calls)
        return Energy(source=None, reason=self._meter)


# Products of matrices so small that no BLAS library uses more than one thread: 0.5 million multiply-adds.
_MATRICES = np.random.default_rng(0).normal(size=(16, 32, 32)).astype(np.float32)


def yardstick_ms() -> float:
    """Fastest run, within 20 ms, of a fixed computation: how fast the machine is now."""
    return float(time_calls(lambda: np.matmul(_MATRICES, _MATRICES), _YARDSTICK_S).min())

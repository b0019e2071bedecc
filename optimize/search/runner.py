"""Running one candidate for a short slice of time, again and again."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import numpy as np

from edgeau.runtime.backends import Backend
from edgeau.runtime.errors import BackendError
from edgeau.runtime.timing import time_calls, warm_up

from .candidates import Candidate, open_candidate
from .energy import Meter, Sampler
from .options import Clock, Setup
from .screening import OUT_OF_TIME

SLICE_SECONDS = {"latency": 0.08, "throughput": 0.12, "size": 0.08, "energy": 0.4}
_LEAST_MJ = 1e-9


class Runner:
    """Runs one candidate. Each call measures one slice and returns its cost; the pace is kept as well.

    Args:
        candidate: what runs.
        backend: with the candidate loaded.
        inputs: uint8 [batch, H, W, 3] by name.
        seconds: length of a slice.
        meter: the energy counter, if the cost is energy.
        clock: seconds.

    Attributes:
        candidate: what runs.
        backend: with the candidate loaded.
        pace_ms: median milliseconds per crop of each slice so far.
    """

    def __init__(
        self,
        candidate: Candidate,
        backend: Backend,
        inputs: Mapping[str, np.ndarray],
        seconds: float,
        meter: Meter | None,
        clock: Clock,
    ) -> None:
        self.candidate = candidate
        self.pace_ms: list[float] = []
        self.backend = backend
        self._inputs, self._meter = inputs, meter
        self._seconds, self._clock = seconds, clock

    def __call__(self) -> float:
        """Measure one slice. Returns milliseconds per crop, or millijoules per crop where there is a meter."""
        # The threads of the candidate that ran before may still be spinning.
        warm_up(self._infer, self._seconds / 4, self._clock)
        if self._meter is None:
            self._measure()
            return self.pace_ms[-1]
        with Sampler(self._meter) as sampler:
            calls = self._measure()
        return max(sampler.joules * 1e3, _LEAST_MJ) / (calls * self.candidate.batch)

    def _measure(self) -> int:
        """Add one slice's pace. Returns the number of calls in it."""
        times_ms = time_calls(self._infer, self._seconds, clock=self._clock)
        self.pace_ms.append(float(np.median(times_ms)) / self.candidate.batch)
        return len(times_ms)

    def _infer(self) -> object:
        return self.backend.infer(self._inputs)


def open_runners(
    stack: contextlib.ExitStack, setup: Setup, candidates: Sequence[Candidate]
) -> tuple[dict[str, Runner], dict[str, str]]:
    """Load candidates until the deadline; ``stack`` closes them.

    Returns:
        Runners by `Candidate.label`, and why the other candidates can't run.

    Raises:
        BackendError: the baseline can't run.
    """
    runners: dict[str, Runner] = {}
    failed: dict[str, str] = {}
    for candidate in candidates:
        if candidate != setup.baseline and setup.clock() > setup.deadline:
            failed[candidate.label] = OUT_OF_TIME
            continue
        try:
            runners[candidate.label] = _open(stack, setup, candidate)
        except BackendError as error:
            if candidate == setup.baseline:
                raise
            failed[candidate.label] = str(error)
    return runners, failed


def _open(stack: contextlib.ExitStack, setup: Setup, candidate: Candidate) -> Runner:
    inputs = {
        name: np.ascontiguousarray(np.resize(crops, (candidate.batch, *crops.shape[1:])))
        for name, crops in setup.crops.inputs(setup.package.manifest.takes_neutral).items()
    }
    backend = stack.enter_context(open_candidate(setup.package, candidate))
    backend.infer(inputs)
    return Runner(candidate, backend, inputs, SLICE_SECONDS[setup.options.objective], setup.meter, setup.clock)

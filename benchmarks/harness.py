"""Measures candidates by one protocol, and makes the records.

one = measure(backend, inputs, BenchOptions(seconds=3))
records, failures = measure_all(candidates, BenchOptions())
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import numpy as np

from edgeau.runtime.backends import Backend, open_backend
from edgeau.runtime.device import fingerprint
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.machine import Machine, read_machine
from edgeau.runtime.report import Report, silent

from .candidates import Candidate
from .concurrency import by_callers
from .measurement import BenchOptions, Failure, Measurement, ModelFacts
from .memory import ColdStart, Memory, measure_fresh
from .provenance import provenance
from .rounds import Runner, run_rounds

# p50 that differs by more between the first and the last third of the rounds has drifted.
_DRIFT = 0.1


def measure(backend: Backend, inputs: Mapping[str, np.ndarray], options: BenchOptions = BenchOptions()) -> Measurement:
    """Measure one backend that is already open; names, size and memory stay empty.

    Args:
        backend: an open backend.
        inputs: uint8 [N, H, W, 3] for every input.
        options: how long.
    """
    runner = Runner(backend, inputs)
    finished = run_rounds([runner], options)
    return _record(runner, None, options, read_machine(), finished)


def measure_all(
    candidates: Sequence[Candidate],
    options: BenchOptions = BenchOptions(),
    progress: Report = silent,
) -> tuple[list[Measurement], list[Failure]]:
    """Measure candidates in rounds.

    Args:
        candidates: what to measure.
        options: how.
        progress: called with a line of progress.

    Returns:
        Records in the order of the candidates, and those that could not be measured. If the user interrupts the
        rounds, the records of the whole rounds until then, each with a warning that says so.
    """
    machine = read_machine()
    failures: list[Failure] = []
    records: list[Measurement] = []
    with contextlib.ExitStack() as stack:
        ready: list[tuple[Candidate, Runner]] = []
        for candidate in candidates:
            try:
                ready.append((candidate, _open(candidate, stack)))
            except EdgeauError as error:
                failures.append(Failure(candidate.package, candidate.variant, candidate.backend, str(error)))
        finished = run_rounds([runner for _, runner in ready], options, progress)
        for candidate, runner in ready:
            progress(f"size, memory and accuracy of {runner.label}")
            records.append(_record(runner, candidate, options, machine, finished))
    return records, failures


def _open(candidate: Candidate, stack: contextlib.ExitStack) -> Runner:
    start = time.perf_counter()
    backend = stack.enter_context(open_backend(candidate.backend, candidate.file, candidate.options))
    load_ms = (time.perf_counter() - start) * 1e3
    return Runner(backend, candidate.inputs, load_ms, f"{candidate.variant} on {candidate.backend}")


def _record(
    runner: Runner, candidate: Candidate | None, options: BenchOptions, machine: Machine, finished: bool
) -> Measurement:
    times = runner.latency()
    memory, cold_start = _fresh(candidate) if candidate and options.memory else (None, None)
    return Measurement(
        package=candidate.package if candidate else "",
        variant=candidate.variant if candidate else "",
        precision=candidate.precision if candidate else "",
        backend=runner.backend.name,
        settings=dict(runner.backend.settings),
        threads=runner.backend.settings.get("threads"),
        batch=runner.batch,
        latency=times,
        rounds=runner.rounds(),
        throughput_per_s=runner.batch / times.mean_ms * 1e3,
        load_ms=runner.load_ms,
        first_ms=runner.first_ms,
        samples_ms=tuple(np.concatenate(runner.samples).tolist()),
        device=fingerprint(),
        machine=machine,
        state_before=runner.state_before,
        state_after=runner.state_after,
        provenance=provenance(),
        options=options,
        gpu_p50_ms=_gpu_p50_ms(runner),
        facts=_facts(candidate),
        memory=memory,
        cold_start=cold_start,
        concurrency=by_callers(runner.backend, runner.inputs, options.callers, options.seconds),
        energy=runner.energy(),
        accuracy=candidate.accuracy(runner.backend) if candidate and candidate.accuracy else {},
        warnings=_warnings(runner, machine, finished),
        data=candidate.data if candidate else "",
    )


def _gpu_p50_ms(runner: Runner) -> float | None:
    clock = getattr(runner.backend, "gpu_ms", None)
    return None if clock is None else float(np.median(clock(runner.batch)))


def _facts(candidate: Candidate | None) -> ModelFacts | None:
    if candidate is None:
        return None
    size = candidate.file.stat().st_size
    # A board can measure its engines without onnx, which counts multiply-accumulates.
    if candidate.onnx_file is None or find_spec("onnx") is None:
        return ModelFacts(size_bytes=size)
    from .macs import model_facts

    return dataclasses.replace(model_facts(candidate.onnx_file), size_bytes=size)


def _fresh(candidate: Candidate) -> tuple[Memory, ColdStart]:
    return measure_fresh(candidate.backend, candidate.file, candidate.options, candidate.inputs)


def _warnings(runner: Runner, machine: Machine, finished: bool) -> tuple[str, ...]:
    """Conditions that make the absolute times doubtful. Scatter alone is none: the intervals show it."""
    warnings = []
    if not finished:
        warnings.append(f"interrupted after {len(runner.samples)} rounds")
    medians = runner.rounds().p50_ms
    third = len(medians) // 3
    if third >= 4:
        first, last = (sorted(part) for part in (medians[:third], medians[-third:]))
        change = float(np.median(last) / np.median(first) - 1)
        # Every round at one end is beyond every round at the other, so it is not scatter.
        if abs(change) > _DRIFT and (first[-1] < last[0] or last[-1] < first[0]):
            warnings.append(f"p50 drifted by {change:+.0%} during the run")
    if machine.is_jetson and runner.state_before.clocks_locked is False:
        warnings.append("clocks are not locked; type: sudo jetson_clocks")
    return tuple(warnings)

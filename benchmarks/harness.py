"""Measures variants of packages on backends: the same protocol for every one, and a record that says how.

    one = measure(backend, inputs, BenchOptions(seconds=3))
    many = measure_all(candidates, BenchOptions())

Several candidates are measured in rounds, one after the other in each, so that a clock or a neighbour that changes
during the run disturbs all of them alike. All samples of all rounds count.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.optimize.search.energy import Energy, Meter, Sampler, energy_of, find_meter, idle_power_w
from edgeau.runtime.backends import Backend, BackendOptions, open_backend
from edgeau.runtime.device import fingerprint
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.machine import Machine, read_machine
from edgeau.runtime.machine_state import MachineState, read_state
from edgeau.runtime.timing import Latency, latency, time_calls, warm_up

from .macs import ModelFacts, model_facts
from .memory import Memory, measure_memory
from .provenance import Provenance, provenance

PROTOCOL = "edgeau-bench-1"


def _silent(_: str) -> None:
    """No progress wanted."""


@dataclass(frozen=True)
class BenchOptions:
    """How long and what to measure.

    Attributes:
        warmup_s: calls before anything is timed, in seconds.
        seconds: timed calls of each candidate, all rounds together.
        rounds: how often to go round the candidates.
        min_samples: at least so many timed calls, however slow.
        memory: measure peak memory in a process of its own.
        energy: read the energy counters, where there are any.
    """

    warmup_s: float = 0.5
    seconds: float = 3.0
    rounds: int = 3
    min_samples: int = 30
    memory: bool = True
    energy: bool = True


@dataclass(frozen=True)
class Candidate:
    """Something to measure.

    Attributes:
        package, variant, precision: names that stand in the record.
        backend: name of the backend.
        file: what the backend loads.
        options: of the backend.
        inputs: uint8 [N, H, W, 3] by input name.
        onnx_file: the ONNX file to count parameters and MACs in; None for an engine whose ONNX is not at hand.
        data: what the inputs are.
        accuracy: figures of this variant on labelled data, made by the caller.
    """

    package: str
    variant: str
    precision: str
    backend: str
    file: Path
    options: BackendOptions
    inputs: Mapping[str, np.ndarray]
    onnx_file: Path | None = None
    data: str = ""
    accuracy: Callable[[Backend], dict[str, Any]] | None = None


@dataclass(frozen=True)
class Measurement:
    """One record: what was measured, how, on what, and every sample.

    Attributes:
        package, variant, precision, backend: what was measured.
        settings: of the backend: threads, provider, precision hint, version.
        threads, batch: CPU threads asked for (None: the library chose), and faces in a call.
        latency: wall time of one call with ``batch`` faces.
        throughput_per_s: faces a second, calls one after the other.
        load_ms, first_ms: time to open the backend, and of its first call.
        gpu_p50_ms: median time of the network alone on the GPU, by its own clock; None for backends without one.
        samples_ms: every timed call, in order.
        facts, memory, energy: None where not measured.
        accuracy: figures on labelled data, empty where none was given.
        device: its fingerprint, by which packages remember what measured best there.
        machine, state_before, state_after: of the device.
        provenance: versions, commit, date.
        warnings: what makes the figures doubtful.
        data: what the inputs were.
        options, protocol: how it was measured.
    """

    package: str
    variant: str
    precision: str
    backend: str
    settings: Mapping[str, Any]
    threads: int | None
    batch: int
    latency: Latency
    throughput_per_s: float
    load_ms: float | None
    first_ms: float
    samples_ms: tuple[float, ...]
    device: str
    machine: Machine
    state_before: MachineState
    state_after: MachineState
    provenance: Provenance
    options: BenchOptions
    gpu_p50_ms: float | None = None
    facts: ModelFacts | None = None
    memory: Memory | None = None
    energy: Energy | None = None
    accuracy: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    data: str = ""
    protocol: str = PROTOCOL

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; samples are rounded to 100 ns."""
        value = dataclasses.asdict(self)
        value["samples_ms"] = [round(sample, 4) for sample in self.samples_ms]
        value["latency"]["unstable"] = self.latency.unstable
        return value


@dataclass(frozen=True)
class Failure:
    """A candidate that can't be measured here, and why in one line."""

    package: str
    variant: str
    backend: str
    reason: str


def measure(backend: Backend, inputs: Mapping[str, np.ndarray], options: BenchOptions = BenchOptions()) -> Measurement:
    """Measure one backend that is already open; names, size and memory stay empty.

    Args:
        backend: an open backend.
        inputs: uint8 [N, H, W, 3] for every input.
        options: how long.
    """
    opened = _Opened(backend, inputs, load_ms=None)
    _run_rounds([opened], options)
    return opened.record(None, options, read_machine())


def measure_all(
    candidates: Sequence[Candidate],
    options: BenchOptions = BenchOptions(),
    progress: Callable[[str], None] = _silent,
) -> tuple[list[Measurement], list[Failure]]:
    """Measure candidates in rounds, interleaved.

    Args:
        candidates: what to measure.
        options: how.
        progress: called with a line of progress.

    Returns:
        Records in the order of the candidates, and those that could not be measured.
    """
    machine = read_machine()
    failures: list[Failure] = []
    records: list[Measurement] = []
    with contextlib.ExitStack() as stack:
        ready: list[tuple[Candidate, _Opened]] = []
        for candidate in candidates:
            try:
                ready.append((candidate, _open(candidate, stack)))
            except EdgeauError as error:
                failures.append(Failure(candidate.package, candidate.variant, candidate.backend, str(error)))
        _run_rounds([opened for _, opened in ready], options, progress)
        for candidate, opened in ready:
            progress(f"size, memory and accuracy of {candidate.variant} on {candidate.backend}")
            records.append(opened.record(candidate, options, machine))
    return records, failures


def _open(candidate: Candidate, stack: contextlib.ExitStack) -> _Opened:
    start = time.perf_counter()
    backend = open_backend(candidate.backend, candidate.file, candidate.options)
    load_ms = (time.perf_counter() - start) * 1e3
    stack.enter_context(backend)
    # A first call shows whether it runs at all, before the others are kept waiting for it.
    opened = _Opened(backend, candidate.inputs, load_ms, f"{candidate.variant} on {candidate.backend}")
    opened.first_ms = warm_up(opened.call, 0)
    return opened


def _run_rounds(opened: Sequence[_Opened], options: BenchOptions, progress: Callable[[str], None] = _silent) -> None:
    meter = find_meter() if options.energy else "not asked for"
    idle_w = idle_power_w(meter) if isinstance(meter, Meter) else 0.0
    for one in opened:
        one.meter, one.idle_w = meter, idle_w
        one.state_before = read_state()
    for number in range(options.rounds):
        for one in opened:
            progress(f"round {number + 1} of {options.rounds}: {one.label}")
            one.round(options)


class _Opened:
    """A backend that is being measured, with what was gathered so far."""

    def __init__(
        self, backend: Backend, inputs: Mapping[str, np.ndarray], load_ms: float | None, label: str = ""
    ) -> None:
        self.label = label or backend.name
        self.backend, self.inputs, self.load_ms = backend, inputs, load_ms
        self.first_ms: float | None = None
        self.samples: list[np.ndarray] = []
        self.meter: Meter | str = "not asked for"
        self.idle_w = self.joules = self.seconds = 0.0
        self.state_before = self.state_after = MachineState()

    def call(self) -> object:
        return self.backend.infer(self.inputs)

    def round(self, options: BenchOptions) -> None:
        first_ms = warm_up(self.call, options.warmup_s / options.rounds)
        self.first_ms = first_ms if self.first_ms is None else self.first_ms
        seconds, least = options.seconds / options.rounds, -(-options.min_samples // options.rounds)
        if isinstance(self.meter, Meter):
            with Sampler(self.meter) as sampler:
                self.samples.append(time_calls(self.call, seconds, least))
            self.joules += sampler.joules
            self.seconds += sampler.seconds
        else:
            self.samples.append(time_calls(self.call, seconds, least))
        self.state_after = read_state()

    def record(self, candidate: Candidate | None, options: BenchOptions, machine: Machine) -> Measurement:
        samples = np.concatenate(self.samples)
        times = latency(samples)
        batch = len(next(iter(self.inputs.values())))
        return Measurement(
            package=candidate.package if candidate else "",
            variant=candidate.variant if candidate else "",
            precision=candidate.precision if candidate else "",
            backend=self.backend.name,
            settings=dict(self.backend.settings),
            threads=self.backend.settings.get("threads"),
            batch=batch,
            latency=times,
            throughput_per_s=batch / times.mean_ms * 1e3,
            load_ms=self.load_ms,
            first_ms=self.first_ms or 0.0,
            samples_ms=tuple(samples.tolist()),
            device=fingerprint(),
            machine=machine,
            state_before=self.state_before,
            state_after=self.state_after,
            provenance=provenance(),
            options=options,
            gpu_p50_ms=_gpu_p50_ms(self.backend, batch),
            facts=_facts(candidate),
            memory=_memory(candidate) if candidate and options.memory else None,
            energy=self._energy(len(samples)),
            accuracy=candidate.accuracy(self.backend) if candidate and candidate.accuracy else {},
            warnings=_doubts(times, self.state_before, self.state_after, machine),
            data=candidate.data if candidate else "",
        )

    def _energy(self, calls: int) -> Energy:
        if isinstance(self.meter, Meter):
            return energy_of(self.meter, self.idle_w, self.joules, self.seconds, calls)
        return Energy(source=None, reason=self.meter)


def _gpu_p50_ms(backend: Backend, batch: int) -> float | None:
    clock = getattr(backend, "gpu_ms", None)
    return None if clock is None else float(np.median(clock(batch)))


def _facts(candidate: Candidate | None) -> ModelFacts | None:
    if candidate is None:
        return None
    size = candidate.file.stat().st_size
    if candidate.onnx_file is None:
        return ModelFacts(size_bytes=size)
    return dataclasses.replace(model_facts(candidate.onnx_file), size_bytes=size)


def _memory(candidate: Candidate) -> Memory:
    return measure_memory(candidate.backend, candidate.file, candidate.options, candidate.inputs)


def _doubts(times: Latency, before: MachineState, after: MachineState, machine: Machine) -> tuple[str, ...]:
    """What a reader should know before trusting the figures."""
    found = []
    if times.unstable:
        found.append(f"samples scatter by {times.cv:.0%} of their mean: the machine was busy or its clock moved")
    if times.samples < 100:
        found.append(f"p99 rests on {times.samples} samples")
    load = before.load_1m
    if load is not None and machine.cores and load > machine.cores:
        found.append(f"load was {load:g} on {machine.cores} CPUs before it began")
    if before.cpu_mhz and after.cpu_mhz and after.cpu_mhz < 0.9 * before.cpu_mhz:
        found.append(f"CPU clock fell from {before.cpu_mhz:.0f} to {after.cpu_mhz:.0f} MHz")
    if machine.is_jetson and before.clocks_locked is False:
        found.append("clocks are not locked; type: sudo jetson_clocks")
    return tuple(found)

"""One measurement as a record: what was measured, how, on what machine, and every sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeau.optimize.search.energy import Energy
from edgeau.runtime.machine import Machine
from edgeau.runtime.machine_state import MachineState
from edgeau.runtime.timing import Latency

from .memory import ColdStart, Memory
from .provenance import Provenance

PROTOCOL = "edgeau-bench-2"


@dataclass(frozen=True)
class ModelFacts:
    """The size and arithmetic of a model file.

    Attributes:
        size_bytes: of the file.
        parameters: weights and biases.
        macs: multiply-accumulates of one face (batch 1); None if the graph's shapes can't be inferred.
        macs_by_operator: the same, by operator type.
        uncounted: operator types in the graph that multiply matrices but are not counted here.
    """

    size_bytes: int
    parameters: int | None = None
    macs: int | None = None
    macs_by_operator: dict[str, int] = field(default_factory=dict)
    uncounted: tuple[str, ...] = ()


@dataclass(frozen=True)
class BenchOptions:
    """How long and what to measure.

    Attributes:
        warmup_s: limit of the warm-up of each candidate, which ends as soon as calls are no longer getting faster.
        seconds: limit of the timed calls of each candidate, all rounds together.
        precision: measuring ends earlier if every p50 is known to this share of itself (half its 95% interval).
        rounds: at least this many; p50 needs 10 for an interval.
        slice_s: timed seconds of a candidate in a round.
        memory: measure peak memory and cold start in a separate process.
        energy: read the energy counters, if there are any.
        seed: of the order of the candidates in each round.
        callers: numbers of threads that call at the same time, for throughput; empty measures none.
    """

    warmup_s: float = 1.0
    seconds: float = 3.0
    precision: float = 0.01
    rounds: int = 10
    slice_s: float = 0.1
    memory: bool = True
    energy: bool = True
    seed: int = 0
    callers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rounds:
    """What each round gave; the lists of all candidates of one run belong together, round by round.

    Attributes:
        p50_ms, min_ms: median and fastest call of each round.
        yardstick_ms: fastest run of a fixed computation in the same round: how fast the machine was.
    """

    p50_ms: tuple[float, ...]
    min_ms: tuple[float, ...]
    yardstick_ms: tuple[float, ...]


@dataclass(frozen=True)
class Measurement:
    """One record.

    Attributes:
        package, variant, precision, backend: what was measured.
        settings: of the backend: threads, provider, precision hint, version.
        threads, batch: CPU threads that were requested (None: the library chose), and faces per call.
        latency: wall time of one call with ``batch`` faces.
        rounds: times by round, for comparisons.
        throughput_per_s: faces per second, calls one after the other.
        load_ms, first_ms: time to open the backend, and of its first call.
        gpu_p50_ms: median time of the network alone on the GPU, by its own clock; None for backends without one.
        samples_ms: every timed call, in order.
        facts, memory, energy, cold_start: None if not measured.
        concurrency: faces per second by the number of callers, as text.
        accuracy: figures on labelled data, empty if there was none.
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
    rounds: Rounds
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
    cold_start: ColdStart | None = None
    concurrency: dict[str, float] = field(default_factory=dict)
    accuracy: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    data: str = ""
    protocol: str = PROTOCOL

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; times are rounded to 100 ns."""
        value = dataclasses.asdict(self)
        value["samples_ms"] = [round(sample, 4) for sample in self.samples_ms]
        value["rounds"] = {key: [round(ms, 4) for ms in times] for key, times in value["rounds"].items()}
        return value


@dataclass(frozen=True)
class Failure:
    """A candidate that can't be measured here, and the reason in one line."""

    package: str
    variant: str
    backend: str
    reason: str

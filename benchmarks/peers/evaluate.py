"""Measures a package and its peers in the same rounds, after comparing what they compute."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.benchmarks.candidates import candidates_of
from edgeau.benchmarks.claims.networks import Network
from edgeau.benchmarks.comparison import Ratio, paired
from edgeau.benchmarks.macs import model_facts
from edgeau.benchmarks.measurement import BenchOptions
from edgeau.benchmarks.rounds import Runner, run_rounds
from edgeau.optimize.variants import float_variant
from edgeau.runtime.backends import Backend, BackendOptions, open_backend
from edgeau.runtime.errors import InputError
from edgeau.runtime.package import Package
from edgeau.runtime.report import Report, silent
from edgeau.runtime.timing import Latency

from .peer import Peer
from .tool_networks import TOOLS

# A peer whose probabilities are further off than this from FP32's does other work; bfloat16 stays below it.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Entry:
    """One line of the comparison.

    Attributes:
        title: what runs.
        kind: ``edgeau``, ``peer`` (the same FP32 file) or ``tool`` (a published AU tool's architecture at its input).
        settings: of what runs.
        latency: wall time of one call with one face.
        rounds_p50_ms: p50 of each round.
        versus: its time over that of edgeau's fastest entry, by round.
        max_error: largest difference of a probability from FP32 in ONNX Runtime; None for tools.
        parameters, macs: of the network; None if unknown.
        load_ms, first_ms: time to open it, and of its first call, which may compile.
    """

    title: str
    kind: str
    settings: dict[str, Any]
    latency: Latency
    rounds_p50_ms: tuple[float, ...]
    versus: Ratio
    max_error: float | None
    parameters: int | None
    macs: int | None
    load_ms: float
    first_ms: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**dataclasses.asdict(self), "versus": self.versus.to_json()}


@dataclass(frozen=True)
class Absent:
    """A peer that was not measured here, and why."""

    title: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """What was measured in one run.

    Attributes:
        entries: fastest first.
        absent: what could not be measured here.
        interrupted: whether the user ended it early; the entries are of the whole rounds until then.
    """

    entries: list[Entry]
    absent: list[Absent]
    interrupted: bool


@dataclass(frozen=True)
class _Opened:
    title: str
    kind: str
    runner: Runner
    max_error: float | None
    parameters: int | None
    macs: int | None


def evaluate(
    package: Package,
    peers: Sequence[Peer],
    options: BenchOptions,
    threads: int | None = 1,
    tools: Sequence[str] = tuple(TOOLS),
    progress: Report = silent,
) -> Comparison:
    """Measure every variant of a package on edgeau's backends, its FP32 file on each peer, and the tools' networks.

    Args:
        package: its FP32 variant is what the peers run.
        peers: which of them.
        options: how long.
        threads: CPU threads, None for each library's own number; peers with ``own_threads`` ignore it.
        tools: names in TOOLS.
        progress: called with a line of progress.

    If the user interrupts it after a whole round, what was measured until then is returned.

    Raises:
        InputError: no variant of the package runs here.
    """
    inputs = _noise({spec.name: (spec.height, spec.width, 3) for spec in package.manifest.inputs})
    file = package.file(float_variant(package.manifest))
    with open_backend("onnxruntime", file, BackendOptions(threads=threads)) as reference:
        expected = reference.infer(inputs)["au"]
    opener = _Opener(expected, inputs, progress)
    with opener.stack, tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        _open_edgeau(opener, package, threads)
        if not opener.opened:
            raise InputError(package.manifest.name, got="no variant that runs here", expected="one or more")
        facts = model_facts(file)
        for peer in peers:
            opener.add(peer.title, "peer", lambda p=peer: p.open(file, threads), facts, peer.install)  # type: ignore[misc]
        for name in tools:
            _open_tool(opener, *TOOLS[name], Path(folder), threads, len(package.manifest.aus))
        finished = run_rounds([each.runner for each in opener.opened], options, progress)
        return Comparison(_entries(opener.opened), opener.absent, interrupted=not finished)


class _Opener:
    """Opens what is to be measured; what can't be opened is noted with its reason."""

    def __init__(self, expected: np.ndarray, inputs: dict[str, np.ndarray], progress: Report) -> None:
        self.opened: list[_Opened] = []
        self.absent: list[Absent] = []
        self.stack = contextlib.ExitStack()
        self._expected, self._inputs, self._progress = expected, inputs, progress

    def add(
        self,
        title: str,
        kind: str,
        opened: Callable[[], Backend],
        facts: Any,
        install: str = "",
        inputs: dict[str, np.ndarray] | None = None,
    ) -> None:
        """Open one; ``inputs`` other than the package's mean that its outputs are not compared."""
        self._progress(f"open {title}")
        try:
            runner, error = self._run(title, opened, inputs)
        except ImportError as problem:
            self.absent.append(Absent(title, f"{problem.name or problem} is not installed; type: {install}"))
        except Exception as problem:  # noqa: BLE001 - a foreign library may raise anything; the reason is reported
            self.absent.append(Absent(title, (str(problem).strip() or type(problem).__name__).splitlines()[0][:300]))
        else:
            if kind == "peer" and error is not None and not error <= TOLERANCE:
                self.absent.append(Absent(title, f"computes something else: probabilities are up to {error:.2f} off"))
                return
            self.opened.append(_Opened(title, kind, runner, error, facts.parameters, facts.macs))

    def _run(
        self, title: str, opened: Callable[[], Backend], inputs: dict[str, np.ndarray] | None
    ) -> tuple[Runner, float | None]:
        start = time.perf_counter()
        backend = self.stack.enter_context(opened())
        load_ms = (time.perf_counter() - start) * 1e3
        runner = Runner(backend, inputs or self._inputs, load_ms, title)
        if inputs is not None:
            return runner, None
        return runner, float(np.abs(backend.infer(self._inputs)["au"] - self._expected).max())


def _open_edgeau(opener: _Opener, package: Package, threads: int | None) -> None:
    candidates, failures = candidates_of(package, threads=(threads,))
    for each in candidates:
        facts = model_facts(each.onnx_file) if each.onnx_file else None
        title = f"edgeau, {each.variant} on {each.backend}"
        opener.add(title, "edgeau", lambda c=each: open_backend(c.backend, c.file, c.options), facts)  # type: ignore[misc]
    opener.absent.extend(Absent(f"edgeau, {each.variant} on {each.backend}", each.reason) for each in failures)


def _open_tool(opener: _Opener, tool: str, network: Network, folder: Path, threads: int | None, aus: int) -> None:
    file = folder / f"{network.name}.onnx"
    network.save(file, aus)
    inputs = _noise({"face": (network.size_px, network.size_px, 3)})
    title = f"{tool}'s {network.title}, {network.size_px} px, in ONNX Runtime"
    options = BackendOptions(threads=threads)
    opener.add(title, "tool", lambda: open_backend("onnxruntime", file, options), model_facts(file), inputs=inputs)


def _noise(shapes: dict[str, tuple[int, int, int]]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.integers(0, 256, (1, *shape), np.uint8) for name, shape in shapes.items()}


def _entries(opened: Sequence[_Opened]) -> list[Entry]:
    medians = {id(each): each.runner.rounds().p50_ms for each in opened}
    ours = [each for each in opened if each.kind == "edgeau"]
    best = min(ours, key=lambda each: each.runner.latency().p50_ms)
    entries = [
        Entry(
            title=each.title,
            kind=each.kind,
            settings=dict(each.runner.backend.settings),
            latency=each.runner.latency(),
            rounds_p50_ms=medians[id(each)],
            versus=paired(medians[id(each)], medians[id(best)]),
            max_error=each.max_error,
            parameters=each.parameters,
            macs=each.macs,
            load_ms=each.runner.load_ms or 0.0,
            first_ms=each.runner.first_ms,
        )
        for each in opened
    ]
    return sorted(entries, key=lambda entry: entry.latency.p50_ms)

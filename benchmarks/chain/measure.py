"""Times the steps of the chain in rounds of random order, in a process that has everything imported."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.benchmarks.macs import model_facts
from edgeau.benchmarks.rounds import yardstick_ms
from edgeau.runtime.errors import EdgeauError

from . import worker
from .steps import MODELS, OUT, Point, package, points, preparations

Progress = Callable[[str], None]
_END_WITHIN_S = 10


@dataclass(frozen=True)
class Times:
    """Seconds of one point by round: wall time, and CPU time of all its processes."""

    point: Point
    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]


@dataclass(frozen=True)
class SkippedStep:
    """What could not be timed here, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Chain:
    """What was measured.

    Attributes:
        times: of each point that completed at least one round.
        absent: the others.
        macs: multiply-adds of one face, by model.
        yardstick_ms: fastest run of a fixed computation in each round: how fast the machine was.
        interrupted: whether the user ended it before the last round.
    """

    times: tuple[Times, ...]
    absent: tuple[SkippedStep, ...]
    macs: Mapping[str, int]
    yardstick_ms: tuple[float, ...]
    interrupted: bool


def measure(steps: Sequence[str], rounds: int, progress: Progress = lambda _: None, tree: Path | None = None) -> Chain:
    """Prepare what the steps need, run each once untimed, then time all of them once per round, in random order.

    Args:
        steps: names in `steps.STEPS`.
        rounds: how often; of each point every time is kept.
        progress: called with a line of progress.
        tree: folder that holds the package ``edgeau`` to run, if not the one of this process.

    If the user interrupts it, the times until then are kept, and `Chain.interrupted` is set; before the first round
    KeyboardInterrupt is raised.
    """
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder, _started(Path(folder), tree) as process:
        bench = _Bench(Path(folder), process, progress)
        ready = bench.prepare([point for point in points() if point.step in steps])
        interrupted = False
        try:
            for number in range(1, rounds + 1 if ready else 1):
                bench.round(ready, number)
        except KeyboardInterrupt:
            if not bench.has_times():
                raise
            interrupted = True
        times = [bench.times(point) for point in ready if bench.has_times(point)]
        return Chain(tuple(times), tuple(bench.absent), bench.macs(), tuple(bench.yardstick_ms), interrupted)


@dataclass
class _Bench:
    """The working folder, the process, and the times so far."""

    folder: Path
    process: subprocess.Popen[str]
    progress: Progress
    absent: list[SkippedStep] = field(default_factory=list)
    yardstick_ms: list[float] = field(default_factory=list)
    _answers: dict[Point, list[dict[str, Any]]] = field(default_factory=dict)

    def prepare(self, selected: Sequence[Point]) -> list[Point]:
        """Make what the points need; return those that run here, after one untimed run of each step."""
        reasons: dict[str, str] = {}
        for each in preparations({name for point in selected for name in point.needs}):
            self.progress(f"prepare {each.makes}")
            answer = self._ask(each.words)
            if answer["code"]:
                reasons[each.makes] = _reason(answer)
        ready: list[Point] = []
        tried: dict[str, str] = {}
        for point in selected:
            missing = next((name for name in point.needs if not (self.folder / name).exists()), None)
            if missing is not None:
                reason = f"needs {missing}, which could not be made: {reasons.get(missing, 'what it needs is missing')}"
            else:
                if point.step not in tried:
                    self.progress(f"first run of {point.step}")
                    tried[point.step] = self._run(point)["error"]
                reason = tried[point.step]
            if reason:
                self.absent.append(SkippedStep(point.name, reason))
            else:
                ready.append(point)
        return ready

    def round(self, ready: Sequence[Point], number: int) -> None:
        """Time each point once."""
        self.progress(f"round {number}, commands: {len(ready)}")
        self.yardstick_ms.append(yardstick_ms())
        for at in np.random.default_rng(number).permutation(len(ready)):
            answer = self._run(ready[at])
            if answer["error"]:
                raise EdgeauError(f"{ready[at].name} failed in round {number}: {answer['error']}")
            self._answers.setdefault(ready[at], []).append(answer)

    def has_times(self, point: Point | None = None) -> bool:
        """Whether a round got as far as this point, or as any."""
        return bool(self._answers) if point is None else point in self._answers

    def times(self, point: Point) -> Times:
        """All rounds of a point."""
        answers = self._answers[point]
        return Times(point, tuple(each["wall_s"] for each in answers), tuple(each["cpu_s"] for each in answers))

    def macs(self) -> dict[str, int]:
        """Multiply-adds of the models whose packages exist."""
        files = {model: self.folder / package(model) / "fp32.onnx" for model in MODELS}
        counts = {model: model_facts(file).macs for model, file in files.items() if file.is_file()}
        return {model: count for model, count in counts.items() if count is not None}

    def _run(self, point: Point) -> dict[str, Any]:
        """Run a point once; its ``error`` is "" if it succeeded. What it wrote is removed."""
        out = self.folder / "out"
        if point.copies:
            shutil.copytree(self.folder / point.copies, out)
        try:
            answer = self._ask([word.replace(OUT, out.name) for word in point.words])
        finally:
            _remove(out)
        return {**answer, "error": _reason(answer)}

    def _ask(self, words: Sequence[str]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(list(words)) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise EdgeauError(f"the process that runs `edgeau {words[0]}` ended, exit code {self.process.wait()}")
        return dict(json.loads(line))


def _reason(answer: dict[str, Any]) -> str:
    """Why a command failed; "" if it did not."""
    if not answer["code"]:
        return ""
    return str(answer["said"]).removeprefix("edgeau: ") or f"exit code {answer['code']}"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _started(folder: Path, tree: Path | None) -> Iterator[subprocess.Popen[str]]:
    """The process that runs the commands, in a session of its own: Ctrl-C reaches this process only, which ends it."""
    environment = {**os.environ, **({} if tree is None else {"PYTHONPATH": str(tree)})}
    process = subprocess.Popen(
        [sys.executable, worker.__file__],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

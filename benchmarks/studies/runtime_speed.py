"""How fast the runtime is as a whole: a clip in, action units out, beside a plain script in the same rounds.

    python -m edgeau.benchmarks.studies.runtime_speed CLIP [--yunet FILE] [-p PACKAGE] [--rounds 5] -o OUT

Every figure is taken once per round, in turns, each in a process of its own; the table has the median over rounds and
the lowest and highest. Ratios are medians of the ratios by round. Writes OUT.md and OUT.json.

The plain script (plain_script.py) reads with OpenCV, runs YuNet on every whole frame, and the package's FP32 file on
ONNX Runtime, all with their defaults.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edgeau.benchmarks.provenance import provenance
from edgeau.runtime.detect import YUNET_VARIABLE, yunet_file
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.files import write_json, write_text
from edgeau.runtime.machine import read_machine
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.terminal import note, say

PLAIN = Path(__file__).with_name("plain_script.py")
WARM_UP_FRAMES = 50
LONGER = 4
# What the runtime needs, besides their small dependencies.
INSTALLED = ("numpy", "onnxruntime", "opencv-python-headless", "opencv-python", "openvino")

STREAM = """
import json, sys, time
started = time.perf_counter()
from edgeau.runtime import load
analyzer = load(sys.argv[2])
finished, times = [], []
for _, faces in analyzer.stream(sys.argv[1]):
    finished.append(time.perf_counter())
    times.append(faces.times)
stages = {}
for name in ("read_ms", "detect_ms", "crop_ms", "infer_ms"):
    values = sorted(getattr(each, name) for each in times[WARM_UP:])
    stages[name] = values[len(values) // 2]
print(json.dumps({
    "first_result_s": finished[0] - started,
    "steady_per_s": (len(finished) - WARM_UP) / (finished[-1] - finished[WARM_UP - 1]),
    "stages": stages,
}))
""".replace("WARM_UP", str(WARM_UP_FRAMES))

CALLS = """
import json, sys, time
import numpy as np, onnxruntime as ort
from edgeau.runtime import load
analyzer = load(sys.argv[1], variant="fp32", backend="onnxruntime", threads=1)
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(sys.argv[2], options)
crop = np.random.default_rng(0).integers(0, 256, (1, 112, 112, 3), np.uint8)
inputs = {value.name: crop for value in session.get_inputs()}
def slice_ms(call):
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < 0.1:
        call()
        count += 1
    return (time.perf_counter() - started) / count * 1e3
calls = (lambda: analyzer.analyse_crops(crop), lambda: session.run(None, inputs))
pairs = [[slice_ms(call) for call in calls] for _ in range(8)]
ours, bare = (sorted(values)[len(values) // 2] for values in zip(*pairs[1:]))
print(json.dumps({"crop_ms": ours, "bare_ms": bare}))
"""


@dataclass(frozen=True)
class Child:
    """A process that ended.

    Attributes:
        seconds: wall time from its start to its end.
        peak_mb: its largest resident memory.
        printed: the JSON on its standard output; empty if there is none.
    """

    seconds: float
    peak_mb: float
    printed: dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name, unit: what it is.
        values: one per round.
        goal: limit, None if there is none.
        at_least: whether the goal is a lower limit.
    """

    name: str
    unit: str
    values: Sequence[float]
    goal: float | None = None
    at_least: bool = False

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        met = self.median >= self.goal if self.at_least else self.median <= self.goal
        return f"{'at least' if self.at_least else 'at most'} {self.goal:g}: {'met' if met else '**missed**'}"


def spawn(command: Sequence[str | os.PathLike[str]], environment: dict[str, str]) -> Child:
    """Run a command to its end. Raises InputError if it fails."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen([os.fspath(part) for part in command], stdout=out, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        text = out.read().strip()
        if process.returncode != 0:
            raise InputError(f"{command[1]}", got=f"exit code {process.returncode}: {errors.read()[-300:]}")
    return Child(seconds, usage.ru_maxrss / 1024, json.loads(text) if text.startswith("{") else {})


def measure(clip: Path, package: Path, yunet: Path, rounds: int) -> tuple[list[Figure], dict[str, float]]:
    """All figures, and the median time of each stage in milliseconds."""
    environment = {**os.environ, YUNET_VARIABLE: str(yunet)}
    for name in ("OMP_NUM_THREADS", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    model = Package.open(package).path / "fp32.onnx"
    frames = 0
    results: dict[str, list[Child]] = {}
    with tempfile.TemporaryDirectory() as folder:
        rows, longer = Path(folder) / "rows.csv", Path(folder) / "longer.avi"
        frames = repeat(clip, longer, LONGER)
        run = [sys.executable, "-m", "edgeau.runtime", "run", clip, "-p", package, "-o", rows]
        commands: dict[str, list[Any]] = {
            "run": run,
            "plain": [sys.executable, PLAIN, clip, model, yunet, rows],
            "stream": [sys.executable, "-c", STREAM, clip, package],
            "calls": [sys.executable, "-c", CALLS, package, model],
            # `import edgeau.runtime` alone imports next to nothing until a name is used.
            "import edgeau": [sys.executable, "-c", "from edgeau.runtime import load"],
            "import cv2": [sys.executable, "-c", "import numpy, cv2"],
            "longer": [*run[:4], longer, *run[5:]],
        }
        environment["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "compiled")
        # The first round compiles Python's files, as an installation does, and does not count.
        for number in range(rounds + 1):
            note(f"round {number} of {rounds}")
            for name, command in commands.items():
                rows.unlink(missing_ok=True)
                results.setdefault(name, []).append(spawn(command, environment))
    results = {name: children[1:] for name, children in results.items()}
    return figures(results, frames), stages(results["stream"])


def figures(results: dict[str, list[Child]], frames: int) -> list[Figure]:
    """The lines of the table, from the processes of each round by name."""

    def each(name: str, value: Callable[[Child], float]) -> list[float]:
        return [value(child) for child in results[name]]

    def over(one: list[float], other: list[float]) -> list[float]:
        return [a / b for a, b in zip(one, other, strict=True)]

    ours, bare = (each("calls", _printed(name)) for name in ("crop_ms", "bare_ms"))
    whole, plain = (each(name, lambda child: frames / child.seconds) for name in ("run", "plain"))
    steady, plain_steady = (each(name, lambda child: child.printed["steady_per_s"]) for name in ("stream", "plain"))
    imports = [each(f"import {name}", lambda child: child.seconds) for name in ("edgeau", "cv2")]
    peaks = {name: each(name, lambda child: child.peak_mb) for name in ("run", "longer", "plain")}
    return [
        Figure("`edgeau run`, whole process", "frames/s", whole, 300, at_least=True),
        Figure("plain script, whole process", "frames/s", plain),
        Figure("ratio", "", over(whole, plain)),
        Figure("`analyzer.stream`, steady", "frames/s", steady, 600, at_least=True),
        Figure("plain script, steady", "frames/s", plain_steady),
        Figure("ratio", "", over(steady, plain_steady)),
        Figure("import and `load` to the first result", "s", each("stream", _printed("first_result_s")), 0.4),
        Figure("`analyse_crops` of one crop", "ms", ours),
        Figure("ratio to the bare call of ONNX Runtime", "", over(ours, bare), 1.10),
        Figure("`from edgeau.runtime import load`, ratio to `import numpy, cv2`", "", over(*imports), 1.3),
        Figure(f"peak memory of `run`, {frames} frames", "MB", peaks["run"], 200),
        Figure(f"peak memory of `run`, {LONGER * frames} frames", "MB", peaks["longer"], 200),
        Figure("peak memory of the plain script", "MB", peaks["plain"]),
    ]


def _printed(name: str) -> Callable[[Child], float]:
    return lambda child: float(child.printed[name])


def stages(children: Sequence[Child]) -> dict[str, float]:
    """Median over rounds of each stage's median in milliseconds."""
    names = children[0].printed["stages"]
    return {name: statistics.median(child.printed["stages"][name] for child in children) for name in names}


def repeat(clip: Path, out: Path, times: int) -> int:
    """Write a clip several times in a row, as Motion JPEG. Returns the frames of one."""
    import cv2

    capture, writer, frames = cv2.VideoCapture(str(clip)), None, 0
    images = []
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        images.append(cv2.imencode(".jpg", frame)[1])
    frames = len(images)
    if not frames:
        raise InputError(f"clip {clip}", got="no frame that decodes")
    for data in images * times:
        frame = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if writer is None:
            writer = cv2.VideoWriter(str(out), cv2.VideoWriter_fourcc(*"MJPG"), 25, frame.shape[1::-1])
        writer.write(frame)
    assert writer is not None
    writer.release()
    return frames


def installed_mb() -> dict[str, float]:
    """Megabytes on disk of the runtime's dependencies that are installed here, by distribution."""
    sizes = {}
    for name in INSTALLED:
        try:
            files = metadata.files(name) or ()
        except metadata.PackageNotFoundError:
            continue
        paths = (Path(str(file.locate())) for file in files)
        sizes[name] = sum(path.stat().st_size for path in paths if path.is_file()) / 1e6
    return sizes


def markdown(table: Sequence[Figure], times: dict[str, float], sizes: dict[str, float], where: str) -> str:
    lines = [
        "# Speed of the runtime",
        "",
        where,
        "",
        "| | median | lowest to highest | goal |",
        "| --- | ---: | ---: | --- |",
    ]
    for figure in table:
        low, high = min(figure.values), max(figure.values)
        middle, spread = f"{_text(figure.median)} {figure.unit}".strip(), f"{_text(low)} to {_text(high)}"
        lines.append(f"| {figure.name} | {middle} | {spread} | {figure.verdict} |")
    lines += ["", "Median time of each stage in `analyzer.stream`, which overlap, in milliseconds: "]
    lines[-1] += ", ".join(f"{name[:-3]} {value:.2f}" for name, value in times.items()) + "."
    lines += ["", "Installed: " + ", ".join(f"{name} {size:.0f} MB" for name, size in sizes.items()) + "."]
    return "\n".join(lines) + "\n"


def _text(value: float) -> str:
    return f"{value:.0f}" if value >= 50 else f"{value:.2f}"


def main(arguments: list[str] | None = None) -> int:
    """Measure, write the files, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, help="a video with one face or more")
    parser.add_argument("-p", "--package", type=Path, default=shipped_package(), help="default: the one that ships")
    parser.add_argument("--yunet", type=Path, help=f"YuNet's file (default: {YUNET_VARIABLE}, else the cache)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("-o", "--out", type=Path, required=True, help="path without suffix")
    args = parser.parse_args(arguments)
    try:
        yunet = args.yunet or yunet_file()
        if yunet is None:
            raise InputError("YuNet", got="no file", hint="run `edgeau doctor --fetch-detector`, or give --yunet")
        table, times = measure(args.clip, args.package, yunet, args.rounds)
    except EdgeauError as error:
        note(f"runtime_speed: {error}")
        return 2
    machine, sizes = read_machine(), installed_mb()
    where = f"{args.clip.name}, {args.rounds} rounds, {machine.cpu}, {os.cpu_count()} cores."
    value = {
        "figures": [{**dataclasses.asdict(figure), "median": figure.median} for figure in table],
        "stages_ms": times,
        "installed_mb": sizes,
        "machine": dataclasses.asdict(machine),
        "provenance": dataclasses.asdict(provenance()),
    }
    text = markdown(table, times, sizes, where)
    write_json(args.out.with_suffix(".json"), value)
    write_text(args.out.with_suffix(".md"), text)
    say(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

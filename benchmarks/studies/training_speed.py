"""Images per second of a training step (forward, backward, optimiser) in fp32 and in bf16, and their ratio.

    python -m edgeau.benchmarks.studies.training_speed -o OUT.json
    python -m edgeau.benchmarks.studies.training_speed --model fan-trans-m --threads 1,2 --batch 64 -o OUT.json

A short and a long `edgeau train --one-batch` are compared, so that start-up and data do not count. Precisions alternate
in each round, and the figure of a model is the median of its rounds. Images per second of CPU time do not depend on how
busy the machine is, images per second of wall time do; both are given.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeau.runtime.device import cpu_model
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.files import write_json
from edgeau.runtime.terminal import note, say

MODELS = ("cednn-s", "cednn-m", "fan-trans-s")
PRECISIONS = ("fp32", "bf16")
DATA = "synthetic:subjects=4,frames=8,seed=1"


@dataclass(frozen=True)
class Steps:
    """How long runs are: the long one's steps beyond the short one's are what is timed."""

    short: int = 2
    long: int = 8
    batch: int = 32


def measure(model: str, threads: int, rounds: int, steps: Steps) -> dict[str, Any]:
    """Median images per second by precision, and bf16's over fp32's. Raises EdgeauError where training fails."""
    samples = [{name: _images_per_s(model, name, threads, steps) for name in PRECISIONS} for _ in range(rounds)]
    figures: dict[str, Any] = {"model": model, "threads": threads, "batch": steps.batch, "rounds": samples}
    for clock in ("cpu", "wall"):
        for precision in PRECISIONS:
            figures[f"{precision}_images_per_{clock}_s"] = _median([sample[precision][clock] for sample in samples])
        ratios = [_ratio(sample["bf16"][clock], sample["fp32"][clock]) for sample in samples]
        figures[f"bf16_over_fp32_{clock}"] = _median(ratios)
    return figures


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _ratio(over: float | None, under: float | None) -> float | None:
    return over / under if over is not None and under is not None else None


def _images_per_s(model: str, precision: str, threads: int, steps: Steps) -> dict[str, float | None]:
    """By clock; None where the long run took no longer than the short one, on a machine busy with other things."""
    short, long = (_run(model, precision, threads, count, steps.batch) for count in (steps.short, steps.long))
    images = (steps.long - steps.short) * steps.batch
    spent = {clock: long[clock] - short[clock] for clock in ("cpu", "wall")}
    return {clock: images / seconds if seconds > 0 else None for clock, seconds in spent.items()}


def _run(model: str, precision: str, threads: int, steps: int, batch: int) -> dict[str, float]:
    """Seconds of CPU and wall time of one whole run."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["--model", model, "--data", DATA, "--out", f"{folder}/run", "--device", "cpu", "--one-batch"]
        words += ["--steps", str(steps), "--batch", str(batch), "--precision", precision, "--val", "0", "--test", "0"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
        cpu, wall = _children_s(), time.perf_counter()
        command = [sys.executable, "-m", "edgeau.runtime", "train", *words]
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise EdgeauError(f"training {model} failed: {done.stderr.strip().splitlines()[-1]}")
        return {"cpu": _children_s() - cpu, "wall": time.perf_counter() - wall}


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(results: Sequence[dict[str, Any]]) -> str:
    """A Markdown table, a line per model and number of threads."""
    lines = ["| model | threads | fp32, images per CPU s | bf16 | ratio | fp32, images per s | bf16 | ratio |"]
    lines.append("|" + "---|" * 8)
    for result in results:
        cells = [result["model"], str(result["threads"])]
        for clock in ("cpu", "wall"):
            cells += [_cell(result[f"{precision}_images_per_{clock}_s"], 0) for precision in PRECISIONS]
            cells.append(_cell(result[f"bf16_over_fp32_{clock}"], 2))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help=f"preset; may be repeated (default: {', '.join(MODELS)})")
    parser.add_argument("--threads", default="1", help="numbers separated by commas (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default %(default)s")
    parser.add_argument("--batch", type=int, default=Steps.batch, help="images per step (default %(default)s)")
    parser.add_argument("--steps", type=int, default=Steps.long - Steps.short, help="timed (default %(default)s)")
    parser.add_argument("-o", "--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(arguments)
    steps = Steps(long=Steps.short + args.steps, batch=args.batch)
    counts = [int(count) for count in args.threads.split(",")]
    try:
        results = [measure(m, count, args.rounds, steps) for m in args.model or MODELS for count in counts]
    except EdgeauError as error:
        note(f"training_speed: {error}")
        return 2
    machine = {"cpu": cpu_model(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    write_json(args.out, {"machine": machine, "results": results})
    say(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())

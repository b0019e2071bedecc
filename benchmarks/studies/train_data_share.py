"""The share of a training step that is spent on preparing batches.

    python -m edgeau.benchmarks.studies.train_data_share --data faces --model cednn-m --out share.json

The difference between a long and a short `edgeau train` gives a step's CPU and wall time without start-up and
validation; the run itself reports the CPU time of the threads that prepare batches, and how long training waited for
them. CPU time counts all threads (idle ones sleep: OMP_WAIT_POLICY), so its share also holds on a machine that is
shared with others; wall time does not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from edgeau.runtime.files import write_json
from edgeau.runtime.terminal import emit_json

_SHORT, _LONG = 5, 35


def main() -> None:
    """Measure, print JSON and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a crop set from `edgeau synth`")
    parser.add_argument("--model", action="append", help="preset; may be repeated (default: cednn-s, cednn-m)")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", help="also write the JSON there")
    args = parser.parse_args()
    models = args.model or ["cednn-s", "cednn-m"]
    result = {
        "what": "share of a training step that is spent on data",
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "load_before": os.getloadavg()[0]},
        "threads": args.threads,
        "batch": args.batch,
        "python": platform.python_version(),
        "models": {model: _measure(model, args) for model in models},
    }
    emit_json(result)
    if args.out:
        write_json(args.out, result)


def _measure(model: str, args: argparse.Namespace) -> dict[str, Any]:
    rounds = [_step(model, args) for _ in range(args.repeats)]
    median = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    return {
        "rounds": rounds,
        "cpu_share": round(median["data_cpu_ms"] / median["step_cpu_ms"], 4),
        "waiting_share": round(median["waited_ms"] / median["step_wall_ms"], 4),
    }


def _step(model: str, args: argparse.Namespace) -> dict[str, float]:
    """Times of one step in milliseconds."""
    short, long = (_run(model, args, steps) for steps in (_SHORT, _LONG))
    per_step = {name: round((long[name] - short[name]) / (_LONG - _SHORT) * 1000, 2) for name in ("cpu", "wall")}
    return {
        "step_cpu_ms": per_step["cpu"],
        "step_wall_ms": per_step["wall"],
        "data_cpu_ms": long["data_cpu_ms"],
        "waited_ms": long["waited_ms"],
    }


def _run(model: str, args: argparse.Namespace, steps: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        words = ["--model", model, "--data", args.data, "--out", f"{folder}/run", "--device", "cpu", "--json"]
        words += ["--steps", str(steps), "--eval-every", "1000000", "--val", "0", "--test", "0.01"]
        command = [sys.executable, "-m", "edgeau.train.commands.train", *words, "--batch", str(args.batch)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "OMP_WAIT_POLICY": "PASSIVE"}
        cpu, wall = _children_s(), time.perf_counter()
        done = subprocess.run(command, env=environment, check=True, capture_output=True)
        spent = {"cpu": _children_s() - cpu, "wall": time.perf_counter() - wall}
        data = json.loads(done.stdout)["data_ms"]
        return {**spent, "data_cpu_ms": data["cpu"], "waited_ms": data["waited"]}


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()

"""How much of a training step goes into making the data: augmented batches against one batch used over and over.

    python benchmarks/train_data_share.py --data faces --model cednn-m --out benchmarks/results/train_data_share.json

Each figure is the difference of a long and a short `edgeau train`, which leaves start-up and validation out. CPU time
counts what all threads used (idle ones sleep: OMP_WAIT_POLICY), so it holds on a machine that others use too; wall time
does not.
"""

from __future__ import annotations

import argparse
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

from edgeau.runtime.cli import emit_json
from edgeau.runtime.files import write_json

_SHORT, _LONG = 10, 70


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a crop set from `edgeau synth`")
    parser.add_argument("--model", action="append", help="preset; may be repeated (default cednn-s, cednn-m)")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", help="also write the JSON there")
    args = parser.parse_args()
    models = args.model or ["cednn-s", "cednn-m"]
    found = {
        "what": "share of a training step that data costs",
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "load_before": os.getloadavg()[0]},
        "threads": args.threads,
        "batch": args.batch,
        "python": platform.python_version(),
        "models": {model: _measure(model, args) for model in models},
    }
    emit_json(found)
    if args.out:
        write_json(args.out, found)


def _measure(model: str, args: argparse.Namespace) -> dict[str, Any]:
    rounds = [
        {name: _step(model, args, more) for name, more in (("data", []), ("one_batch", ["--one-batch"]))}
        for _ in range(args.repeats)
    ]
    result: dict[str, Any] = {"rounds": rounds}
    for clock in ("cpu_ms", "wall_ms"):
        with_data, without = (statistics.median(r[name][clock] for r in rounds) for name in ("data", "one_batch"))
        result[clock] = {"with_data": with_data, "one_batch": without, "share": round(1 - without / with_data, 4)}
    return result


def _step(model: str, args: argparse.Namespace, more: list[str]) -> dict[str, float]:
    """CPU and wall time of one step in milliseconds, from a long run less a short one."""
    short, long = (_run(model, args, steps, more) for steps in (_SHORT, _LONG))
    steps = _LONG - _SHORT
    return {name: round((long[name] - short[name]) / steps * 1000, 2) for name in long}


def _run(model: str, args: argparse.Namespace, steps: int, more: list[str]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        words = ["--model", model, "--data", args.data, "--out", str(Path(folder) / "run"), "--device", "cpu"]
        words += ["--steps", str(steps), "--eval-every", "1000000", "--val", "0", "--test", "0.01"]
        command = [sys.executable, "-m", "edgeau.train.commands.train", *words, "--batch", str(args.batch), *more]
        environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "OMP_WAIT_POLICY": "PASSIVE"}
        cpu, wall = _children_s(), time.perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return {"cpu_ms": _children_s() - cpu, "wall_ms": time.perf_counter() - wall}


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

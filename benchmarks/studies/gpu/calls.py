"""What a call through the TensorRT backend costs beyond the engine's own time on the GPU.

Runs on a device with a GPU and needs an engine that `edgeau build` made there:

    python -m edgeau.benchmarks.studies.gpu.calls PACKAGE/engines/NAME.engine -o NAME.json

For each installed CUDA binding, with and without a CUDA graph: wall time of ``infer``, copies included, and the GPU's
time of the same enqueue by CUDA events. Each combination runs in a separate process, because a binding is chosen once
per process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.benchmarks.harness import measure
from edgeau.benchmarks.measurement import BenchOptions
from edgeau.runtime.backends import Backend, BackendOptions, open_backend
from edgeau.runtime.backends.cuda import BINDING_VARIABLE
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.files import write_json
from edgeau.runtime.terminal import note, say

BINDINGS = ("cudart", "cuda-python", "pycuda")


def measure_calls(backend: Backend, batch: int, seconds: float) -> dict[str, Any]:
    """Wall time of ``infer`` and the GPU's own time, as a record with ``wall_over_gpu``, the ratio of their medians."""
    generator = np.random.default_rng(0)
    shapes = {name: (batch, *shape) for name, shape in backend.input_shapes.items()}
    inputs = {name: generator.integers(0, 256, shape, np.uint8) for name, shape in shapes.items()}
    record = measure(backend, inputs, BenchOptions(seconds=seconds, memory=False, energy=False))
    value = record.to_json()
    value["wall_over_gpu"] = record.latency.p50_ms / record.gpu_p50_ms if record.gpu_p50_ms else None
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every combination, print a table and write the records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", type=Path)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--graph", choices=("on", "off"), help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.graph is not None:
        options = BackendOptions(cuda_graph=args.graph == "on")
        with open_backend("tensorrt", args.engine, options) as backend:
            say(json.dumps(measure_calls(backend, args.batch, args.seconds)))
        return 0
    outcomes = [_in_a_process(args, binding, graph) for binding in BINDINGS for graph in ("on", "off")]
    records = [record for record in outcomes if record is not None]
    for record in records:
        settings, latency = record["settings"], record["latency"]
        say(
            f"{settings['binding']:<24} graph {settings['cuda_graph']!s:<6.6} p50 {latency['p50_ms']:.3f} ms  "
            f"p99 {latency['p99_ms']:.3f} ms  GPU {record['gpu_p50_ms']:.3f} ms  "
            f"wall/GPU {record['wall_over_gpu']:.2f}"
        )
    if args.out and records:
        write_json(args.out, records)
    return 0 if records else 1


def _in_a_process(args: argparse.Namespace, binding: str, graph: str) -> dict[str, Any] | None:
    command = [sys.executable, "-m", "edgeau.benchmarks.studies.gpu.calls", str(args.engine)]
    command += ["--graph", graph, "--batch", str(args.batch), "--seconds", str(args.seconds)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, BINDING_VARIABLE: binding}, check=False
    )
    if done.returncode != 0:
        note(f"{binding}, graph {graph}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
        return None
    value: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return value


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeauError as error:
        note(f"edgeau: {error}")
        sys.exit(2)

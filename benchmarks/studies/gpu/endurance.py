"""Call an engine many times and compare the memory of the process and of the GPU before and after.

    python -m edgeau.benchmarks.studies.gpu.endurance ENGINE --calls 10000 -o endurance.json

Batches alternate, and a second engine is opened and closed every thousand calls, as an application does that follows
a changing number of faces and reloads.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.benchmarks.memory import gpu_free_mib, status_mib
from edgeau.runtime.backends import Backend, open_backend
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.files import write_json
from edgeau.runtime.terminal import note, say

REOPEN_EVERY = 1000
# What a steady process may gain: the allocator's and the driver's own slack.
MAX_GROWTH_MIB = 8.0


def endure(engine: Path, calls: int, batches: Sequence[int]) -> dict[str, Any]:
    """Memory in MiB after the first thousand calls and after the last, and how many outputs changed."""
    generator = np.random.default_rng(0)
    with open_backend("tensorrt", engine) as backend:
        inputs = [_images(backend, batch, generator) for batch in batches]
        expected = [backend.infer(each)["au"] for each in inputs]
        samples, changed = [], 0
        for call in range(calls):
            which = call % len(inputs)
            changed += not np.array_equal(backend.infer(inputs[which])["au"], expected[which])
            if (call + 1) % REOPEN_EVERY == 0:
                with open_backend("tensorrt", engine):
                    pass
                samples.append(
                    {"calls": call + 1, "rss_mib": status_mib("VmRSS"), "gpu_free_mib": gpu_free_mib("tensorrt")}
                )
    return {"engine": engine.name, "calls": calls, "changed_outputs": changed, "memory": samples, **_growth(samples)}


def _memory(calls: int) -> dict[str, Any]:
    return {"calls": calls, "rss_mib": status_mib("VmRSS"), "gpu_free_mib": gpu_free_mib("tensorrt")}


def _images(backend: Backend, batch: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    return {name: generator.integers(0, 256, (batch, *shape), np.uint8) for name, shape in backend.input_shapes.items()}


def _growth(samples: Sequence[dict[str, Any]]) -> dict[str, float]:
    if len(samples) < 2:
        return {}
    first, last = samples[0], samples[-1]
    return {
        "rss_growth_mib": round(last["rss_mib"] - first["rss_mib"], 2),
        "gpu_growth_mib": round(first["gpu_free_mib"] - last["gpu_free_mib"], 2),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Call, print and write. 1 where memory grew or an output changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", type=Path)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--batches", default="1,3,8", help="separated by commas (default %(default)s)")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    result = endure(args.engine, args.calls, [int(batch) for batch in args.batches.split(",")])
    write_json(args.out, result)
    grown = {key: value for key, value in result.items() if key.endswith("growth_mib")}
    say(f"{args.engine.name}: {args.calls} calls, {result['changed_outputs']} outputs changed, {grown}")
    return 1 if result["changed_outputs"] or any(value > MAX_GROWTH_MIB for value in grown.values()) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeauError as error:
        note(f"edgeau: {error}")
        sys.exit(2)

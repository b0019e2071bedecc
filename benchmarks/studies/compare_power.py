"""What `edgeau bench compare` catches and what it flags by mistake, on the machine at hand.

    python -m edgeau.benchmarks.studies.compare_power -o benchmarks/results/compare_power.json

With ``--kind`` it measures one kind of pairs and keeps the other in the file, for a machine that is quiet only for
a minute at a time.

Pairs of the shipped package's FP32 in ONNX Runtime on one thread: identical ones, and ones whose new side is slowed on
purpose (each call busy-waits for a share of its own duration). Each pair is judged twice: measured in the same rounds,
as `compare` measures two packages; and as two runs at different times (old of one pair, new of the next), as it
compares two files.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.benchmarks.candidates import Candidate, candidates_of
from edgeau.benchmarks.commands.compare import OPTIONS, SHARE
from edgeau.benchmarks.comparison import Ratio, compare
from edgeau.benchmarks.measurement import BenchOptions
from edgeau.benchmarks.provenance import provenance
from edgeau.benchmarks.records import read_records
from edgeau.benchmarks.rounds import Runner, run_rounds
from edgeau.runtime.backends import Backend, open_backend
from edgeau.runtime.device import fingerprint
from edgeau.runtime.files import write_json
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.terminal import emit_json, note


class Slowed(Backend):
    """A backend whose every call takes a share longer."""

    def __init__(self, backend: Backend, share: float) -> None:
        self._backend, self._share = backend, share
        self.name, self.settings, self.input_shapes = backend.name, backend.settings, backend.input_shapes

    def infer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        start = time.perf_counter()
        outputs = self._backend.infer(inputs)
        now = time.perf_counter()
        end = now + self._share * (now - start)
        while time.perf_counter() < end:
            pass
        return outputs

    def close(self) -> None:
        self._backend.close()


def main() -> None:
    """Measure, print JSON and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10, help="of each kind (default: %(default)s)")
    parser.add_argument("--slower", type=float, default=0.05, help="share of the slowed ones (default: %(default)s)")
    parser.add_argument("--share", type=float, default=SHARE, help="as for compare (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=OPTIONS.seconds, help="each (default: %(default)s)")
    parser.add_argument("--kind", choices=("identical", "slowed"), help="only these; the rest of OUT is kept")
    parser.add_argument("-o", "--out", type=Path)
    args = parser.parse_args()
    candidate = candidates_of(Package.open(shipped_package()), backends=["onnxruntime"], variants=["fp32"])[0][0]
    options = BenchOptions(seconds=args.seconds, precision=0, energy=False)
    load_before = os.getloadavg()[0]
    kinds = {"identical": 0.0, "slowed": args.slower}
    if args.kind:
        kinds = {args.kind: kinds[args.kind]}
    before = read_records(args.out) if args.out and args.kind and args.out.exists() else {}
    result: dict[str, Any] = {
        **before,
        "device": fingerprint(),
        "provenance": dataclasses.asdict(provenance()),
        "load_before": load_before,
        "seconds": args.seconds,
        "share": args.share,
        "slowed_by": args.slower,
    }
    for kind, slower in kinds.items():
        pairs = []
        for number in range(args.pairs + 1):  # one more, whose new side is compared with the pair before
            note(f"{kind} {number + 1} of {args.pairs + 1}")
            pairs.append(_measure(candidate, slower, options))
        result[kind] = {
            "same rounds": _judge([(old, new) for old, new in pairs[:-1]], args.share, same_run=True),
            "two runs": _judge(
                [(old, new) for (old, _), (_, new) in itertools.pairwise(pairs)], args.share, same_run=False
            ),
        }
    result["load_after"] = os.getloadavg()[0]
    if args.out:
        write_json(args.out, result)
    emit_json(result)


def _measure(candidate: Candidate, slower: float, options: BenchOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """Records of an old and a new side, measured in the same rounds."""

    def opened() -> Backend:
        return open_backend(candidate.backend, candidate.file, candidate.options)

    with opened() as old, Slowed(opened(), slower) as new:
        runners = [Runner(backend, candidate.inputs) for backend in (old, new)]
        run_rounds(runners, options)
    first, second = (
        {"rounds": dataclasses.asdict(each.rounds()), "latency": {"p50_ms": each.latency().p50_ms}} for each in runners
    )
    return first, second


def _judge(pairs: Sequence[tuple[Any, Any]], share: float, *, same_run: bool) -> dict[str, Any]:
    """Each pair on its own, as when a single variant is compared."""
    differences = [compare({"": old}, {"": new}, share, same_run=same_run)[0] for old, new in pairs]
    return {
        "verdicts": dict(Counter(each.verdict for each in differences)),
        "p50": [_figures(each.p50) for each in differences],
        "floor": [_figures(each.floor) for each in differences],
    }


def _figures(ratio: Ratio) -> list[float]:
    return [round(each, 4) for each in (ratio.value, ratio.low, ratio.high)]


if __name__ == "__main__":
    main()

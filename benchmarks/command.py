"""Measure packages on this machine: latency, throughput, size, memory, energy and accuracy.

Every variant is measured on every backend that can run it here, in turns. Without a package, the one that ships with
edgeau. Wall time of one call is given as percentiles of all samples, none dropped.

example:
  edgeau bench
  edgeau bench cednn.edgeau --backends onnxruntime,openvino --threads 1,2 --json > records.json
  edgeau bench a.edgeau b.edgeau --eval crops/ --html report.html
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.runtime import arguments
from edgeau.runtime.backends import BACKEND_NAMES, Backend, BackendOptions, missing
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.files import write_text
from edgeau.runtime.manifest import Manifest, Variant
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.terminal import EXIT_FAILED, EXIT_OK, emit_json, note, say

from .accuracy import accuracy
from .columns import lines, with_speedups
from .harness import BenchOptions, Candidate, Failure, measure_all

_EVAL_LIMIT = 2000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="packages (default: the shipped one)")
    parser.add_argument("--backends", default=",".join(BACKEND_NAMES), help="comma-separated (default: %(default)s)")
    parser.add_argument("--variants", help="comma-separated names (default: all)")
    parser.add_argument("--threads", default="1", help="CPU threads, comma-separated (default: %(default)s)")
    parser.add_argument("--batch", default="1", help="faces in a call, comma-separated (default: %(default)s)")
    parser.add_argument("--provider", default="CPUExecutionProvider", help="ONNX Runtime's provider")
    parser.add_argument(
        "--seconds", type=arguments.seconds, default=3.0, help="timed seconds each (default: %(default)s)"
    )
    parser.add_argument(
        "--warmup", type=arguments.number(0, 3600), default=0.5, help="seconds of warm-up each (default: %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=arguments.positive_int, default=3, help="turns around all candidates (default: %(default)s)"
    )
    parser.add_argument("--eval", metavar="DATA", help="labelled crops: adds F1, and is what is timed")
    parser.add_argument("--no-memory", action="store_true", help="skip peak memory, which starts a process each")
    parser.add_argument("-o", "--out", metavar="FILE", help="write the records as JSON here as well")
    parser.add_argument("--html", metavar="FILE", help="write a report")
    parser.add_argument("--json", action="store_true", help="print the records as JSON in place of the table")


def run(args: argparse.Namespace) -> int:
    options = BenchOptions(
        warmup_s=_positive("--warmup", args.warmup, at_least=0.0),
        seconds=_positive("--seconds", args.seconds),
        rounds=int(_positive("--rounds", args.rounds, at_least=1)),
        memory=not args.no_memory,
    )
    candidates, failures = _candidates(args)
    records, failed = measure_all(candidates, options, note)
    failures += failed
    values = with_speedups([record.to_json() for record in records])
    document = {"records": values, "failures": [vars(failure) for failure in failures]}
    if args.out:
        write_text(args.out, json.dumps(document, indent=1, allow_nan=False) + "\n")
    if args.html:
        _report(values, Path(args.html))
    if args.json:
        emit_json(document)
    else:
        _print_table(values, failures)
    return EXIT_OK if values else EXIT_FAILED


def candidates_of(
    package: Package,
    *,
    backends: Sequence[str] = BACKEND_NAMES,
    variants: Sequence[str] | None = None,
    threads: Sequence[int] = (1,),
    batches: Sequence[int] = (1,),
    provider: str = "CPUExecutionProvider",
    crops: CropSet | None = None,
) -> tuple[list[Candidate], list[Failure]]:
    """Every variant of a package on every backend that may run it.

    Args:
        package: what to measure.
        backends, variants, threads, batches: which of them; variants None means all.
        provider: ONNX Runtime's.
        crops: real inputs, and labels for accuracy; without them the inputs are noise of a fixed seed.

    Returns:
        What can be measured here, and what can't with the reason.
    """
    manifest = package.manifest
    wanted = manifest.variants if variants is None else tuple(package.variant(name) for name in variants)
    labelled = crops if crops is not None and crops.aus else None
    found: list[Candidate] = []
    failures: list[Failure] = []
    for variant in wanted:
        for backend in (name for name in variant.backends if name in backends):
            try:
                file = _file(package, variant, backend)
            except EdgeauError as error:
                failures.append(Failure(manifest.name, variant.name, backend, str(error)))
                continue
            scorer = _Scorer(labelled, manifest, batches[0]) if labelled is not None else None
            for count, batch in ((t, b) for t in (threads if backend != "tensorrt" else (1,)) for b in batches):
                inputs, data = _inputs(manifest, batch, crops)
                found.append(
                    Candidate(
                        package=manifest.name,
                        variant=variant.name,
                        precision=variant.precision,
                        backend=backend,
                        file=file,
                        options=BackendOptions(threads=count, provider=provider),
                        inputs=inputs,
                        onnx_file=_onnx_file(package, variant),
                        data=data,
                        accuracy=scorer,
                    )
                )
    return found, failures


def _candidates(args: argparse.Namespace) -> tuple[list[Candidate], list[Failure]]:
    backends = args.backends.split(",")
    for name in backends:
        if name not in BACKEND_NAMES:
            raise InputError("--backends", got=name, expected=", ".join(BACKEND_NAMES))
    found: list[Candidate] = []
    failures: list[Failure] = []
    for path in args.packages or [shipped_package()]:
        package = Package.open(path)
        crops = read_crops(args.eval, package.manifest.crop, limit=_EVAL_LIMIT) if args.eval else None
        some, others = candidates_of(
            package,
            backends=backends,
            variants=args.variants.split(",") if args.variants else None,
            threads=_counts("--threads", args.threads),
            batches=_counts("--batch", args.batch),
            provider=args.provider,
            crops=crops,
        )
        found += some
        failures += others
    return found, failures


class _Scorer:
    """Accuracy of a variant on a backend, computed once however many threads and batches are timed.

    It runs in the batch that is timed first: an engine takes no larger one than its profile allows.
    """

    def __init__(self, crops: CropSet, manifest: Manifest, batch: int) -> None:
        self._crops, self._manifest, self._batch = crops, manifest, batch
        self._found: dict[str, Any] | None = None

    def __call__(self, backend: Backend) -> dict[str, Any]:
        if self._found is None:
            self._found = accuracy(backend, self._crops, self._manifest, self._batch)
        return self._found


def _file(package: Package, variant: Variant, backend: str) -> Path:
    reason = missing(backend)
    if reason is not None:
        raise EdgeauError(reason)
    if backend == "tensorrt" and variant.file.endswith(".onnx"):
        raise EdgeauError(f"no engine yet; type: edgeau build {package.path}")
    return package.file(variant)


def _onnx_file(package: Package, variant: Variant) -> Path | None:
    """The ONNX file of a variant: itself, or for an engine the one that it was built from."""
    if variant.file.endswith(".onnx"):
        return package.path / variant.file
    source = next((v for v in package.manifest.variants if v.name == variant.made_from), None)
    return package.path / source.file if source is not None and source.file.endswith(".onnx") else None


def _inputs(manifest: Manifest, batch: int, crops: CropSet | None) -> tuple[dict[str, np.ndarray], str]:
    if crops is not None:
        rows = np.arange(batch) % len(crops)
        return {name: images[rows] for name, images in crops.inputs(manifest.takes_neutral).items()}, crops.origin
    generator = np.random.default_rng(0)
    shapes = {spec.name: (batch, spec.height, spec.width, 3) for spec in manifest.inputs}
    arrays = {name: generator.integers(0, 256, shape, np.uint8) for name, shape in shapes.items()}
    return arrays, "noise, seed 0"


def _positive(name: str, value: float, at_least: float | None = None) -> float:
    if not (value > 0 if at_least is None else value >= at_least):
        expected = "more than 0" if at_least is None else f"at least {at_least:g}"
        raise InputError(name, got=f"{value:g}", expected=expected)
    return value


def _counts(name: str, text: str) -> list[int]:
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or min(values) < 1:
        raise InputError(name, got=text, expected="whole numbers from 1, such as 1,2")
    return values


def _report(values: list[dict[str, Any]], path: Path) -> None:
    try:
        report = importlib.import_module("edgeau.benchmarks.report")
    except ModuleNotFoundError as error:
        raise InputError("--html", got=f"{error.name} is not installed", hint="pip install 'edgeau[bench]'") from error
    report.write_html(values, path)
    note(f"report: {path}")


def _print_table(values: list[dict[str, Any]], failures: list[Failure]) -> None:
    if values:
        for line in lines(values):
            say(line)
    for value in values:
        if value["warnings"]:
            note(f"{value['variant']} on {value['backend']}: {'; '.join(value['warnings'])}")
    reasons = {value["energy"]["reason"] for value in values if value["energy"]} - {""}
    for reason in sorted(reasons):
        note(f"energy unavailable: {reason}")
    for failure in failures:
        note(f"not measured: {failure.variant} on {failure.backend}: {failure.reason}")

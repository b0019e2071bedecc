"""Measure packages on this machine: latency, throughput, size, memory, energy and accuracy.

Every variant is measured on every backend that can run it here, in rounds of random order. Without a package, the one
that ships with edgeau. Times are wall time of one call; no call is dropped. "±" is half of p50's 95% interval.

example:
  edgeau bench
  edgeau bench cednn.edgeau --backends onnxruntime,openvino --threads 1,2 --json > records.json
  edgeau bench a.edgeau b.edgeau --eval crops/ --html report.html
  edgeau bench --device-matrix records/
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeau.benchmarks.candidates import Candidate, candidates_of
from edgeau.benchmarks.claims.page import read_rows as read_claims
from edgeau.benchmarks.columns import aligned, lines
from edgeau.benchmarks.comparison import with_fp32_ratios
from edgeau.benchmarks.device_matrix import matrix, read_folder
from edgeau.benchmarks.harness import measure_all
from edgeau.benchmarks.limit.peak import Peak, to_json
from edgeau.benchmarks.limit.roofline import with_limits
from edgeau.benchmarks.measurement import BenchOptions, Failure
from edgeau.benchmarks.peers.page import end_to_end_rows, read_peers
from edgeau.benchmarks.peers.page import rows as peer_rows
from edgeau.benchmarks.records import document, write_records
from edgeau.benchmarks.report import Extras, write_html
from edgeau.benchmarks.spreadsheet import to_csv
from edgeau.benchmarks.stages import STAGES, measure_stages, photo_bgr
from edgeau.runtime import arguments
from edgeau.runtime.backends import BACKEND_NAMES
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.files import is_replaceable, write_text
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.terminal import EXIT_FAILED, EXIT_OK, emit_json, note, say

_EVAL_LIMIT = 2000

Arguments = argparse.ArgumentParser | argparse._ArgumentGroup


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="packages (default: the shipped one)")
    add_candidate_arguments(parser)
    add_time_arguments(parser)
    parser.add_argument("--eval", metavar="DATA", help="labelled crops: adds F1, and is what is timed")
    parser.add_argument(
        "--no-memory", action="store_true", help="skip peak memory and cold start, which need a process each"
    )
    parser.add_argument(
        "--callers",
        type=arguments.values(arguments.positive_int),
        help="also throughput with so many callers: 1,2,4",
    )
    parser.add_argument("--no-limit", action="store_true", help="skip the device's peak and each model's share of it")
    parser.add_argument("-o", "--out", metavar="FILE", help="write the records here as well: .json or .json.gz")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one line per variant for a spreadsheet")
    parser.add_argument("--html", metavar="FILE", help="write a report")
    parser.add_argument(
        "--device-matrix", type=Path, metavar="DIR", help="measure nothing: join the records of several devices in DIR"
    )
    parser.add_argument("--no-stages", action="store_true", help="skip the stages of one picture from end to end")
    parser.add_argument("--claims", type=Path, metavar="JSON", help="what `bench claims -o` wrote, for the report")
    parser.add_argument("--peers", type=Path, metavar="JSON", help="what `bench peers -o` wrote, for the report")
    parser.add_argument("--json", action="store_true", help="print the records as JSON instead of the table")


def add_candidate_arguments(parser: Arguments) -> None:
    """Options that select what is measured."""
    parser.add_argument("--backends", help=f"comma-separated (default: {','.join(BACKEND_NAMES)})")
    parser.add_argument("--variants", help="comma-separated names (default: all)")
    parser.add_argument(
        "--threads", type=arguments.values(arguments.threads), help="CPU threads, comma-separated (default: 1)"
    )
    parser.add_argument(
        "--batch", type=arguments.values(arguments.positive_int), help="faces per call, comma-separated (default: 1)"
    )
    parser.add_argument("--provider", help="ONNX Runtime's (default: CPUExecutionProvider)")


def add_time_arguments(parser: Arguments, plain: BenchOptions = BenchOptions()) -> None:
    """Options that say how long to measure; ``plain`` has their defaults."""
    parser.add_argument(
        "--seconds", type=arguments.seconds, help=f"limit of timed seconds each (default: {plain.seconds:g})"
    )
    parser.add_argument(
        "--precision",
        type=arguments.share,
        help=f"stop when every p50 is known to ± this share (default: {plain.precision:g})",
    )
    parser.add_argument(
        "--warmup", type=arguments.number(0, 3600), help=f"limit of warm-up seconds each (default: {plain.warmup_s:g})"
    )
    parser.add_argument(
        "--rounds", type=arguments.positive_int, help=f"at least so many rounds (default: {plain.rounds})"
    )


def run(args: argparse.Namespace) -> int:
    if args.device_matrix is not None:
        return _join_devices(args)
    options = bench_options(args, BenchOptions(memory=not args.no_memory, callers=tuple(args.callers or ())))
    claims = read_claims(args.claims) if args.claims else []
    peers = read_peers(args.peers) if args.peers else None
    for file in filter(None, (args.out, args.html, args.csv)):
        is_replaceable(file)  # now, because measuring takes long
    candidates: list[Candidate] = []
    failures: list[Failure] = []
    for path in args.packages or [shipped_package()]:
        selected, refused = candidates_in(path, args, args.eval)
        candidates += selected
        failures += refused
    measurements, failed = measure_all(candidates, options, note)
    failures += failed
    records = with_fp32_ratios([each.to_json() for each in measurements])
    peaks: list[Peak] = []
    if not args.no_limit:
        records, peaks = with_limits(records, candidates, note)
    stages = [] if args.no_stages else _stages(args.packages or [shipped_package()], options.seconds)
    value = document(records, [vars(failure) for failure in failures], [to_json(peak) for peak in peaks], stages)
    if args.out:
        write_records(Path(args.out), value)
    if args.csv:
        write_text(args.csv, to_csv(records))
    if args.html:
        extras = Extras(
            peaks=value["peaks"],
            stages=stages,
            claims=claims,
            peers=peer_rows(peers) if peers else (),
            end_to_end=end_to_end_rows(peers) if peers else (),
        )
        write_html(records, Path(args.html), extras)
        note(f"report: {args.html}")
    if args.json:
        emit_json(value)
    else:
        _print_table(records, failures)
        _print_stages(stages)
    return EXIT_OK if records else EXIT_FAILED


def _join_devices(args: argparse.Namespace) -> int:
    """The table of `--device-matrix`, as text, JSON or CSV."""
    if args.packages:
        raise InputError("--device-matrix", got="packages as well", expected="only a folder of records")
    records = read_folder(args.device_matrix)
    if args.csv:
        is_replaceable(args.csv)
        write_text(args.csv, to_csv(records))
    rows = matrix(records)
    if args.json:
        emit_json({"devices": sorted({record["device"] for record in records}), "rows": rows})
        return EXIT_OK
    for line in aligned(rows, left=("package", "variant", "backend", "input")):
        say(line)
    return EXIT_OK


def _stages(packages: Sequence[str | Path], seconds: float) -> list[dict[str, Any]]:
    """Of each package on the photo that comes with scikit-image; what can't be measured is noted."""
    stages = []
    for path in packages:
        try:
            note(f"stages of {path}")
            stages.append(dataclasses.asdict(measure_stages(path, photo_bgr(), "photo", min(seconds, 1.0))))
        except EdgeauError as error:
            note(f"stages of {path} not measured: {error}")
    return stages


def _print_stages(stages: Sequence[dict[str, Any]]) -> None:
    for each in stages:
        parts = ", ".join(f"{key[: -len('_ms')]} {each[key]:.2f}" for key in STAGES)
        say(f"{each['package']}, one picture ({each['image']}) in {each['total_ms']:.2f} ms: {parts}")


def bench_options(args: argparse.Namespace, plain: BenchOptions = BenchOptions()) -> BenchOptions:
    """Options from the command line, else from ``plain``."""
    values = {"warmup_s": args.warmup, "seconds": args.seconds, "precision": args.precision, "rounds": args.rounds}
    return dataclasses.replace(plain, **{name: value for name, value in values.items() if value is not None})


def candidates_in(
    path: str | Path, args: argparse.Namespace, data: str | None = None
) -> tuple[list[Candidate], list[Failure]]:
    """Candidates of a package by the options of `add_candidate_arguments`. Raises InputError."""
    backends = args.backends.split(",") if args.backends else list(BACKEND_NAMES)
    for name in backends:
        if name not in BACKEND_NAMES:
            raise InputError("--backends", got=name, expected=", ".join(BACKEND_NAMES))
    package = Package.open(path)
    return candidates_of(
        package,
        backends=backends,
        variants=args.variants.split(",") if args.variants else None,
        threads=args.threads or (1,),
        batches=args.batch or (1,),
        provider=args.provider or "CPUExecutionProvider",
        crops=read_crops(data, package.manifest.crop, limit=_EVAL_LIMIT) if data else None,
    )


def _print_table(records: Sequence[dict[str, Any]], failures: Sequence[Failure]) -> None:
    for line in lines(records) if records else ():
        say(line)
    for record in records:
        if record["warnings"]:
            note(f"{record['variant']} on {record['backend']}: {'; '.join(record['warnings'])}")
        if limit := record.get("limit"):
            _note_limit(f"{record['variant']} on {record['backend']}", limit)
    reasons = {record["energy"]["reason"] for record in records if record["energy"]} - {""}
    for reason in sorted(reasons):
        note(f"energy unavailable: {reason}")
    for failure in failures:
        note(f"not measured: {failure.variant} on {failure.backend}: {failure.reason}")


def _note_limit(name: str, limit: dict[str, Any]) -> None:
    if limit["why"]:
        note(f"{name} reaches {limit['share']:.0%} of what the device could do: {limit['why']}")

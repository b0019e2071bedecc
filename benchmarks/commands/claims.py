"""Test the papers' efficiency claims: packages beside networks of the papers' time, measured in the same rounds.

The claims are quoted from the papers' abstracts, and each says what it means as a test. Without a package, the one that
ships with edgeau is measured; claims about other families then can't be tested.

example:
  edgeau bench claims
  edgeau bench claims cednn.edgeau sma-net.edgeau --html claims.html -o claims.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeau.benchmarks.claims.claims import read_claims
from edgeau.benchmarks.claims.evaluate import Setting, evaluate
from edgeau.benchmarks.claims.page import doubts, lines, to_json, write_page
from edgeau.benchmarks.records import write_records
from edgeau.runtime import arguments
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import is_replaceable
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.terminal import EXIT_OK, emit_json, note, say

from .bench import add_time_arguments, bench_options

_BACKENDS = ("onnxruntime", "openvino")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="packages (default: the shipped one)")
    parser.add_argument("--backend", default="onnxruntime", help=f"{' or '.join(_BACKENDS)} (default: %(default)s)")
    parser.add_argument("--threads", type=arguments.threads, default=1, help="CPU threads (default: %(default)s)")
    add_time_arguments(parser)
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="write JSON here as well: .json or .json.gz")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")


def run(args: argparse.Namespace) -> int:
    if args.backend not in _BACKENDS:
        raise InputError("--backend", got=args.backend, expected=" or ".join(_BACKENDS))
    for file in filter(None, (args.out, args.html)):
        is_replaceable(file)  # now, because measuring takes long
    papers, claims = read_claims()
    packages = [Package.open(path) for path in args.packages or [shipped_package()]]
    setting = Setting(args.backend, args.threads)
    outcomes, records = evaluate(claims, packages, bench_options(args), setting, note)
    value = to_json(papers, outcomes, records)
    if args.out:
        write_records(args.out, value)
    if args.html:
        write_page(args.html, value)
        note(f"page: {args.html}")
    if args.json:
        emit_json(value)
    else:
        for line in lines(papers, outcomes):
            say(line)
        for doubt in doubts(value["networks"]):
            note(doubt)
    return EXIT_OK

"""Compare two measurements: exit code 1 if NEW is slower than OLD, significantly and by more than a share.

OLD and NEW are two packages, which are measured now in the same rounds, or two files that `edgeau bench -o` wrote on
the same device with the same input. On a machine that is shared with others, packages are compared far more precisely.

A difference counts if p50 and the floor (the fastest call of each round) agree. The floor of files is set against a
yardstick that ran in the same rounds. Intervals hold with 95% for all lines together.

example:
  edgeau bench compare old.edgeau new.edgeau
  edgeau bench compare monday.json tuesday.json --share 0.05
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeau.benchmarks.candidates import Candidate
from edgeau.benchmarks.columns import aligned
from edgeau.benchmarks.comparison import Difference, Ratio, compare
from edgeau.benchmarks.harness import measure_all
from edgeau.benchmarks.measurement import BenchOptions, Failure
from edgeau.benchmarks.records import read_measurements
from edgeau.runtime import arguments
from edgeau.runtime.errors import InputError
from edgeau.runtime.terminal import EXIT_FAILED, EXIT_OK, emit_json, note, say

from .bench import add_candidate_arguments, add_time_arguments, bench_options, candidates_in

SHARE = 0.03
# Verdicts need more rounds than one p50 does.
OPTIONS = BenchOptions(seconds=10.0, memory=False, energy=False)
_MEASURING = ("backends", "variants", "threads", "batch", "provider", "seconds", "precision", "warmup", "rounds")
# What must be equal in two files, and what it is called.
_EQUAL = {"device": "device", "data": "input"}

_SIDES = ("old", "new")

Records = dict[str, dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", type=Path, metavar="OLD", help="package, or file of records")
    parser.add_argument("new", type=Path, metavar="NEW", help="the same kind")
    parser.add_argument(
        "--share", type=arguments.probability, default=SHARE, help="smallest change that counts (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    measuring = parser.add_argument_group("when two packages are measured")
    add_candidate_arguments(measuring)
    add_time_arguments(measuring, OPTIONS)


def run(args: argparse.Namespace) -> int:
    packages = [path.is_dir() for path in (args.old, args.new)]
    if packages[0] != packages[1]:
        raise InputError("OLD and NEW", got="a package and a file", expected="two packages or two files of records")
    old, new = _measured(args) if packages[0] else _read(args)
    differences = compare(old, new, args.share, same_run=packages[0])
    if not differences:
        raise InputError(
            "OLD and NEW",
            got=f"{', '.join(sorted(old)) or 'nothing'}; {', '.join(sorted(new)) or 'nothing'}",
            expected="a variant, backend, thread count and batch in common",
        )
    slower = [each for each in differences if each.verdict == "slower"]
    if args.json:
        emit_json({"share": args.share, "differences": [each.to_json() for each in differences]})
    else:
        _print(differences, sorted(set(old) ^ set(new)))
    return EXIT_FAILED if slower else EXIT_OK


def _measured(args: argparse.Namespace) -> tuple[Records, Records]:
    """Both packages, measured in the same rounds."""
    candidates: list[Candidate] = []
    for side in _SIDES:
        selected, refused = candidates_in(getattr(args, side), args)
        # Old and new may have the same name.
        candidates += [dataclasses.replace(each, package=side) for each in selected]
        _note_failures(refused)
    measurements, failures = measure_all(candidates, bench_options(args, OPTIONS), note)
    _note_failures(failures)
    records = [each.to_json() for each in measurements]
    old, new = (_by_name([record for record in records if record["package"] == side]) for side in _SIDES)
    return old, new


def _note_failures(failures: Sequence[Failure]) -> None:
    for failure in failures:
        note(f"not measured: {failure.variant} on {failure.backend}: {failure.reason}")


def _read(args: argparse.Namespace) -> tuple[Records, Records]:
    for name in _MEASURING:
        if getattr(args, name) is not None:
            raise InputError(f"--{name}", got="two files of records", expected="two packages, which are then measured")
    old, new = read_measurements(args.old), read_measurements(args.new)
    if old[0]["protocol"] != new[0]["protocol"]:
        raise InputError(str(args.new), got=f"schema {new[0]['protocol']}", expected=f"{old[0]['protocol']}, as in OLD")
    for key, word in _EQUAL.items():
        values = [sorted({str(record[key]) for record in records}) for records in (old, new)]
        if values[0] != values[1]:
            got, expected = (", ".join(each) for each in reversed(values))
            raise InputError(f"{word} of {args.new}", got=got, expected=f"{expected}, as in OLD")
    return _by_name(old), _by_name(new)


def _by_name(records: Sequence[dict[str, Any]]) -> Records:
    packages = {record["package"] for record in records}
    return {_name(record, len(packages) > 1): record for record in records}


def _name(record: dict[str, Any], with_package: bool) -> str:
    threads = f"{record['threads'] or 'auto'} thread{'' if record['threads'] == 1 else 's'}"
    name = f"{record['variant']} on {record['backend']}, {threads}, batch {record['batch']}"
    return f"{record['package']} {name}" if with_package else name


def _print(differences: Sequence[Difference], alone: Sequence[str]) -> None:
    rows = [
        {
            "candidate": each.name,
            "old p50 ms": f"{each.old_p50_ms:.3f}",
            "new p50 ms": f"{each.new_p50_ms:.3f}",
            "p50 new/old": _text(each.p50),
            "floor new/old": _text(each.floor),
            "verdict": each.verdict,
        }
        for each in differences
    ]
    for line in aligned(rows, left=("candidate", "verdict")):
        say(line)
    if any(each.verdict == "undecided" for each in differences):
        note("undecided: the machine disturbed the measurement; measure longer (--seconds), and packages, not files")
    for name in alone:
        note(f"only in one of the two: {name}")


def _text(ratio: Ratio) -> str:
    return f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"

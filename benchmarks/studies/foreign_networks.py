"""Quantized networks of other makers, brought to TensorRT: findings, what `--fix` leaves, what the importer says.

Reads a list of networks, which are not part of this repository, and writes a table of them:

    python -m edgeau.benchmarks.studies.foreign_networks networks.json -o benchmarks/results/foreign-networks

The list is JSON: objects with ``name``, ``source``, ``licence``, ``tool`` (what quantized it), ``file`` and, where they
exist, ``float`` (the model it was quantized from) and ``inputs`` (.npz with an array per input; by default the faces
that ship with edgeau). Paths are relative to the list. Without a float model, SQNR is against the file's own outputs.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeau.benchmarks.provenance import provenance
from edgeau.optimize.lint import fix, lint, read_onnx
from edgeau.optimize.lint.cost import face_inputs, measure_cost, read_inputs
from edgeau.optimize.lint.importer import ask_importer
from edgeau.runtime.decode import decode, parse_json
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.files import write_json, write_text
from edgeau.runtime.terminal import note, say

TARGETS = ("tensorrt-10.3", "tensorrt-8.5")


@dataclass(frozen=True)
class PublicNetwork:
    """One network of the list; see above."""

    name: str
    source: str
    licence: str
    tool: str
    file: str
    float: str | None = None
    inputs: str | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine every network, write JSON and Markdown, print the table. Returns 1 if a fixed network has errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", type=Path, help="JSON list")
    parser.add_argument("-o", "--out", required=True, type=Path, help="path without suffix; .json and .md are written")
    args = parser.parse_args(arguments)
    rows = [examine(network, args.networks.parent) for network in read_list(args.networks)]
    write_json(args.out.with_suffix(".json"), {"provenance": dataclasses.asdict(provenance()), "networks": rows})
    write_text(args.out.with_suffix(".md"), markdown(rows))
    say(markdown(rows))
    return 0 if all(is_through(row) for row in rows) else 1


def read_list(file: Path) -> list[PublicNetwork]:
    """The networks of a list. Raises InputError or PackageError that names what is wrong."""
    try:
        value = parse_json(file.read_bytes(), str(file))
    except OSError as error:
        raise InputError(f"list {file}", got=error.strerror, expected="a JSON list of networks") from error
    if not isinstance(value, list):
        raise InputError(f"list {file}", got=type(value).__name__, expected="a JSON list of networks")
    return [decode(PublicNetwork, item, f"{file}[{index}]") for index, item in enumerate(value)]


def examine(network: PublicNetwork, folder: Path) -> dict[str, Any]:
    """Findings before and after the fix for each target, the importer's answers, and what the fix costs."""
    note(network.name)
    model = read_onnx(folder / network.file)
    public = {
        key: value for key, value in dataclasses.asdict(network).items() if key in ("name", "source", "licence", "tool")
    }
    before, targets = ask_importer(model), {}
    for target in TARGETS:
        fixed = fix(model, target)
        after = ask_importer(fixed.model)
        targets[target] = {
            "findings": dict(Counter(finding.code for finding in lint(model, target))),
            "changes": len(fixed.done),
            "left": dict(Counter(finding.code for finding in fixed.left)),
            "importer": None if after is None else str(after)[:200],
            "taken": None if after is None else after.taken,
        }
    given = (read_inputs(folder / network.inputs, model), "given") if network.inputs else face_inputs(model)
    original = read_onnx(folder / network.float) if network.float else None
    try:
        cost = measure_cost(model, TARGETS[0], *given, original)
        sqnr = {"before_db": cost.before_db, "after_db": cost.after_db, "worst": cost.worst and cost.worst.name}
    except EdgeauError as error:
        sqnr = {"reason": str(error)}
    importer = None if before is None else str(before)[:200]
    return {**public, "operators": len(model.graph.node), "importer": importer, "targets": targets, "sqnr": sqnr}


def is_through(row: dict[str, Any]) -> bool:
    """Whether the fixed network has no errors for any target, and the importer, if it is here, reads it."""
    return all(
        not any(code.startswith("E") for code in result["left"]) and result["taken"] is not False
        for result in row["targets"].values()
    )


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table, one row per network."""
    lines = [
        "# Quantized networks of other makers, fixed for TensorRT",
        "",
        "Findings of `edgeau inspect --target tensorrt-10.3`, changes that `--fix` makes and findings that it leaves; "
        "whether TensorRT's own importer (TensorRT for RTX) reads the file before and after; SQNR of the outputs in dB "
        "against the float model, where it is public, before and after. The files are not part of this repository.",
        "",
        "| network | source, licence | quantized by | findings | changes | left | left for 8.5 | importer | SQNR |",
        "|" + " --- |" * 9,
    ]
    return "\n".join([*lines, *map(_row, rows)]) + "\n"


def _row(row: dict[str, Any]) -> str:
    new, old = (row["targets"][target] for target in TARGETS)
    took = "-" if row["importer"] is None else "refused" if "refuses it" in row["importer"] else "read"
    takes = "-" if new["taken"] is None else "read" if new["taken"] else "refused"
    cells = [
        row["name"],
        f"{row['source']}, {row['licence']}",
        row["tool"],
        _codes(new["findings"]),
        str(new["changes"]),
        _codes(new["left"]) or "none",
        _codes(old["left"]) or "none",
        f"{took}, then {takes}",
        _sqnr(row["sqnr"]),
    ]
    return "| " + " | ".join(cells) + " |"


def _codes(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {code}" for code, count in sorted(counts.items()))


def _sqnr(sqnr: dict[str, Any]) -> str:
    if "reason" in sqnr:
        return str(sqnr["reason"])
    if sqnr["before_db"] is None:
        return f"{sqnr['after_db']:.1f} against itself" if sqnr["after_db"] is not None else "unchanged"
    return f"{sqnr['before_db']:.1f}, then {sqnr['after_db']:.1f}"


if __name__ == "__main__":
    sys.exit(main())

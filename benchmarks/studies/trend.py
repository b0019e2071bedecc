"""What the chain costs from commit to commit: one line per commit measured in benchmarks/trend, and a plot of them.

    python -m edgeau.benchmarks.studies.trend measure                       # this checkout, appended to trend.jsonl
    python -m edgeau.benchmarks.studies.trend measure --checkout OLD        # another checkout by today's measure
    python -m edgeau.benchmarks.studies.trend measure --steps synth,train -o part1.json      # a part,
    python -m edgeau.benchmarks.studies.trend add part1.json part2.json                      # and the parts as one line
    python -m edgeau.benchmarks.studies.trend plot

A line holds the commit, the machine, and the seconds of each command of `edgeau bench chain`: the lowest, median and
highest round. Machines are never joined. Lines of one commit and machine are pooled. The plot shows the lowest round,
which other work on the machine changes least; measure a commit again before you call it slower.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.benchmarks import svg
from edgeau.benchmarks.chain.growth import spread
from edgeau.benchmarks.chain.measure import measure
from edgeau.benchmarks.chain.page import lines, read_chain, to_json
from edgeau.benchmarks.chain.steps import STEPS
from edgeau.benchmarks.commands.chain import ROUNDS, selected_steps
from edgeau.benchmarks.provenance import commit_date, source_commit
from edgeau.benchmarks.records import write_records
from edgeau.runtime import arguments
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.files import write_text
from edgeau.runtime.terminal import note, say

SCHEMA = "edgeau-trend-1"
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks" / "trend"
LAYERS = ("runtime", "optimize", "export", "train", "benchmarks")

Line = Mapping[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Measure, add or plot."""
    args = _parser().parse_args(argv)
    try:
        if args.what == "plot":
            write_text(args.folder / "trend.svg", picture(read_lines(args.folder / "trend.jsonl")))
            return 0
        parts = [read_chain(file) for file in args.files] if args.what == "add" else [_measured(args)]
        if args.what == "measure" and args.out:
            write_records(args.out, parts[0])
        else:
            append(args.folder / "trend.jsonl", line_of(parts))
    except EdgeauError as error:
        note(f"trend: {error}")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of trend.jsonl and trend.svg")
    verbs = parser.add_subparsers(dest="what", required=True)
    measuring = verbs.add_parser("measure")
    measuring.add_argument("--checkout", type=Path, default=ROOT, help="what to measure (default: this one)")
    measuring.add_argument("--steps", help=f"comma-separated (default: {','.join(STEPS)})")
    measuring.add_argument("--rounds", type=arguments.positive_int, default=ROUNDS, help="default: %(default)s")
    measuring.add_argument("-o", "--out", type=Path, help="write a part here instead of appending a line")
    verbs.add_parser("add").add_argument("files", nargs="+", type=Path, help="parts of one commit on one machine")
    verbs.add_parser("plot")
    return parser


def _measured(args: argparse.Namespace) -> dict[str, Any]:
    checkout = args.checkout.resolve()
    commit = source_commit(checkout)
    if commit is None or commit.endswith("-dirty"):
        got = "no checkout" if commit is None else "files that differ from the commit"
        raise InputError(str(args.checkout), got=got, expected="a clean checkout of edgeau")
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        package = Path(folder) / "edgeau"
        package.mkdir()
        for layer in LAYERS:
            (package / layer).symlink_to(checkout / layer)
        chain = measure(selected_steps(args.steps), args.rounds, note, Path(folder))
    for text in lines(chain):
        say(text)
    value = to_json(chain)
    value["provenance"].update(commit=commit, commit_date=commit_date(checkout, commit))
    return value


def line_of(parts: Sequence[Line]) -> dict[str, Any]:
    """One line of the trend from parts that `edgeau bench chain` measured of one commit on one machine.

    Raises:
        InputError: parts of several commits or machines, one point in two parts, or a commit that is not known.
    """
    commits = {(part["provenance"]["commit"], part["provenance"].get("commit_date")) for part in parts}
    devices = {part["device"] for part in parts}
    names = [point["name"] for part in parts for point in part["points"]]
    for what, several in (("commit", len(commits) > 1), ("machine", len(devices) > 1)):
        if several:
            raise InputError("parts", got=f"more than one {what}", expected=f"parts of one {what}")
    if len(set(names)) < len(names):
        raise InputError("parts", got="the same command twice", expected="each command in one part")
    ((commit, date),) = commits
    if commit is None or commit.endswith("-dirty") or date is None:
        raise InputError("parts", got=f"commit {commit}", expected="parts that `trend measure -o` wrote")
    return {
        "schema": SCHEMA,
        "commit": commit,
        "commit_date": date,
        "measured": max(part["provenance"]["date"] for part in parts),
        "device": devices.pop(),
        "python": parts[0]["provenance"]["python"],
        "versions": parts[0]["provenance"]["versions"],
        "yardstick_ms": float(np.median([ms for part in parts for ms in part["yardstick_ms"]])),
        "points": [_summary(point) for part in parts for point in part["points"]],
        "absent": [each["name"] for part in parts for each in part["absent"]],
    }


def _summary(point: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: point[key] for key in ("step", "name", "model", "batch", "count", "unit")}
    spreads = {key: dataclasses.asdict(spread(point[key])) for key in ("wall_s", "cpu_s")}
    return {**kept, "rounds": len(point["wall_s"]), **spreads}


def append(path: Path, line: Line) -> None:
    """Add a line at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, sort_keys=True, allow_nan=False) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Lines in the order of their commits, those of one commit and machine pooled. Raises InputError."""
    try:
        values = [json.loads(text) for text in path.read_text("utf-8").splitlines() if text]
    except (OSError, ValueError) as error:
        raise InputError(str(path), got=str(error), expected="lines that `trend measure` wrote") from error
    for number, value in enumerate(values, 1):
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise InputError(f"{path}, line {number}", got="another schema", expected=SCHEMA)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for value in values:
        groups.setdefault((value["commit"], value["device"]), []).append(value)
    return sorted(map(_pooled, groups.values()), key=lambda line: _instant(line["commit_date"]))


def _pooled(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One line from several of a commit and machine: the median of medians, the lowest and the highest round."""
    points: dict[str, list[dict[str, Any]]] = {}
    for point in (point for line in lines for point in line["points"]):
        points.setdefault(point["name"], []).append(point)
    pooled = [
        {**same[-1], **{key: _pool([point[key] for point in same]) for key in ("wall_s", "cpu_s")}}
        for same in points.values()
    ]
    return {**lines[-1], "points": pooled}


def _pool(spreads: Sequence[Mapping[str, float]]) -> dict[str, float]:
    median = float(np.median([each["median"] for each in spreads]))
    return {
        "median": median,
        "low": min(each["low"] for each in spreads),
        "high": max(each["high"] for each in spreads),
    }


def _instant(date: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(date)


_PANEL = 190
_LEFT, _RIGHT = 46, 320
# Commits that are named below a panel, evenly spread if there are more.
_NAMED = 6


def picture(lines: Sequence[Line]) -> str:
    """An SVG file: a panel per step, seconds by commit; the largest size of each model and batch."""
    commits = list(dict.fromkeys(line["commit"] for line in lines))
    devices = sorted({line["device"] for line in lines})
    steps = [step for step in STEPS if any(point["step"] == step for line in lines for point in line["points"])]
    x = svg.Scale(0, max(1, len(commits) - 1), _LEFT + 14, _RIGHT)
    parts: list[str] = []
    for number, step in enumerate(steps):
        parts += _panel(step, lines, commits, devices, x, 40 + _PANEL * number)
    end = _PANEL * len(steps) + 24.0
    for number, device in enumerate(devices):
        y = end + 20 * number
        parts += [svg.line(12, y - 5, 44, y - 5, f"ink dash{number % 3}"), svg.text(52, y, device, style="soft")]
    words = "Lowest of all rounds, as little disturbed as it was; the bar extends to the median."
    parts.append(svg.text(12, end + 20 * len(devices), words, style="soft"))
    return svg.standalone(parts, end + 20 * len(devices) + 14, "Seconds of each step of the chain by commit")


def _panel(
    step: str, lines: Sequence[Line], commits: Sequence[str], devices: Sequence[str], x: svg.Scale, top: float
) -> list[str]:
    series = _series(step, lines)
    highest = max(point["wall_s"]["median"] for values in series.values() for _, point in values)
    y = svg.Scale(0, highest * 1.05, top + _PANEL - 70, top)
    parts = svg.axis_left(y, _LEFT, _RIGHT + 8, f"{step}, s")
    for at in sorted({round(share * (len(commits) - 1) / (_NAMED - 1)) for share in range(_NAMED)}):
        parts.append(svg.text(x(at), y.start + 18, commits[at][:7], anchor="middle", style="soft"))
    names = list(dict.fromkeys(name for name, _ in series))
    ends: dict[str, float] = {}
    for (name, device), values in series.items():
        shape = names.index(name)
        drawn = [(x(commits.index(commit)), point["wall_s"]) for commit, point in values]
        parts.append(
            svg.path([(here, y(each["low"])) for here, each in drawn], f"trace dash{devices.index(device) % 3}")
        )
        for here, each in drawn:
            parts.append(svg.line(here, y(each["low"]), here, y(each["median"]), "ink"))
            parts.append(svg.marker(here, y(each["low"]), shape, f"c{shape}", 4.5))
        ends.setdefault(name, y(drawn[-1][1]["low"]))
    return parts + _labels(names, ends)


def _series(step: str, lines: Sequence[Line]) -> dict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]]:
    """Points by commit, by name and device."""
    largest: dict[tuple[str, int], int] = {}
    points = [(line, point) for line in lines for point in line["points"] if point["step"] == step]
    for _, point in points:
        key = point["model"], point["batch"]
        largest[key] = max(largest.get(key, 0), point["count"])
    series: dict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]] = {}
    for line, point in points:
        if point["count"] == largest[point["model"], point["batch"]]:
            series.setdefault((point["name"], line["device"]), []).append((line["commit"], point))
    return series


def _labels(names: Sequence[str], ends: Mapping[str, float]) -> list[str]:
    """What each trace is, at its end, without overlaps."""
    parts: list[str] = []
    lowest = float("-inf")
    for name in sorted(names, key=lambda each: ends[each]):
        lowest = max(ends[name], lowest + 17)
        shape = names.index(name)
        parts += [
            svg.marker(_RIGHT + 20, lowest, shape, f"c{shape}", 4.5),
            svg.text(_RIGHT + 30, lowest + 5, _label(name)),
        ]
    return parts


def _label(name: str) -> str:
    """``cednn-s, 128 crops`` of ``quantize cednn-s, 128 crops``; one package or engine goes without saying."""
    return name.partition(" ")[2].removesuffix(", 1 package").removesuffix(", 1 engine")


if __name__ == "__main__":
    sys.exit(main())

"""F1 and photo figures of one run's snapshots against the samples that it had seen.

    python -m edgeau.benchmarks.studies.training_curve RUN/snapshots --batch 64 -o OUT

Beside each snapshot, named STEP.pt, lie STEP.SET.json of `edgeau eval --json` and STEP.photos.json of real_photos, as
benchmarks/results/training/live.sh writes them. Writes OUT.json, OUT.md and OUT.png.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeau.benchmarks.plots import PALETTE
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.files import write_bytes, write_json, write_text
from edgeau.runtime.terminal import note, say

PHOTOS = "photos"


def points(folder: Path, batch: int) -> list[dict[str, Any]]:
    """One entry per snapshot: step, samples seen, and a figure by set. Raises InputError where there is none."""
    steps = sorted({int(file.name.split(".")[0]) for file in folder.glob("*.*.json")})
    if not steps:
        raise InputError(f"snapshots {folder}", got="no STEP.SET.json", expected="what live.sh writes")
    return [{"step": step, "samples": step * batch, "figures": _figures(folder, step)} for step in steps]


def _figures(folder: Path, step: int) -> dict[str, float | None]:
    figures = {}
    for file in sorted(folder.glob(f"*{step}.*.json")):
        number, name, _ = file.name.split(".")
        if int(number) == step:
            value = json.loads(file.read_text("utf-8"))
            figures[name] = value["models"][0]["mean"] if name == PHOTOS else value["mean_f1"]
    return figures


def plot(curve: Sequence[Mapping[str, Any]]) -> bytes:
    """A PNG: a line per set over the samples seen, with its last value."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    ends = {}
    for colour, name in zip(itertools.cycle(PALETTE), _names(curve), strict=False):
        known = [(p["samples"] / 1000, p["figures"][name]) for p in curve if p["figures"].get(name) is not None]
        if known:
            x, y = zip(*known, strict=True)
            axes.plot(x, y, marker="o", color=colour, linestyle="--" if name == PHOTOS else "-", label=_head(name))
            ends[name] = (x[-1], y[-1], colour)
    low, high = axes.get_ylim()
    heights = spaced([y for _, y, _ in ends.values()], (high - low) * 0.05)
    for (x_end, y_end, colour), height in zip(ends.values(), heights, strict=True):
        axes.annotate(
            f"{y_end:.3f}", (x_end, height), xytext=(7, 0), textcoords="offset points", va="center", fontsize=9,
            color=colour,
        )  # fmt: skip
    axes.set_xlabel("thousands of samples seen")
    axes.set_xlim(left=0)
    axes.margins(x=0.1)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def spaced(values: Sequence[float], gap: float) -> list[float]:
    """The values, moved up where needed to lie at least ``gap`` apart, in the given order."""
    moved, below = list(values), float("-inf")
    for index in sorted(range(len(values)), key=lambda i: values[i]):
        moved[index] = below = max(values[index], below + gap)
    return moved


def _names(curve: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted({name for point in curve for name in point["figures"]})


def _head(name: str) -> str:
    return f"mean AUC, {name}" if name == PHOTOS else f"F1, {name}"


def table(curve: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table, a line per snapshot."""
    names = _names(curve)
    lines = ["| " + " | ".join(["samples seen", *map(_head, names)]) + " |", "|" + "---:|" * (len(names) + 1)]
    for point in curve:
        cells = [f"{point['samples']:,}", *(_cell(point["figures"].get(name)) for name in names)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main(arguments: list[str] | None = None) -> int:
    """Read snapshots' figures, print the table, write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of STEP.SET.json files")
    parser.add_argument("--batch", type=int, required=True, help="samples per step of the run")
    parser.add_argument("-o", "--out", type=Path, required=True, help="file name without suffix")
    args = parser.parse_args(arguments)
    try:
        curve = points(args.folder, args.batch)
    except EdgeauError as error:
        note(f"training_curve: {error}")
        return 2
    write_json(args.out.with_suffix(".json"), {"points": curve})
    write_text(args.out.with_suffix(".md"), table(curve))
    write_bytes(args.out.with_suffix(".png"), plot(curve))
    say(table(curve))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""F1 of finished training runs on their held-out subjects, as a table; runs that differ by their seed only are one row.

python -m edgeau.benchmarks.training_table runs/cednn runs/compare/alone-* -o benchmarks/results/training
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.runtime.cli import say
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import write_json, write_text


def read_run(folder: Path) -> dict[str, Any]:
    """Name, command, size and test figures of one run. Raises InputError where it has not ended."""
    file = folder / "metrics.json"
    if not file.is_file():
        raise InputError(f"run {folder}", got="no metrics.json", expected="a finished run", mend=f"--resume {folder}")
    values = json.loads(file.read_text("utf-8"))
    models = values.get("models") or values
    model = next(iter(models.values())) if "test" not in models else models
    return {
        "run": folder.name,
        "seconds": values.get("train_s"),
        "samples": values.get("train_samples"),
        **_figures(model),
    }


def _figures(model: Mapping[str, Any]) -> dict[str, Any]:
    test = model["test"]
    return {
        "parameters": model.get("parameters"),
        "mean_f1": test["mean_f1"],
        "f1": test.get("f1") or test.get("per_au"),
    }


def group(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Runs whose names differ by a trailing number only, with the mean, lowest and highest of their mean F1."""
    names = sorted({re.sub(r"-\d+$", "", run["run"]) for run in runs})
    rows = []
    for name in names:
        members = [run for run in runs if re.sub(r"-\d+$", "", run["run"]) == name]
        values = [run["mean_f1"] for run in members]
        rows.append(
            {
                "name": name,
                "seeds": len(members),
                "parameters": members[0]["parameters"],
                "samples": members[0]["samples"],
                "mean_f1": round(float(np.mean(values)), 4),
                "lowest": round(min(values), 4),
                "highest": round(max(values), 4),
            }
        )
    return rows


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as text."""
    lines = [
        "| run | seeds | parameters | samples seen | mean F1 | lowest | highest |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (row[key] for key in ("name", "seeds", "parameters", "samples", "mean_f1", "lowest", "highest"))
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of `edgeau train` or `edgeau distill`")
    parser.add_argument("-o", "--out", type=Path, required=True, help="file name without suffix")
    args = parser.parse_args()
    runs = [read_run(folder) for folder in args.runs]
    rows = group(runs)
    write_json(args.out.with_suffix(".json"), {"rows": rows, "runs": runs})
    write_text(args.out.with_suffix(".md"), markdown(rows))
    say(markdown(rows))


if __name__ == "__main__":
    main()

"""F1 of finished training runs: by AU and mean, on every evaluation set; seeds grouped, pairs compared.

A run is a folder of `edgeau train` or `edgeau distill`; NAME-SEED folders with one name form one row. Validation (and,
if the run held subjects out, test) figures come from its metrics.json; each `edgeau eval --json` output beside a
checkpoint, named CHECKPOINT.SET.json, such as best.heldout.json, adds a set or replaces one. Peers of one kind that
were trained together count as one, by their mean. CHECKPOINT.photos.json of real_photos is the set "photos".

    edgeau eval runs/alone-1/best.pt --data crops/heldout --subjects all --json > runs/alone-1/best.heldout.json
    python -m edgeau.benchmarks.studies.training_table runs/alone-? runs/distilled-? --compare distilled:alone \\
        --package alone=alone.edgeau -o results/training
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.benchmarks.macs import model_facts
from edgeau.benchmarks.records import write_records
from edgeau.benchmarks.studies.training_curve import PHOTOS
from edgeau.optimize.variants import float_variant
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.files import write_text
from edgeau.runtime.package import Package
from edgeau.runtime.terminal import note, say

# Student's t, two-sided 95%, by degrees of freedom from 1 on.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def main(arguments: list[str] | None = None) -> int:
    """Read the runs, write compressed JSON and Markdown, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of `edgeau train` or `edgeau distill`")
    parser.add_argument("--compare", action="append", default=[], metavar="NAME:OTHER", help="gap, paired by seed")
    parser.add_argument("--package", action="append", default=[], metavar="NAME=PACKAGE", help="for MACs")
    parser.add_argument("-o", "--out", type=Path, required=True, help="file name without suffix")
    args = parser.parse_args(arguments)
    try:
        value = summary(args.runs, args.compare, args.package)
    except EdgeauError as error:
        note(f"training_table: {error}")
        return 2
    text = markdown(value)
    write_records(args.out.with_suffix(".json.gz"), value)
    write_text(args.out.with_suffix(".md"), text)
    say(text)
    return 0


def summary(folders: Sequence[Path], compare: Sequence[str] = (), packages: Sequence[str] = ()) -> dict[str, Any]:
    """Rows, gaps and the runs behind them, as plain values. Raises InputError if a run can't be read or matched."""
    runs = _read_runs(folders)
    rows = group(runs)
    names = [row["name"] for row in rows]
    for option in packages:
        name, _, path = option.partition("=")
        _require(name, names, "--package")
        package = Package.open(path)
        facts = model_facts(package.file(float_variant(package.manifest)))
        next(row for row in rows if row["name"] == name)["macs"] = facts.macs
    pairs = [option.partition(":")[::2] for option in compare]
    for name in (name for pair in pairs for name in pair):
        _require(name, names, "--compare")
    gaps = [gap(runs, better, other) for better, other in pairs]
    return {"rows": rows, "gaps": gaps, "runs": runs}


def _read_runs(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """`read_run` of each folder. Raises InputError if two are the same seed of the same row."""
    runs: list[dict[str, Any]] = []
    places: dict[tuple[str, int], Path] = {}
    for folder in folders:
        for run in read_run(folder):
            before = places.setdefault((run["name"], run["seed"]), folder)
            if before is not folder:
                raise InputError(
                    f"run {run['name']}, seed {run['seed']}",
                    got=f"{before} and {folder}",
                    expected="one folder for each name and seed",
                    hint="give one of them, or rename one",
                )
            runs.append(run)
    return runs


def read_run(folder: Path) -> list[dict[str, Any]]:
    """One entry per kind of model in a run: name, seed, parameters, figures by set. Raises InputError."""
    values = _read(folder / "metrics.json", f"run {folder}", f"edgeau train --resume {folder}")
    name, seed = _split(folder.name)
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    if not isinstance(values, dict) or not isinstance(values.get("members"), dict):
        raise InputError(f"run {folder}", got="a metrics.json without members", expected="that of `edgeau train`")
    for member, metrics in values["members"].items():
        kinds.setdefault(_split(member)[0], []).append(metrics)
    return [
        {
            "name": name if len(kinds) == 1 else f"{name} {kind}",
            "seed": seed,
            "kind": kind,
            "members": len(members),
            "parameters": members[0]["parameters"],
            "train_s": values.get("train_s"),
            "train_samples": values.get("train_samples"),
            "sets": _mean_of([_sets(folder, member) for member in members]),
        }
        for kind, members in kinds.items()
    ]


def _sets(folder: Path, member: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Mean F1 and F1 by AU of one model, by the name of the set."""
    own = {name: member.get(name) or {} for name in ("val", "test")}
    sets = {name: _figures(own[name], f"run {folder}: {name}") for name in own if own[name].get("samples")}
    stem = Path(member["checkpoint"]).stem
    for file in sorted(folder.glob(f"{stem}.*.json")):
        what, name = f"evaluation {file}", file.name[len(stem) + 1 : -len(".json")]
        value = _read(file, what, "run it again")
        sets[name] = _photo_figures(value, what) if name == PHOTOS else _figures(value, what)
    return sets


def _photo_figures(value: Any, what: str) -> dict[str, Any]:
    """AUC by pair in place of F1 by AU. Raises InputError."""
    try:
        judged = value["models"][0]
        pairs = {pair: auc for pair, auc in judged["pairs"].items() if auc is not None}
        return {"mean_f1": judged["mean"], "samples": sum(value.get("photos", {}).values()), "f1": pairs}
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(what, got="other JSON", expected="what real_photos writes") from error


def _figures(metrics: Any, what: str) -> dict[str, Any]:
    """Figures of one set; ``mean_f1`` is None and ``f1`` empty if it shows no AU at all. Raises InputError."""
    try:
        per_au = {au: values["f1"] for au, values in metrics["per_au"].items() if values["f1"] is not None}
        return {"mean_f1": metrics["mean_f1"], "samples": metrics["samples"], "f1": per_au}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            what, got="other JSON", expected="what `edgeau eval --json` prints", hint="rename it, or run it again"
        ) from error


def _mean_of(members: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The mean figures of models that were trained together."""
    common = [name for name in members[0] if all(name in member for member in members)]
    return {
        name: {
            "mean_f1": _mean_known(member[name]["mean_f1"] for member in members),
            "samples": members[0][name]["samples"],
            "f1": _f1_by_au([member[name] for member in members]),
        }
        for name in common
    }


def _f1_by_au(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of each AU over the runs that have it: seeds hold out other subjects, and some show no sample of it."""
    aus = sorted({au for each in runs for au in each["f1"]})
    return {au: _mean(each["f1"][au] for each in runs if au in each["f1"]) for au in aus}


def group(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per name, in the order of the runs: mean, deviation, lowest and highest F1 of its seeds, by set."""
    rows = []
    for name in dict.fromkeys(run["name"] for run in runs):
        mine = [run for run in runs if run["name"] == name]
        sets = {key: _spread([run["sets"][key] for run in mine if key in run["sets"]]) for key in _set_names(mine)}
        first = mine[0]
        row = {"name": name, "kind": first["kind"], "seeds": [run["seed"] for run in mine], "macs": None, "sets": sets}
        rows.append({**row, "parameters": first["parameters"], "train_samples": first["train_samples"]})
    return rows


def _spread(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = [each["mean_f1"] for each in runs if each["mean_f1"] is not None]
    return {
        "mean_f1": _mean_known(values),
        "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "lowest": min(values, default=None),
        "highest": max(values, default=None),
        "seeds": len(values),
        "samples": runs[0]["samples"],
        "f1": _f1_by_au(runs),
    }


def gap(runs: Sequence[Mapping[str, Any]], name: str, other: str) -> dict[str, Any]:
    """How much better one row is than another, seed by seed, on each set that both have.

    The interval is Student's t at 95% over the seeds: it says how far the gap depends on the seed, not on the subjects
    of the set. Raises InputError if the two have no seed in common.
    """
    mine, theirs = ({run["seed"]: run["sets"] for run in runs if run["name"] == each} for each in (name, other))
    seeds = sorted(set(mine) & set(theirs))
    if not seeds:
        raise InputError(f"--compare {name}:{other}", got="no seed in common", expected=f"{name}-1 and {other}-1")
    sets: dict[str, Any] = {}
    for key in _set_names([{"sets": mine[seed]} for seed in seeds]):
        scores = [(_score(mine[seed], key), _score(theirs[seed], key)) for seed in seeds]
        gaps = [one - another for one, another in scores if one is not None and another is not None]
        if gaps:
            sets[key] = _gap(gaps)
    return {"name": name, "other": other, "seeds": seeds, "sets": sets}


def _score(sets: Mapping[str, Mapping[str, Any]], key: str) -> float | None:
    return sets[key]["mean_f1"] if key in sets else None


def _gap(values: Sequence[float]) -> dict[str, Any]:
    mean, count = _mean(values), len(values)
    if not 2 <= count <= len(T95) + 1:
        return {"by_seed": list(values), "mean": mean, "interval_95": None}
    half = T95[count - 2] * float(np.std(values, ddof=1)) / count**0.5
    return {"by_seed": list(values), "mean": mean, "interval_95": [mean - half, mean + half]}


def markdown(value: Mapping[str, Any]) -> str:
    """The tables as text."""
    sets = _set_names(value["rows"])
    explained = "Mean AU F1; of several seeds mean ± deviation (lowest to highest)."
    if PHOTOS in sets:
        explained += f" For {PHOTOS}, the mean AUC of pairs of an AU and an expression in place of F1."
    lines = ["# Training: F1", "", explained, ""]
    head = ["run", "seeds", "parameters", "MMAC", "training faces"]
    lines += _table(
        [*head, *sets], [[*_facts(row), *(_cell(row["sets"].get(key)) for key in sets)] for row in value["rows"]]
    )
    if value["gaps"]:
        lines += ["", "## Gaps, paired by seed", "", "Interval: Student's t over seeds, 95%.", ""]
        gaps = [(f"{each['name']} - {each['other']}", len(each["seeds"]), each["sets"]) for each in value["gaps"]]
        body = [[name, seeds, *(_gap_cell(by_set.get(key)) for key in sets)] for name, seeds, by_set in gaps]
        lines += _table(["gap", "seeds", *sets], body)
    for key in sets:
        rows = [row for row in value["rows"] if key in row["sets"]]
        aus = sorted({au for row in rows for au in row["sets"][key]["f1"]})
        lines += ["", f"## By AU: {key}", ""]
        body = [[au, *(_number(row["sets"][key]["f1"].get(au)) for row in rows)] for au in aus]
        body.append(["mean", *(_number(row["sets"][key]["mean_f1"]) for row in rows)])
        lines += _table(["AU", *(row["name"] for row in rows)], body)
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    cells = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return ["| " + " | ".join(str(cell) for cell in row) + " |" for row in cells]


def _facts(row: Mapping[str, Any]) -> list[Any]:
    macs = "-" if row["macs"] is None else f"{row['macs'] / 1e6:.1f}"
    return [row["name"], len(row["seeds"]), f"{row['parameters']:,}", macs, row["train_samples"] or "-"]


def _cell(spread: Mapping[str, Any] | None) -> str:
    if spread is None:
        return "-"
    if spread["deviation"] is None:
        return _number(spread["mean_f1"])
    return f"{spread['mean_f1']:.3f} ± {spread['deviation']:.3f} ({spread['lowest']:.3f} to {spread['highest']:.3f})"


def _gap_cell(gap: Mapping[str, Any] | None) -> str:
    if gap is None:
        return "-"
    ends = gap["interval_95"]
    return f"{gap['mean']:+.3f}" + (f" ({ends[0]:+.3f} to {ends[1]:+.3f})" if ends else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _set_names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of all sets, validation and test first."""
    names = {name for row in rows for name in row["sets"]}
    first = [name for name in ("val", "test") if name in names]
    return [*first, *sorted(names - set(first))]


def _split(name: str) -> tuple[str, int]:
    """``alone-3`` -> alone, 3; a name without a number has seed 1."""
    match = re.fullmatch(r"(.+)-(\d+)", name)
    return (match[1], int(match[2])) if match else (name, 1)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _mean_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if known else None


def _require(name: str, names: Sequence[str], what: str) -> None:
    if name not in names:
        raise InputError(what, got=name, expected=f"one of {', '.join(names)}")


def _read(file: Path, what: str, hint: str) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(what, got=f"no {file.name}", expected="a finished run", hint=hint) from error
    except (OSError, ValueError) as error:
        raise InputError(what, got=f"unreadable {file.name}", expected="JSON", hint=hint) from error


if __name__ == "__main__":
    sys.exit(main())

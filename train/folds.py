"""A whole protocol: one run per held-out part, and the mean over them beside what the paper reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.runtime.crop_set import presence_of
from edgeau.runtime.errors import InputError
from edgeau.runtime.evaluate import mean_of
from edgeau.runtime.files import write_json

from .data import FaceData, open_data, subjects_in_order
from .evaluate import FLIP_NOTE
from .parallel import World
from .protocols import PROTOCOLS
from .published import published_for
from .recipe import Recipe, crop_of

RESULT, _OPTIONS = "folds.json", "folds-options.json"


@dataclass(frozen=True)
class Fold:
    """One part of a protocol: its name, and the subjects that it holds out."""

    name: str
    held_out: tuple[str, ...]


def plan_folds(folds: str, recipe: Recipe) -> tuple[Recipe, tuple[Fold, ...], str | None]:
    """The recipe with the protocol's AUs, its folds, and the protocol's name.

    Args:
        folds: ``all`` for the protocol of the data set, or a number of parts of whole subjects, drawn by the seed.
        recipe: of every fold, but for what it holds out.

    Raises:
        InputError: no protocol for this data, fewer subjects than parts, a subject in two parts, or an AU that has no
            positive among the people that a fold trains on.
    """
    words = [spec.partition(":")[0] for spec in recipe.data]
    known = [word for word in words if word in PROTOCOLS]
    data = _open(recipe)
    if folds == "all":
        if len(known) != 1:
            expected = f"one of {', '.join(f'{name}:FOLDER' for name in PROTOCOLS)}"
            raise InputError("--folds all", got=", ".join(recipe.data), expected=expected,
                             hint="or a number of folds, such as --folds 5")  # fmt: skip
        protocol = PROTOCOLS[known[0]]
        recipe = replace(recipe, aus=recipe.aus or protocol.aus)
        parts = tuple(Fold(name, part) for name, part in protocol.parts.items())
    else:
        parts = _parts(data.subjects, int(folds), recipe.seed)
    _require_disjoint(parts)
    data = _open(recipe)
    for fold in parts:
        _require_both_classes(fold, data, recipe.loss.present_from)
    return recipe, parts, known[0] if folds == "all" else None


def run_folds(
    recipe: Recipe,
    folds: Sequence[Fold],
    protocol: str | None,
    train: Callable[[Recipe, bool], Mapping[str, Any]],
    world: World,
) -> dict[str, Any]:
    """Train every fold into a folder of its name inside ``recipe.out``; folds that are done are not repeated.

    Args:
        train: runs a recipe, resuming it if the second argument says so, and returns what metrics.json gets.
        world: this process; all of them train every fold together.

    Returns:
        The content of folds.json; empty in processes other than the first.
    """
    results: dict[str, Mapping[str, Any]] = {}
    for fold in folds:
        out = recipe.out / fold.name
        done = out / "metrics.json"
        if done.is_file():
            results[fold.name] = json.loads(done.read_text(encoding="utf-8"))
            continue
        one = replace(recipe, out=out, held_out=fold.held_out)
        results[fold.name] = train(one, (out / "last.pt").is_file())
    if not world.first:
        return {}
    first, *others = (summarise(results, protocol, name) for name in next(iter(results.values()))["members"])
    summary = {**first, "others": others} if others else first
    write_json(recipe.out / RESULT, summary)
    return summary


# What the tables report per AU, by its name in AuMetrics.
_MEASURES = {"f1": "F1 in %, at probability 0.5", "icc": "ICC(3,1) of intensities", "pcc": "PCC of intensities"}


def summarise(results: Mapping[str, Mapping[str, Any]], protocol: str | None, model: str) -> dict[str, Any]:
    """F1 per fold and AU, ICC(3,1) and PCC where there are intensities, their means, and what the paper reports.

    Args:
        results: metrics.json of each fold.
        protocol: the data set's, if it has one.
        model: the member that is reported.
    """
    tests = {name: result["members"][model]["test"] for name, result in results.items()}
    aus = tuple(next(iter(tests.values()))["per_au"])
    family = next((row for row in ("fan-trans", "sma-net", "eau", "cednn") if model.startswith(row)), model)
    summary: dict[str, Any] = {
        "model": model,
        "protocol": protocol,
        "flip_averaged": any(result.get("flip_averaged", False) for result in results.values()),
        "folds": {name: {"samples": test["samples"]} for name, test in tests.items()},
        "published": [asdict(row) for row in published_for(protocol, family)],
    }
    for measure in _MEASURES:
        if measure != "f1" and all(test.get(f"mean_{measure}") is None for test in tests.values()):
            continue
        for name, test in tests.items():
            summary["folds"][name][measure] = {au: test["per_au"][au].get(measure) for au in aus}
            summary["folds"][name][f"mean_{measure}"] = test.get(f"mean_{measure}")
        folds = summary["folds"].values()
        summary[measure] = {au: mean_of([fold[measure][au] for fold in folds]) for au in aus}
        summary[f"mean_{measure}"] = mean_of([fold[f"mean_{measure}"] for fold in folds])
    accuracies = {name: test.get("expression_accuracy") for name, test in tests.items()}
    if any(accuracy is not None for accuracy in accuracies.values()):
        summary["expression_accuracy"] = {**accuracies, "mean": mean_of(list(accuracies.values()))}
    return summary


def table_lines(summary: Mapping[str, Any]) -> list[str]:
    """A table of F1, and of ICC and PCC where the summary has them: each fold, the mean over folds, and the paper's."""
    papers = summary["published"]
    if "others" in summary:
        alone = {key: value for key, value in summary.items() if key != "others"}
        return [line for one in (alone, *summary["others"]) for line in (f"{one['model']}:", *table_lines(one), "")]
    lines = _table(summary, "f1", papers)
    for measure in ("icc", "pcc"):
        if measure in summary:
            lines += ["", *_table(summary, measure, ())]
    if "expression_accuracy" in summary:
        accuracies = summary["expression_accuracy"]
        lines += ["", _cells("", list(accuracies)), _cells("", [*map(_percent, accuracies.values())])]
        lines.append("expressions that were recognised, in %")
    lines.append("counts and frames pooled over the held-out part, mean over AUs, then over parts")
    if summary["flip_averaged"]:
        lines.append(FLIP_NOTE)
    lines += [f"{paper['title']}: {paper['source']}" for paper in papers]
    if papers:
        lines.append("our model is designed after the paper's abstract, with our settings: a difference is ours")
    return lines


def _table(summary: Mapping[str, Any], measure: str, papers: Sequence[Mapping[str, Any]]) -> list[str]:
    folds = summary["folds"]
    show = _percent if measure == "f1" else _decimals
    lines = [_cells("AU", [*folds, "mean", *(paper["title"] for paper in papers)])]
    for au, mean in summary[measure].items():
        ours = [*(fold[measure][au] for fold in folds.values()), mean]
        lines.append(_cells(au, [*map(show, ours), *(_tenths(paper["f1"].get(au)) for paper in papers)]))
    ours = [*(fold[f"mean_{measure}"] for fold in folds.values()), summary[f"mean_{measure}"]]
    lines.append(_cells("mean", [*map(show, ours), *(_tenths(paper["mean_f1"]) for paper in papers)]))
    return [*lines, _MEASURES[measure]]


def _cells(first: str, others: Sequence[str]) -> str:
    return f"{first:<6}" + "".join(f"{cell:>11}" for cell in others)


def _open(recipe: Recipe) -> FaceData:
    shared = recipe.shared_subjects
    return open_data(recipe.data, recipe.aus or None, seed=recipe.seed, crop=crop_of(recipe), shared_subjects=shared)


def _parts(subjects: Sequence[str], count: int, seed: int) -> tuple[Fold, ...]:
    """Parts of whole subjects, in an order that the seed draws."""
    if not 2 <= count <= len(subjects):
        raise InputError("--folds", got=str(count), expected=f"all, or 2 to {len(subjects)}, the number of subjects")
    order = subjects_in_order(subjects, seed)
    return tuple(Fold(f"part{k + 1}", tuple(sorted(order[k::count]))) for k in range(count))


def _require_disjoint(folds: Sequence[Fold]) -> None:
    held: dict[str, str] = {}
    for fold in folds:
        for subject in fold.held_out:
            if subject in held:
                got = f"{subject} in {held[subject]} and {fold.name}"
                raise InputError("folds", got=got, expected="each subject in one part")
            held[subject] = fold.name


def _require_both_classes(fold: Fold, data: FaceData, present_from: float) -> None:
    """Refuse a fold that never shows an AU in training: nothing could be learnt of it, and its weight is infinite."""
    train = [name for name in data.subjects if name not in fold.held_out]
    if len(train) == len(data.subjects):
        expected, hint = "the protocol's subjects in the data", "`edgeau data check` lists who is missing"
        raise InputError(f"fold {fold.name}", got="none of its subjects", expected=expected, hint=hint)
    presence = presence_of(data.intensity[data.rows_of(train)], present_from)
    never = [au for au, column in zip(data.aus, presence.T, strict=True) if not np.nansum(column)]
    if never:
        got = f"no training image with {', '.join(never)}"
        raise InputError(f"fold {fold.name}", got=got, expected="positives of every AU", hint="leave it out with --aus")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _tenths(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def require_folds_folder(out: Path, arguments: Mapping[str, Any]) -> None:
    """Raise InputError unless a protocol with these options can be run or continued in a folder."""
    record = out / _OPTIONS
    if record.is_file():
        if json.loads(record.read_text(encoding="utf-8")) != _plain(arguments):
            got = "runs with other options"
            raise InputError(f"folder {out}", got=got, expected="the same command", hint="choose another --out")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"folder {out}", got="something else in it", expected="a new folder")


def claim_folds(out: Path, arguments: Mapping[str, Any]) -> None:
    """Make the folder of a protocol's runs, or take one with the same options; raises as `require_folds_folder`."""
    require_folds_folder(out, arguments)
    if not (out / _OPTIONS).is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / _OPTIONS, _plain(arguments))


def _plain(arguments: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(dict(arguments), default=str))

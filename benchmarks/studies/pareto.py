"""Which models are worth having: mean AU F1, size and p50 of every variant of several packages, and the Pareto front.

A model is dominated if another is at least as accurate, as small and as fast, and better in one of the three. F1 is
that of each variant on the backend that is measured; p50 is of one crop, all measured in turns. Writes Markdown, PNG,
JSON, and every record in PATH.records.json.gz.

    python -m edgeau.benchmarks.studies.pareto m.edgeau pruned.edgeau qat.edgeau --eval crops/test -o results/pareto
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeau.benchmarks.candidates import Candidate, accuracy
from edgeau.benchmarks.harness import measure_all
from edgeau.benchmarks.measurement import BenchOptions, Failure, Measurement
from edgeau.benchmarks.plots import PALETTE
from edgeau.benchmarks.records import document, write_records
from edgeau.optimize.scoring import read_evaluation
from edgeau.runtime.backends import BackendOptions
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.files import write_bytes, write_json, write_text
from edgeau.runtime.package import Package
from edgeau.runtime.terminal import note, say

# More is better, and less is better.
MORE, LESS = ("f1",), ("size_bytes", "p50_ms")


def main(arguments: list[str] | None = None) -> int:
    """Measure, write the files, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+")
    parser.add_argument("--eval", required=True, help="labelled crops")
    parser.add_argument("--samples", type=int, help="number of crops (default: all)")
    parser.add_argument("--backends", default="onnxruntime,openvino", help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=2.0, help="timed seconds per model (default: %(default)s)")
    parser.add_argument("-o", "--out", required=True, help="path without suffix")
    args = parser.parse_args(arguments)
    try:
        value = compare(args)
    except EdgeauError as error:
        note(f"pareto: {error}")
        return 2
    out = Path(args.out)
    text = markdown(value)
    write_records(out.with_suffix(".records.json.gz"), document(value.pop("records"), value["failures"], [], []))
    write_json(out.with_suffix(".json"), value)
    write_text(out.with_suffix(".md"), text)
    write_bytes(out.with_suffix(".png"), picture(value["models"]))
    say(text)
    return 0


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Everything measured, as plain values; ``dominated_by`` of each model is empty on the front."""
    packages = [Package.open(path) for path in args.packages]
    measured = [one for package in packages for one in candidates(package, args)]
    options = BenchOptions(seconds=args.seconds, memory=False, energy=False)
    records, failures = measure_all(measured, options, note)
    models = with_front([_model(record) for record in records])
    if not models:
        raise InputError(
            "packages",
            got="no variant with labelled crops that runs here",
            expected="one or more",
            hint="; ".join(sorted({failure.reason for failure in failures})) or "give other --backends",
        )
    return {
        "evaluation": args.eval,
        "protocol": f"batch 1, {args.threads} thread(s), rounds in random order, up to {args.seconds:g} s each",
        "models": models,
        "failures": [_failure(failure) for failure in failures],
        "records": [record.to_json() for record in records],
    }


def candidates(package: Package, args: argparse.Namespace) -> list[Candidate]:
    """Every ONNX variant of a package on every requested backend that may run it."""
    manifest = package.manifest
    crops = read_evaluation(args.eval, manifest, samples=args.samples)
    one = {name: array[:1] for name, array in crops.inputs(manifest.takes_neutral).items()}
    return [
        Candidate(
            package.path.name,
            variant.name,
            variant.precision,
            backend,
            package.file(variant),
            BackendOptions(threads=args.threads),
            one,
            data=args.eval,
            accuracy=_scorer(crops, package),
        )
        for variant in manifest.variants
        for backend in args.backends.split(",")
        if variant.file.endswith(".onnx") and backend in variant.backends
    ]


def _scorer(crops: CropSet, package: Package) -> Callable[[Any], dict[str, Any]]:
    return lambda backend: accuracy(backend, crops, package.manifest)


def _model(record: Measurement) -> dict[str, Any]:
    assert record.facts is not None
    return {
        "package": record.package,
        "variant": record.variant,
        "backend": record.backend,
        "f1": record.accuracy["mean_f1"],
        "size_bytes": record.facts.size_bytes,
        "p50_ms": record.latency.p50_ms,
        "warnings": list(record.warnings),
    }


def _failure(failure: Failure) -> dict[str, str]:
    return {name: str(value) for name, value in vars(failure).items()}


def dominates(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether ``one`` is nowhere worse than ``other`` and somewhere better."""
    pairs = [(one[key], other[key]) for key in MORE] + [(-one[key], -other[key]) for key in LESS]
    return all(mine >= theirs for mine, theirs in pairs) and any(mine > theirs for mine, theirs in pairs)


def with_front(models: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add ``dominated_by``, the names of the models that dominate each. Models without F1 are left out."""
    known = [model for model in models if model["f1"] is not None]
    return [{**model, "dominated_by": [name(other) for other in known if dominates(other, model)]} for model in known]


def name(model: Mapping[str, Any]) -> str:
    """The name of a model in tables and plots."""
    return f"{model['package'].removesuffix('.edgeau')} {model['variant']} · {model['backend']}"


def markdown(value: Mapping[str, Any]) -> str:
    """The table, most accurate first."""
    lines = ["# Accuracy, size and time", "", f"Evaluated on `{value['evaluation']}`; {value['protocol']}.", ""]
    lines += ["| model | mean AU F1 | kB | p50, ms | |", "| --- | ---: | ---: | ---: | --- |"]
    for model in sorted(value["models"], key=lambda model: -model["f1"]):
        mark = f"dominated by {model['dominated_by'][0]}" if model["dominated_by"] else "**on the front**"
        figures = f"{model['f1']:.3f} | {model['size_bytes'] / 1e3:.0f} | {model['p50_ms']:.2f}"
        lines.append(f"| {name(model)} | {figures} | {mark} |")
    doubts = sorted({warning for model in value["models"] for warning in model["warnings"]})
    lines += ["", *(f"- {warning}" for warning in doubts)]
    lines += [f"- {one['package']} {one['variant']} on {one['backend']}: {one['reason']}" for one in value["failures"]]
    return "\n".join(lines).rstrip() + "\n"


def picture(models: Sequence[Mapping[str, Any]]) -> bytes:
    """A PNG: F1 over p50; the area of a point shows its size on disk. Dominated models are hollow and unnamed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(9.5, 5.5), layout="constrained")
    axes = figure.subplots()
    backends = sorted({model["backend"] for model in models})
    largest = max(model["size_bytes"] for model in models)
    for model in models:
        colour = PALETTE[backends.index(model["backend"]) % len(PALETTE)]
        face = "none" if model["dominated_by"] else colour
        area = 30 + 300 * model["size_bytes"] / largest
        axes.scatter(model["p50_ms"], model["f1"], s=area, facecolors=face, edgecolors=colour, linewidths=1.5)
    front = sorted(
        (model for model in models if not model["dominated_by"]), key=lambda model: (model["f1"], model["p50_ms"])
    )
    for number, model in enumerate(front):
        # Neighbours on the front are often close, so their names alternate between three heights.
        point, text = (model["p50_ms"], model["f1"]), (0, (-18, 12, -28)[number % 3])
        label = f"{Path(model['package']).stem} {model['variant']}"
        axes.annotate(label, point, xytext=text, textcoords="offset points", fontsize=7, ha="center")
    for backend, colour in zip(backends, PALETTE, strict=False):
        axes.scatter([], [], facecolors=colour, edgecolors=colour, label=backend)
    axes.legend(loc="lower right", frameon=False)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("p50 of one face, ms (filled: on the front; hollow: dominated; area: size of the file)")
    axes.set_ylabel("mean AU F1")
    axes.margins(x=0.25, y=0.15)
    axes.grid(color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())

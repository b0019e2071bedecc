"""What quantization costs and gains: accuracy, size and time of each package, before and after finishing, and rivals.

For FP32, FP16, NNCF's INT8 before finishing, the finished INT8 of each target, and other tools' INT8 of the same ONNX
on the same calibration crops: F1, AU decisions flipped and SQNR against FP32 on ONNX Runtime, on OpenVINO and as
TensorRT reads it (emulated); size; p50 at 1 and 2 threads, measured in turns; what TensorRT-RTX's importer says; and
what `edgeau optimize` chose, where it was run on the package. Slow models are judged on fewer crops, which it says.

    python -m edgeau.benchmarks.quantization_table cednn.edgeau --calib crops/train --eval crops/test -o results/int8
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgeau.optimize.onnx_graph.model_file import read_model
from edgeau.optimize.predict import predict_model
from edgeau.optimize.quantization.calibration import read_calibration
from edgeau.optimize.quantization.flavours import FLAVOURS, Finished, Flavour, finish_for, predict_finished
from edgeau.optimize.quantization.nncf_quantize import quantize_model
from edgeau.optimize.samples import RANGE_CROPS, graph_inputs, some
from edgeau.optimize.scoring import Scorer, read_evaluation
from edgeau.optimize.variants import float_variant
from edgeau.runtime.backends import Backend, BackendOptions, open_backend
from edgeau.runtime.device import fingerprint, usable_cores
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.files import write_json, write_text
from edgeau.runtime.manifest import Manifest
from edgeau.runtime.package import Package
from edgeau.runtime.parity import decisions_flipped, finite, sqnr_db
from edgeau.runtime.selection import Selection
from edgeau.runtime.terminal import note, say
from edgeau.runtime.timing import latency, time_calls, warm_up

from .provenance import provenance
from .rival_quantizers import rivals

ROUNDS, SLICE_S, WARM_UP_S = 8, 0.12, 0.04
# Seconds for all predictions of one package, and the fewest crops that say anything.
JUDGING_S, FEWEST_CROPS = 60.0, 96
# The emulated reader runs without graph optimizations, and other quantizers leave slow graphs.
SLOWER_THAN_FP32 = 2
READERS = ("onnxruntime", "openvino", "tensorrt (emulated)")
THREADS = (1, 2)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON and Markdown, print the table. Returns 2 where a package could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+")
    parser.add_argument("--calib", required=True)
    parser.add_argument("--eval", required=True)
    parser.add_argument("--samples", type=int, default=128, help="calibration crops")
    parser.add_argument("--eval-samples", type=int, default=480, help="evaluation crops; slow models get fewer")
    parser.add_argument("--olive", metavar="PYTHON", help="interpreter of an environment with olive-ai")
    parser.add_argument("-o", "--out", required=True, help="path without suffix; .json and .md are written")
    args = parser.parse_args(arguments)
    tables: list[dict[str, Any]] = []
    for path in args.packages:
        try:
            tables.append(measure_package(Path(path), args))
        except EdgeauError as error:
            note(f"quantization_table: {path}: {error}")
            continue
        write(tables, args)  # after each: a package takes minutes, and the next may fail or be interrupted
    if tables:
        say(Path(args.out).with_suffix(".md").read_text("utf-8"))
    return 0 if len(tables) == len(args.packages) else 2


def write(tables: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """The tables so far as JSON and Markdown, with what they were measured on."""
    value = {
        "device": fingerprint(),
        "load_average": os.getloadavg()[0],
        "provenance": dataclasses.asdict(provenance()),
        "protocol": f"{ROUNDS} rounds in random order, {SLICE_S} s each after {WARM_UP_S} s of warm-up; one crop",
        "calibration": args.calib,
        "evaluation": args.eval,
        "packages": tables,
    }
    write_json(Path(args.out).with_suffix(".json"), value)
    write_text(Path(args.out).with_suffix(".md"), markdown(value))


def measure_package(path: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Everything about one package, as plain values."""
    package = Package.open(path)
    manifest = package.manifest
    model = read_model(package.file(float_variant(manifest)))
    crops, calibration = read_calibration(args.calib, manifest, samples=args.samples, seed=0)
    started = time.monotonic()
    test = read_evaluation(args.eval, manifest, samples=args.eval_samples)
    read = time.monotonic()
    scorer = Scorer.of(test, manifest, predict_model(model, "onnxruntime", test, manifest))
    scorer = _affordable(scorer, time.monotonic() - read)
    files, failures = make_files(model, graph_inputs(crops, manifest), args.olive)
    rows = []
    for name, file in files.items():
        note(f"{path.name}: accuracy of {name}")
        rows.append(
            {
                "file": name,
                "size_bytes": len(file.SerializeToString()),
                "read_by": {reader: _accuracy(file, reader, scorer, manifest) for reader in READERS},
                "importer": importer_warnings(file),
            }
        )
    note(f"{path.name}: latency of {len(files)} files")
    one = {name: array[:1] for name, array in scorer.crops.inputs(manifest.takes_neutral).items()}
    times = latencies(files, one)
    for row in rows:
        row["p50_ms"] = times[str(row["file"])]
    return {
        "package": path.name,
        "family": manifest.family,
        "training": manifest.provenance.get("command", "unknown"),
        "calibration": calibration,
        "eval_samples": len(scorer.crops),
        "seconds": round(time.monotonic() - started, 1),
        "rows": rows,
        "failures": failures,
        "optimize": _as_json(manifest.selection.get(fingerprint())),
    }


def _as_json(selection: Selection | None) -> dict[str, Any]:
    return {} if selection is None else dataclasses.asdict(selection)


def _affordable(scorer: Scorer, seconds: float) -> Scorer:
    """The scorer on as many crops as all readers can run all files on in JUDGING_S, if FP32 took ``seconds``."""
    files = len(FLAVOURS) + 4
    count = JUDGING_S * len(scorer.crops) / (seconds * files * len(READERS) * SLOWER_THAN_FP32)
    return scorer.subset(max(FEWEST_CROPS, int(count)))


def make_files(
    model: onnx.ModelProto, samples: list[dict[str, np.ndarray]], olive: str | None = None
) -> tuple[dict[str, onnx.ModelProto], dict[str, str]]:
    """Every file that is compared, by name, and why others could not be made."""
    note("quantizing")
    unfinished = quantize_model(model, samples)
    few = some(samples, RANGE_CROPS)
    makers: dict[str, Callable[[], onnx.ModelProto]] = {
        "fp32": lambda: model,
        # Given a float model, this target makes the file that `edgeau optimize` adds as fp16.
        "fp16": lambda: _finished(model, FLAVOURS["tensorrt-fp16"], few),
        "NNCF, not finished": lambda: unfinished,
    }
    for target in (each for each in FLAVOURS.values() if each.name != "tensorrt-8"):
        makers[target.variant] = functools.partial(_finished, unfinished, target, few)
    for name, rival in rivals(olive).items():
        makers[name] = functools.partial(rival, model, samples)
    files: dict[str, onnx.ModelProto] = {}
    failures: dict[str, str] = {}
    for name, make in makers.items():
        try:
            files[name] = make()
        except Exception as error:  # noqa: BLE001 - a rival that fails is a result, whatever it raises
            failures[name] = _reason(error)
            note(f"{name}: {failures[name]}")
    return files, failures


def _finished(model: onnx.ModelProto, target: Flavour, samples: list[dict[str, np.ndarray]]) -> onnx.ModelProto:
    return finish_for(model, target, samples).model


def _reason(error: Exception) -> str:
    """What went wrong, in one line."""
    text = (str(error).strip().splitlines() or [""])[0][:200].rstrip()
    return text if isinstance(error, EdgeauError) else f"{type(error).__name__}: {text}"


def _accuracy(file: onnx.ModelProto, reader: str, scorer: Scorer, manifest: Manifest) -> dict[str, Any]:
    """Score, flips and SQNR of a file on one reader; the reason where that reader refuses it."""
    try:
        if reader.startswith("tensorrt"):
            outputs = predict_finished(Finished(FLAVOURS["tensorrt"], file, ()), scorer.crops, manifest)
        else:
            outputs = predict_model(file, reader, scorer.crops, manifest)
        if not np.isfinite(outputs).all():
            return {"refused": "outputs are not finite"}
        return {
            "metric": scorer.metric,
            "score": scorer.score(outputs).value,
            "flipped": decisions_flipped(scorer.reference, outputs, manifest.thresholds),
            "decisions": int(outputs.size),
            "sqnr_db": finite(sqnr_db(scorer.reference, outputs)),
        }
    except Exception as error:  # noqa: BLE001 - a rival's file may fail a reader in any way, or have other outputs
        return {"refused": _reason(error)}


Times = dict[str, dict[str, dict[str, float] | None]]


def latencies(files: dict[str, onnx.ModelProto], inputs: dict[str, np.ndarray]) -> Times:
    """Milliseconds of one crop by file, then by backend and threads: p50, and the lowest and highest p50 of a round."""
    samples: dict[tuple[str, str], list[np.ndarray]] = {}
    runners: dict[tuple[str, str], Backend] = {}
    table: Times = {name: {} for name in files}
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        for number, (name, file) in enumerate(files.items()):
            path = Path(folder) / f"{number}.onnx"
            onnx.save(file, str(path))
            for backend in ("onnxruntime", "openvino"):
                for threads in THREADS:
                    key = f"{backend}, {threads} thread{'s' * (threads > 1)}"
                    table[name][key] = None
                    try:
                        runners[name, key] = open_backend(backend, path, BackendOptions(threads=threads))
                        runners[name, key].infer(inputs)
                    except EdgeauError:
                        runners.pop((name, key), None)
        random, places = np.random.default_rng(0), list(runners)
        for _ in range(ROUNDS):
            for at in (places[index] for index in random.permutation(len(places))):
                runner = runners[at]
                warm_up(lambda runner=runner: runner.infer(inputs), WARM_UP_S)  # type: ignore[misc]
                taken = time_calls(lambda runner=runner: runner.infer(inputs), SLICE_S)  # type: ignore[misc]
                samples.setdefault(at, []).append(taken)
        for runner in runners.values():
            runner.close()
    for (name, key), parts in samples.items():
        rounds = [float(np.median(part)) for part in parts]
        p50_ms = latency(np.concatenate(parts)).p50_ms
        table[name][key] = {"p50": p50_ms, "lowest": min(rounds), "highest": max(rounds)}
    return table


def importer_warnings(model: onnx.ModelProto) -> dict[str, Any]:
    """What TensorRT-RTX's importer says of a file: whether it parses, its warnings (repeated ones once) and errors.

    None for both where it is not installed.
    """
    try:
        import tensorrt_rtx as trt
    except ImportError:
        return {"parsed": None, "warnings": None, "texts": ["tensorrt-rtx is not installed"]}

    collector = _collector(trt)
    collector.lines.clear()
    network = trt.Builder(collector).create_network(0)
    parser = trt.OnnxParser(network, collector)
    parsed = bool(parser.parse(model.SerializeToString()))
    errors = [parser.get_error(i).desc() for i in range(parser.num_errors)]
    texts = sorted({text.strip().splitlines()[0][:200] for text in (*collector.lines, *errors)})
    uint8 = sum("UINT8" in text for text in collector.lines)
    return {"parsed": parsed, "warnings": len(collector.lines), "uint8_warnings": uint8, "texts": texts}


@functools.cache
def _collector(trt: Any) -> Any:
    """A logger that keeps warnings and errors. One a process: TensorRT keeps the first that it is given."""

    class Collector(trt.ILogger):
        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if severity <= trt.ILogger.Severity.WARNING:
                self.lines.append(text)

    return Collector()


def markdown(value: dict[str, Any]) -> str:
    """The tables for a person."""
    lines = ["# INT8: accuracy, size and time", "", f"Device: {value['device']}. {value['protocol']}.", ""]
    lines += [f"Calibrated on `{value['calibration']}`, judged on `{value['evaluation']}`.", ""]
    if value["load_average"] > usable_cores() + 1:
        lines += [f"The machine was busy (load {value['load_average']:.1f}): these times are not to be compared.", ""]
    for table in value["packages"]:
        metric = table["rows"][0]["read_by"]["onnxruntime"].get("metric", "score")
        lines += [f"## {table['package']} ({table['family']})", ""]
        lines += [
            f"Each reader: {metric} / decisions flipped / SQNR in dB, against FP32 on ONNX Runtime, on "
            f"{table['eval_samples']} crops. "
            "Times: p50 in ms, with the lowest and highest of a round."
        ]
        columns = [*READERS, *table["rows"][0]["p50_ms"], "importer warnings"]
        lines += ["", "| file | kB | " + " | ".join(columns) + " |", "|" + " --- |" * (len(columns) + 2)]
        lines += [_row(row) for row in table["rows"]]
        lines += ["", *(f"- {name}: {reason}" for name, reason in table["failures"].items())]
        lines += [*_refusals(table["rows"]), ""]
        lines += _chosen(table["optimize"])
    return "\n".join(lines).rstrip() + "\n"


def _refusals(rows: list[dict[str, Any]]) -> list[str]:
    """Why a reader could not run a file, one line each."""
    return [
        f"- {row['file']} on {reader}: {found['refused']}"
        for row in rows
        for reader, found in row["read_by"].items()
        if "refused" in found
    ]


def _chosen(selection: dict[str, Any]) -> list[str]:
    """What `edgeau optimize` settled on for this device, where it was run on the package before."""
    if not selection:
        return []
    settings = ", ".join(f"{key} {selection[key]}" for key in ("variant", "backend", "threads", "batch"))
    return [f"`edgeau optimize` chose: {settings}.", ""]


def _time(taken: dict[str, float]) -> str:
    return f"{taken['p50']:.2f} ({taken['lowest']:.2f} to {taken['highest']:.2f})"


def _row(row: dict[str, Any]) -> str:
    cells = [row["file"], f"{row['size_bytes'] / 1e3:.0f}"]
    for found in row["read_by"].values():
        if "refused" in found:
            cells.append("refused")
            continue
        ratio = "exact" if found["sqnr_db"] is None else f"{found['sqnr_db']:.1f}"
        cells.append(f"{found['score']:.4f} / {found['flipped']} / {ratio}")
    cells += ["-" if taken is None else _time(taken) for taken in row["p50_ms"].values()]
    said = row["importer"]
    warnings = "-" if said["parsed"] is None else str(said["warnings"])
    cells.append("does not parse" if said["parsed"] is False else warnings)
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())

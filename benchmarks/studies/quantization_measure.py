"""Accuracy on every reader and latency on every backend of the files that the quantization table compares."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgeau.optimize.onnx_graph.model_file import read_model
from edgeau.optimize.predict import predict_model
from edgeau.optimize.quantization.calibration import read_calibration
from edgeau.optimize.quantization.flavours import FLAVOURS, Finished, predict_finished
from edgeau.optimize.samples import graph_inputs
from edgeau.optimize.scoring import Scorer, read_evaluation
from edgeau.optimize.variants import float_variant
from edgeau.runtime.backends import Backend, BackendOptions, open_backend
from edgeau.runtime.device import fingerprint
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.manifest import Manifest
from edgeau.runtime.package import Package
from edgeau.runtime.parity import decisions_flipped, finite, sqnr_db
from edgeau.runtime.terminal import note
from edgeau.runtime.timing import latency, time_calls, warm_up

from .importer_warnings import importer_warnings
from .quantization_files import FileOptions, make_files, reason

ROUNDS, SLICE_S, WARM_UP_S = 8, 0.12, 0.04
PROTOCOL = f"{ROUNDS} rounds in random order, {SLICE_S} s each after {WARM_UP_S} s of warm-up; one crop"
# Seconds for all predictions of one package, and the fewest crops that give a usable score.
EVALUATION_S, FEWEST_CROPS = 60.0, 96
# The emulated reader runs without graph optimizations, and other quantizers leave slow graphs.
SLOWER_THAN_FP32 = 2
READERS = ("onnxruntime", "openvino", "tensorrt (emulated)")
THREADS = (1, 2)

# Milliseconds of one crop by file, then by backend and threads; None if that backend refuses the file.
Times = dict[str, dict[str, dict[str, float] | None]]


def measure_package(path: Path, options: FileOptions) -> dict[str, Any]:
    """Everything about one package, as plain values."""
    package = Package.open(path)
    manifest = package.manifest
    model = read_model(package.file(float_variant(manifest)))
    crops, calibration = read_calibration(options.calibration, manifest, samples=options.samples, seed=0)
    started = time.monotonic()
    test = read_evaluation(options.evaluation, manifest, samples=options.eval_samples)
    read = time.monotonic()
    scorer = Scorer.of(test, manifest, predict_model(model, "onnxruntime", test, manifest))
    scorer = affordable(scorer, time.monotonic() - read)
    files, failures = make_files(model, graph_inputs(crops, manifest), options.olive_python)
    rows = []
    for name, file in files.items():
        note(f"{path.name}: accuracy of {name}")
        rows.append(
            {
                "file": name,
                "size_bytes": len(file.SerializeToString()),
                "read_by": {reader: accuracy_on(file, reader, scorer, manifest) for reader in READERS},
                "importer": importer_warnings(file),
            }
        )
    note(f"{path.name}: latency of {len(files)} files")
    one = {name: array[:1] for name, array in scorer.crops.inputs(manifest.takes_neutral).items()}
    times = latencies(files, one)
    for row in rows:
        row["p50_ms"] = times[str(row["file"])]
    selection = manifest.selection.get(fingerprint())
    return {
        "package": path.name,
        "family": manifest.family,
        "training": manifest.provenance.get("command", "unknown"),
        "calibration": calibration,
        "eval_samples": len(scorer.crops),
        "seconds": round(time.monotonic() - started, 1),
        "rows": rows,
        "failures": failures,
        "optimize": {} if selection is None else dataclasses.asdict(selection),
    }


def affordable(scorer: Scorer, seconds: float) -> Scorer:
    """The scorer on as many crops as every file can run on every reader in EVALUATION_S, if FP32 took ``seconds``."""
    files = len(FLAVOURS) + 4
    count = EVALUATION_S * len(scorer.crops) / (seconds * files * len(READERS) * SLOWER_THAN_FP32)
    return scorer.subset(max(FEWEST_CROPS, int(count)))


def accuracy_on(file: onnx.ModelProto, reader: str, scorer: Scorer, manifest: Manifest) -> dict[str, Any]:
    """Score, flips and SQNR of a file on one reader, or ``refused`` with the reason."""
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
        return {"refused": reason(error)}


def latencies(files: dict[str, onnx.ModelProto], inputs: dict[str, np.ndarray]) -> Times:
    """p50 of each file on each backend, with the lowest and highest p50 of a round."""
    table: Times = {name: {} for name in files}
    samples: dict[tuple[str, str], list[np.ndarray]] = {}
    with contextlib.ExitStack() as stack:
        runners = _open_all(files, inputs, stack)
        random, places = np.random.default_rng(0), [at for at, runner in runners.items() if runner is not None]
        for _ in range(ROUNDS):
            for at in (places[index] for index in random.permutation(len(places))):
                samples.setdefault(at, []).append(_time_slice(runners[at], inputs))
    for (name, key), runner in runners.items():
        table[name][key] = None if runner is None else _summary(samples[name, key])
    return table


def _open_all(
    files: dict[str, onnx.ModelProto], inputs: dict[str, np.ndarray], stack: contextlib.ExitStack
) -> dict[tuple[str, str], Backend | None]:
    """A backend for each file and setting; None if it can't be opened or run."""
    runners: dict[tuple[str, str], Backend | None] = {}
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeau-")))
    for number, (name, file) in enumerate(files.items()):
        path = folder / f"{number}.onnx"
        onnx.save(file, str(path))
        for backend in ("onnxruntime", "openvino"):
            for threads in THREADS:
                key = f"{backend}, {threads} thread{'s' * (threads > 1)}"
                runners[name, key] = None
                with contextlib.suppress(EdgeauError):
                    runner = stack.enter_context(open_backend(backend, path, BackendOptions(threads=threads)))
                    runner.infer(inputs)
                    runners[name, key] = runner
    return runners


def _time_slice(runner: Backend | None, inputs: dict[str, np.ndarray]) -> np.ndarray:
    assert runner is not None
    warm_up(lambda: runner.infer(inputs), WARM_UP_S)
    return time_calls(lambda: runner.infer(inputs), SLICE_S)


def _summary(parts: list[np.ndarray]) -> dict[str, float]:
    rounds = [float(np.median(part)) for part in parts]
    return {"p50": latency(parts).p50_ms, "lowest": min(rounds), "highest": max(rounds)}

"""An accuracy budget for INT8: the layers that cost most accuracy go back to float until the budget holds.

NNCF's `quantize_with_accuracy_control` does this too, and works on its ONNX backend with finishing in its validation
function. It is not used here because it calibrates again for each flavour and never checks whether a layer that it
reverted early is still needed in float. Instead: calibrate once for all flavours; revert each layer alone, finish and
score; then revert layers in the order of what each regained until the budget holds; finally quantize again those
without which it still holds.
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgeau.optimize.onnx_graph.operators import WEIGHTED_OPS
from edgeau.optimize.scoring import Scorer
from edgeau.runtime.backends import open_backend
from edgeau.runtime.manifest import Manifest
from edgeau.runtime.parity import sqnr_db
from edgeau.runtime.report import Report, silent
from edgeau.runtime.timing import time_calls

from .flavours import Finished, Flavour, finish_for, layers_in_float, predict_finished
from .revert import revert

RANKING_CROPS = 64
LATENCY_ROUNDS = 5
LATENCY_SECONDS = 0.1
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Restored:
    """The result of an accuracy budget.

    Attributes:
        finished: the model within the budget, or with all layers in float if none is.
        metric: name of the score.
        reference, before, after: scores of FP32, of plain INT8, and of the result.
        max_drop, held: the budget, and whether the result is within it.
        reverted: layers that went back to float, those that cost most accuracy first.
        latency_ms_before, latency_ms_after: median per crop, None where the flavour doesn't run here.
    """

    finished: Finished
    metric: str
    reference: float
    before: float
    after: float
    max_drop: float
    held: bool
    reverted: tuple[str, ...]
    latency_ms_before: float | None
    latency_ms_after: float | None

    def to_json(self) -> dict[str, Any]:
        """Everything but the model."""
        return {key: value for key, value in vars(self).items() if key != "finished"}


def restore_accuracy(
    model: onnx.ModelProto,
    quantized: onnx.ModelProto,
    flavour: Flavour,
    scorer: Scorer,
    manifest: Manifest,
    max_drop: float,
    progress: Report = silent,
    samples: Sequence[dict[str, np.ndarray]] = (),
) -> Restored:
    """Revert layers to float until the score is at most ``max_drop`` below FP32's.

    Args:
        model: the float model, nodes named as in ``quantized``.
        quantized: the same model quantized by NNCF.
        flavour: what to finish for; its reader's outputs are scored.
        scorer: scores outputs, and has FP32's.
        manifest: of the package.
        max_drop: in the metric's unit, 0..1.
        progress: called with a line for each step.
        samples: of the graph's inputs, as `finish_for` takes them.
    """
    reference = scorer.score(scorer.reference)
    floor = reference.value - max_drop - _ROUNDING
    trials = _Trials(model, quantized, flavour, scorer, manifest, samples)
    plain = best = trials.run(())
    if plain.score < floor:
        best = _within(floor, trials, progress)
    latencies: tuple[float | None, float | None] = (None, None)
    if best.reverted:
        latencies = _latencies([plain.finished, best.finished], flavour, scorer, manifest)
    return Restored(
        finished=best.finished,
        metric=reference.metric,
        reference=reference.value,
        before=plain.score,
        after=best.score,
        max_drop=max_drop,
        held=best.score >= floor,
        reverted=best.reverted,
        latency_ms_before=latencies[0],
        latency_ms_after=latencies[1],
    )


@dataclass(frozen=True)
class _Trial:
    """The model with some layers in float, and its score."""

    reverted: tuple[str, ...]
    finished: Finished
    score: float


@dataclass(frozen=True)
class _Trials:
    """Runs the model with some layers in float, finished for one flavour."""

    model: onnx.ModelProto
    quantized: onnx.ModelProto
    flavour: Flavour
    scorer: Scorer
    manifest: Manifest
    samples: Sequence[dict[str, np.ndarray]]

    def finished(self, layers: Sequence[str]) -> Finished:
        return finish_for(revert(self.quantized, self.model, layers), self.flavour, self.samples)

    def run(self, layers: Sequence[str]) -> _Trial:
        finished = self.finished(layers)
        outputs = predict_finished(finished, self.scorer.crops, self.manifest)
        return _Trial(tuple(layers), finished, self.scorer.score(outputs).value)


def _within(floor: float, trials: _Trials, progress: Report) -> _Trial:
    """The model with as few layers in float as reach the floor, or with all if none do."""
    order = _most_harmful_first(trials, progress)
    trial = None
    for count in range(1, len(order) + 1):
        trial = trials.run(order[:count])
        metric = f"{trials.scorer.metric} {trial.score:.4f}"
        progress(f"{trials.flavour.name}: {count} of {len(order)} layers back in float, {metric}")
        if trial.score >= floor:
            return _fewest(floor, trial, trials)
    return trial or trials.run(())


def _most_harmful_first(trials: _Trials, progress: Report) -> list[str]:
    """Quantized layers by score, then by signal to noise ratio, of the model with each layer alone in float."""
    in_float = set(layers_in_float(trials.quantized))
    nodes = trials.quantized.graph.node
    layers = [node.name for node in nodes if node.op_type in WEIGHTED_OPS and node.name not in in_float]
    some = trials.scorer.subset(RANKING_CROPS)
    regained: dict[str, tuple[float, float]] = {}
    for count, layer in enumerate(layers, 1):
        outputs = predict_finished(trials.finished([layer]), some.crops, trials.manifest)
        regained[layer] = (some.score(outputs).value, sqnr_db(some.reference, outputs))
        progress(f"{trials.flavour.name}: layer {count} of {len(layers)}: without {layer} {regained[layer][0]:.4f}")
    return sorted(layers, key=lambda layer: regained[layer], reverse=True)


def _fewest(floor: float, trial: _Trial, trials: _Trials) -> _Trial:
    """Quantize layers again that need not be in float, trying those that regained least first."""
    for layer in reversed(trial.reverted[:-1]):
        fewer = trials.run([name for name in trial.reverted if name != layer])
        if fewer.score >= floor:
            trial = fewer
    return trial


def _latencies(
    candidates: list[Finished], flavour: Flavour, scorer: Scorer, manifest: Manifest
) -> tuple[float | None, float | None]:
    """Median milliseconds per crop of two models, measured in turns; None for backends that don't run on a CPU."""
    if flavour.backend == "tensorrt":
        return None, None
    one = {name: array[:1] for name, array in scorer.crops.inputs(manifest.takes_neutral).items()}
    calls = []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeau-"))
        for index, finished in enumerate(candidates):
            file = Path(folder) / f"{index}.onnx"
            onnx.save(finished.model, str(file))
            backend = stack.enter_context(open_backend(flavour.backend, file))
            calls.append(functools.partial(backend.infer, one))
        samples: list[list[float]] = [[] for _ in calls]
        for _ in range(LATENCY_ROUNDS):
            for call, times_ms in zip(calls, samples, strict=True):
                call()
                times_ms += time_calls(call, LATENCY_SECONDS).tolist()
    before, after = (float(np.median(times_ms)) for times_ms in samples)
    return before, after

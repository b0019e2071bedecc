"""An accuracy budget for INT8: layers that cost most go back to float until the budget holds.

NNCF's `quantize_with_accuracy_control` does this as well, and runs on its ONNX backend with finishing inside its
validation function. It is not used here: it calibrates anew for every target, and never asks whether a layer that it
put back early is still needed. So: one calibration for all targets; for each layer, put that layer alone back, finish,
and score; then put layers back in the order of what each regained, scoring each step, until the budget holds; then
quantize again those that it holds without.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgeau.optimize.onnx_graph.model_file import drop_unused
from edgeau.optimize.scoring import Scorer
from edgeau.runtime.backends import Backend, open_backend
from edgeau.runtime.manifest import Manifest
from edgeau.runtime.parity import sqnr_db

from .flavours import DATA_MOVING_OPS, Finished, Target, finish_for, layers_in_float, predict_finished
from .scope import WEIGHTED_OPS

RANKING_CROPS = 64
LATENCY_ROUNDS = 5
LATENCY_SECONDS = 0.1


@dataclass(frozen=True)
class Restored:
    """What an accuracy budget did.

    Attributes:
        finished: the model that holds the budget, or the nearest to it with every layer back in float.
        metric, reference, before, after: the score of FP32, of plain INT8, and of the result.
        max_drop, held: the budget, and whether the result keeps it.
        reverted: layers that went back to float, costliest first.
        latency_ms_before, latency_ms_after: median of one crop on one thread, None where the target doesn't run here.
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
    target: Target,
    scorer: Scorer,
    manifest: Manifest,
    max_drop: float,
    progress: Callable[[str], None] = lambda _: None,
    samples: Sequence[dict[str, np.ndarray]] = (),
) -> Restored:
    """Put layers back to float until the score falls by no more than ``max_drop`` against FP32.

    Args:
        model: the float model, nodes named as in ``quantized``.
        quantized: what NNCF made of it.
        target: whose reading must hold the budget.
        scorer: scores outputs; knows FP32's.
        manifest: of the package.
        max_drop: in the metric's unit, 0..1.
        progress: called with a line for each step.
        samples: of the graph's inputs, as `finish_for` takes them.
    """
    reference = scorer.score(scorer.reference)
    plain = finish_for(quantized, target, samples)
    outputs = predict_finished(plain, scorer.crops, manifest)
    before = scorer.score(outputs).value
    floor = reference.value - max_drop
    trials = _Trials(model, quantized, target, scorer, manifest, samples)
    reverted: tuple[str, ...] = ()
    current, score = plain, before
    if score < floor - 1e-12:
        order = _costliest_first(trials, progress)
        for count in range(1, len(order) + 1):
            reverted = tuple(order[:count])
            current, score = trials.score(reverted)
            progress(f"{target.name}: {count} of {len(order)} layers back in float, {reference.metric} {score:.4f}")
            if score >= floor - 1e-12:
                reverted, current, score = _fewest(trials, reverted, current, score, floor)
                break
    times = _latencies([plain, current], target, scorer, manifest) if reverted else (None, None)
    return Restored(
        current, reference.metric, reference.value, before, score, max_drop, score >= floor - 1e-12, reverted, *times
    )


def revert(quantized: onnx.ModelProto, model: onnx.ModelProto, layers: Iterable[str]) -> onnx.ModelProto:
    """A copy of the quantized model in which these layers compute on float data and float weights again.

    A Q/DQ pair that then serves no quantized layer any more goes as well: rounding for an addition alone gains nothing.

    Args:
        quantized: Q/DQ model whose nodes kept the names that they have in ``model``.
        model: the float model.
        layers: names of weighted nodes. Names that are not in both are left alone.
    """
    result = copy.deepcopy(quantized)
    originals = {node.name: node for node in model.graph.node}
    floats = {tensor.name: tensor for tensor in model.graph.initializer}
    wanted = {name for name in layers if name in originals}
    pairs = _activation_pairs(result)
    useless = _useless_pairs(result, pairs, wanted)
    for node in result.graph.node:
        for index, name in enumerate(node.input):
            if name in pairs and (node.name in wanted or name in useless):
                node.input[index] = pairs[name]
            elif node.name in wanted and originals[node.name].input[index] in floats:
                # A name of its own: the quantized model still has the bias under the old one.
                weight = copy.deepcopy(floats[originals[node.name].input[index]])
                weight.name = f"{node.name}/float/{index}"
                result.graph.initializer.append(weight)
                node.input[index] = weight.name
    drop_unused(result)
    return result


def _activation_pairs(model: onnx.ModelProto) -> dict[str, str]:
    """What each activation's dequantized tensor was before its Q/DQ pair, by name."""
    sources = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        node.output[0]: sources[node.input[0]]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in sources and sources[node.input[0]] not in constants
    }


def _useless_pairs(model: onnx.ModelProto, pairs: dict[str, str], reverted: set[str]) -> set[str]:
    """Dequantized tensors that a reverted layer reads or makes, and that no layer which stays quantized reads."""
    producers = {output: node for node in model.graph.node for output in node.output}
    by_reverted: set[str] = set()
    by_others: set[str] = set()
    for node in model.graph.node:
        if node.op_type in WEIGHTED_OPS:
            read = _behind(node.input, producers, DATA_MOVING_OPS)[0]
            (by_reverted if node.name in reverted else by_others).update(read)
    useless = set()
    for name, source in pairs.items():
        made_by = _behind([source], producers, None)[1]
        if name not in by_others and (name in by_reverted or made_by & reverted):
            useless.add(name)
    return useless


def _behind(
    names: Iterable[str], producers: dict[str, onnx.NodeProto], through: frozenset[str] | None
) -> tuple[set[str], set[str]]:
    """Tensors met on the way up from ``names``, and the weighted layers at which the way ends.

    ``through`` are the operators that are passed; None passes all but weighted ones.
    """
    met, layers, stack = set(), set(), list(names)
    while stack:
        name = stack.pop()
        node = producers.get(name)
        if name in met:
            continue
        met.add(name)
        if node is not None and node.op_type in WEIGHTED_OPS:
            layers.add(node.name)
        elif node is not None and (through is None or node.op_type in through):
            stack.extend(node.input)
    return met, layers


@dataclass(frozen=True)
class _Trials:
    """Scores what a target makes of the model with some layers back in float."""

    model: onnx.ModelProto
    quantized: onnx.ModelProto
    target: Target
    scorer: Scorer
    manifest: Manifest
    samples: Sequence[dict[str, np.ndarray]]

    def finished(self, layers: Iterable[str]) -> Finished:
        return finish_for(revert(self.quantized, self.model, layers), self.target, self.samples)

    def score(self, layers: Iterable[str]) -> tuple[Finished, float]:
        finished = self.finished(layers)
        return finished, self.scorer.score(predict_finished(finished, self.scorer.crops, self.manifest)).value


def _costliest_first(trials: _Trials, progress: Callable[[str], None]) -> list[str]:
    """Quantized layers by what the score, then the signal to noise ratio, regains when each alone is put back."""
    in_float = set(layers_in_float(trials.quantized))
    nodes = trials.quantized.graph.node
    layers = [node.name for node in nodes if node.op_type in WEIGHTED_OPS and node.name not in in_float]
    some = trials.scorer.subset(RANKING_CROPS)
    regained: dict[str, tuple[float, float]] = {}
    for count, layer in enumerate(layers, 1):
        outputs = predict_finished(trials.finished([layer]), some.crops, trials.manifest)
        regained[layer] = (some.score(outputs).value, sqnr_db(some.reference, outputs))
        progress(f"{trials.target.name}: layer {count} of {len(layers)}: without {layer} {regained[layer][0]:.4f}")
    return sorted(layers, key=lambda layer: regained[layer], reverse=True)


def _fewest(
    trials: _Trials, reverted: tuple[str, ...], current: Finished, score: float, floor: float
) -> tuple[tuple[str, ...], Finished, float]:
    """Quantize again what turns out not to be needed: the layers that regained least first."""
    for layer in reversed(reverted[:-1]):
        fewer = tuple(name for name in reverted if name != layer)
        finished, found = trials.score(fewer)
        if found >= floor - 1e-12:
            reverted, current, score = fewer, finished, found
    return reverted, current, score


def _latencies(
    candidates: list[Finished], target: Target, scorer: Scorer, manifest: Manifest
) -> tuple[float | None, float | None]:
    """Median milliseconds of one crop for two models, measured in turns; None where the target is not a CPU backend."""
    if target.backend == "tensorrt":
        return None, None
    one = {name: array[:1] for name, array in scorer.crops.inputs(manifest.takes_neutral).items()}
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        backends: list[Backend] = []
        for index, finished in enumerate(candidates):
            file = Path(folder) / f"{index}.onnx"
            onnx.save(finished.model, str(file))
            backends.append(open_backend(target.backend, file))
        samples: list[list[float]] = [[] for _ in backends]
        for _ in range(LATENCY_ROUNDS):
            for backend, times in zip(backends, samples, strict=True):
                times += _timed(backend, one)
        for backend in backends:
            backend.close()
    before, after = (float(np.median(times)) for times in samples)
    return before, after


def _timed(backend: Backend, inputs: dict[str, np.ndarray]) -> list[float]:
    """Milliseconds of calls made during LATENCY_SECONDS, after one that warms up."""
    backend.infer(inputs)
    times: list[float] = []
    end = time.perf_counter() + LATENCY_SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        backend.infer(inputs)
        times.append((time.perf_counter() - start) * 1e3)
    return times

"""Predict on a data set, with a model or a package's backend, and compute metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from edgeau.runtime.crop_set import presence_of
from edgeau.runtime.evaluate import Metrics, au_metrics, with_intensity

from .batches import Batch, BatchOptions, plain_batches
from .data import FaceData
from .models import AuModel
from .models.intensity import expected_intensity

Outputs = Mapping[str, np.ndarray]
FLIP_NOTE = "averaged over each face and its mirror image, which `edgeau run` does not do"


@dataclass(frozen=True)
class Predictor:
    """Anything that predicts AU probabilities.

    Attributes:
        outputs: maps a batch to a graph's outputs: ``au`` float32 [N, A], 0..1; with such heads, ``expression`` float32
            [N, E], 0..1, and ``intensity`` float32 [N, A], 0..5.
        aus: names of the A columns.
        size_px: side of its input crops.
        takes_neutral: whether it uses the neutral.
    """

    outputs: Callable[[Batch], Outputs]
    aus: tuple[str, ...]
    size_px: int
    takes_neutral: bool


def model_predictor(model: AuModel, device: torch.device) -> Predictor:
    """A torch model, which is set to eval mode, as a predictor."""
    model.eval()

    @torch.no_grad()
    def outputs(batch: Batch) -> Outputs:
        moved = batch.to(device)
        output = model(moved.face, moved.neutral)
        values = {"au": output.au_logits.float().sigmoid()}
        if output.expression_logits is not None:
            values["expression"] = output.expression_logits.float().softmax(1)
        if model.intensity is not None:
            values["intensity"] = expected_intensity(model.intensity(output.au_logits.float()))
        return {name: value.cpu().numpy() for name, value in values.items()}

    return Predictor(outputs, tuple(model.config.aus), model.config.size_px, model.takes_neutral)


def flip_averaged(predictor: Predictor) -> Predictor:
    """A predictor that sees every face, and its neutral, as it is and mirrored, at twice the cost.

    Probabilities are averaged as logits, as AU-Net's published evaluation does (github.com/jingyang2017/AU-Net); other
    outputs as they are. Labels must not distinguish left from right; AUs don't.
    """

    def outputs(batch: Batch) -> Outputs:
        plain = {name: np.array(values) for name, values in predictor.outputs(batch).items()}
        mirrored = predictor.outputs(_mirrored(batch))
        return {name: _mean_of_logits(plain[name], mirrored[name]) if name == "au" else
                (plain[name] + mirrored[name]) / 2 for name in plain}  # fmt: skip

    return replace(predictor, outputs=outputs)


def _mirrored(batch: Batch) -> Batch:
    neutral = None if batch.neutral is None else batch.neutral.flip(2)
    return replace(batch, face=batch.face.flip(2), neutral=neutral, landmarks=None)


def _mean_of_logits(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The probability whose logit is the mean of those of two probabilities; NaN stays NaN."""
    # Float32 has no number between 1 - 6e-8 and 1, where the logit would be infinite.
    p, q = (np.clip(values.astype(np.float64), 1e-7, 1 - 1e-7) for values in (one, other))
    present, absent = np.sqrt(p * q), np.sqrt((1 - p) * (1 - q))
    return (present / (present + absent)).astype(np.float32)


def predict_rows(predictor: Predictor, data: FaceData, rows: np.ndarray, batch: int = 128) -> dict[str, np.ndarray]:
    """A predictor's outputs for these samples, each with its neutral, in this order."""
    options = BatchOptions(size_px=predictor.size_px, batch=batch, takes_neutral=predictor.takes_neutral)
    # Copied, because a backend may reuse the memory for its next outputs.
    parts = [
        {name: np.array(values) for name, values in predictor.outputs(part).items()}
        for part in plain_batches(data, rows, options)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def evaluate(
    predictor: Predictor,
    data: FaceData,
    rows: np.ndarray,
    *,
    present_from: float = 2.0,
    thresholds: float | tuple[float, ...] = 0.5,
    batch: int = 128,
) -> Metrics:
    """Metrics on these samples, each with its neutral.

    Args:
        predictor: the model; its AUs must be those of the data.
        data, rows: samples.
        present_from: intensity that counts as present.
        thresholds: probability from which an AU is predicted present.
        batch: samples per call.
    """
    outputs = predict_rows(predictor, data, rows, batch)
    intensity = data.intensity[rows]
    presence = presence_of(intensity, present_from)
    accuracy = None
    if "expression" in outputs:
        accuracy = _expression_accuracy(outputs["expression"], data.expression[rows])
    metrics = au_metrics(outputs["au"], presence, data.aus, thresholds, expression_accuracy=accuracy)
    return with_intensity(metrics, outputs["intensity"], intensity) if "intensity" in outputs else metrics


def mean_f1(
    model: nn.Module, data: FaceData, rows: np.ndarray, device: torch.device, present_from: float = 2.0
) -> float:
    """The mean F1 used for early stopping; 0 if no AU has a positive label."""
    assert isinstance(model, AuModel)
    return evaluate(model_predictor(model, device), data, rows, present_from=present_from).mean_f1 or 0.0


def _expression_accuracy(probability: np.ndarray, expression: np.ndarray) -> float | None:
    known = expression >= 0
    if not known.any():
        return None
    return float((probability[known].argmax(axis=1) == expression[known]).mean())

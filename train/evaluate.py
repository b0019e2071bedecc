"""Predict on a data set, with a model or a package's backend, and compute metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from edgeau.runtime.crop_set import presence_of
from edgeau.runtime.evaluate import Metrics, au_metrics

from .batches import Batch, BatchOptions, plain_batches
from .data import FaceData
from .models import AuModel


@dataclass(frozen=True)
class Predictor:
    """Anything that predicts AU probabilities.

    Attributes:
        probabilities: maps a batch to float32 [N, A], 0..1, and float32 [N, E] or None without an expression head.
        aus: names of the A columns.
        size_px: side of its input crops.
        takes_neutral: whether it uses the neutral.
    """

    probabilities: Callable[[Batch], tuple[np.ndarray, np.ndarray | None]]
    aus: tuple[str, ...]
    size_px: int
    takes_neutral: bool


def model_predictor(model: AuModel, device: torch.device) -> Predictor:
    """A torch model, which is set to eval mode, as a predictor."""
    model.eval()

    @torch.no_grad()
    def probabilities(batch: Batch) -> tuple[np.ndarray, np.ndarray | None]:
        moved = batch.to(device)
        output = model(moved.face, moved.neutral)
        expression = output.expression_logits
        softmax = None if expression is None else expression.float().softmax(1).cpu().numpy()
        return torch.sigmoid(output.au_logits.float()).cpu().numpy(), softmax

    return Predictor(probabilities, tuple(model.config.aus), model.config.size_px, model.takes_neutral)


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
    options = BatchOptions(size_px=predictor.size_px, batch=batch, takes_neutral=predictor.takes_neutral)
    predictions = [predictor.probabilities(part) for part in plain_batches(data, rows, options)]
    probability = np.concatenate([au for au, _ in predictions])
    intensity = data.intensity[rows]
    presence = presence_of(intensity, present_from)
    expressions = [expression for _, expression in predictions if expression is not None]
    accuracy = _expression_accuracy(np.concatenate(expressions), data.expression[rows]) if expressions else None
    return au_metrics(probability, presence, data.aus, thresholds, expression_accuracy=accuracy)


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

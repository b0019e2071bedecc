"""Predictions of a model over a data set, and what they are worth."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .batches import BatchOptions, plain_batches
from .data import FaceData
from .metrics import Metrics, au_metrics
from .models import AuModel


@torch.no_grad()
def predict(model: AuModel, data: FaceData, rows: np.ndarray, device: torch.device, batch: int = 128) -> np.ndarray:
    """AU probabilities of these samples, each with its neutral: float32 [len(rows), A]. Sets eval mode."""
    model.eval()
    options = BatchOptions(size_px=model.config.size_px, batch=batch, takes_neutral=model.takes_neutral)
    found = []
    for part in plain_batches(data, rows, options):
        moved = part.to(device)
        found.append(torch.sigmoid(model(moved.face, moved.neutral).au_logits.float()).cpu().numpy())
    return np.concatenate(found) if found else np.zeros((0, len(data.aus)), np.float32)


def presence(intensity: np.ndarray, present_from: float) -> np.ndarray:
    """Labels [N, A] as 1 present, 0 absent, NaN not labelled."""
    return np.where(np.isnan(intensity), np.nan, (intensity >= present_from).astype(np.float32))


def evaluate(
    model: AuModel, data: FaceData, rows: np.ndarray, device: torch.device, present_from: float = 2.0
) -> Metrics:
    """Metrics at probability 0.5 on these samples."""
    probability = predict(model, data, rows, device)
    return au_metrics(probability, presence(data.intensity[rows], present_from), data.aus)


def mean_f1(
    model: nn.Module, data: FaceData, rows: np.ndarray, device: torch.device, present_from: float = 2.0
) -> float:
    """The mean F1 by which training stops; 0 where no AU ever shows."""
    assert isinstance(model, AuModel)
    return evaluate(model, data, rows, device, present_from).mean_f1 or 0.0

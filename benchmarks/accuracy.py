"""Accuracy of one variant on labelled crops: F1 of each action unit, and what changed against FP32."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeau.runtime.backends import Backend
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.manifest import Manifest


def probabilities(backend: Backend, crops: CropSet, takes_neutral: bool, batch: int = 1) -> np.ndarray:
    """AU probabilities of all crops: float32 [N, A]."""
    inputs = crops.inputs(takes_neutral)
    rows = range(0, len(crops), batch)
    return np.concatenate([backend.infer({k: v[i : i + batch] for k, v in inputs.items()})["au"] for i in rows])


def f1(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    """2 TP / (2 TP + FP + FN) of decisions [N] against labels [N] (1, 0, or NaN for not labelled); None without a
    positive label, where F1 says nothing."""
    known = ~np.isnan(truth)
    present, decided = truth[known] == 1, predicted[known]
    if not present.any():
        return None
    hits = int((present & decided).sum())
    return 2 * hits / (int(present.sum()) + int(decided.sum()))


def accuracy(backend: Backend, crops: CropSet, manifest: Manifest, batch: int = 1) -> dict[str, Any]:
    """F1 of each AU at the manifest's thresholds.

    Returns:
        ``data``, ``samples``, ``f1`` by AU (None where no sample shows it), and ``mean_f1`` of those that have one.
    """
    values = probabilities(backend, crops, manifest.takes_neutral, batch)
    decided = values >= np.asarray(manifest.thresholds, np.float32)
    truth = crops.presence(manifest.aus)
    by_au = {au: f1(decided[:, i], truth[:, i]) for i, au in enumerate(manifest.aus)}
    known = [value for value in by_au.values() if value is not None]
    return {
        "data": crops.origin,
        "samples": len(crops),
        "f1": by_au,
        "mean_f1": sum(known) / len(known) if known else None,
    }

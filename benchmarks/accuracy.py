"""The accuracy that a measurement records, from the runtime's evaluator."""

from __future__ import annotations

from typing import Any

from edgeau.runtime.backends import Backend
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.evaluate import evaluate
from edgeau.runtime.manifest import Manifest


def accuracy(backend: Backend, crops: CropSet, manifest: Manifest, batch: int = 1) -> dict[str, Any]:
    """F1 of each AU at the manifest's thresholds.

    Returns:
        ``data``, ``samples``, ``f1`` by AU (None where no sample shows it), and ``mean_f1`` over those that have one.
    """
    metrics = evaluate(backend, crops, manifest, batch)
    return {"data": crops.origin, "samples": metrics.samples, "f1": metrics.f1, "mean_f1": metrics.mean_f1}

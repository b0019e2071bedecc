"""Presence thresholds per AU, chosen on validation data by one rule."""

from __future__ import annotations

import numpy as np

from edgeau.runtime.evaluate import f1

FEWEST = 20
TOLERANCE = 0.005
DEFAULT = 0.5
RULE = (
    f"the median of the thresholds from 0.05 to 0.95 whose F1 on the validation samples is within {TOLERANCE} of the "
    f"best; {DEFAULT} for an AU with fewer than {FEWEST} present or {FEWEST} absent labels"
)


def choose_thresholds(probability: np.ndarray, presence: np.ndarray) -> tuple[float, ...]:
    """One threshold per AU, by RULE.

    Args:
        probability: float [N, A], 0..1.
        presence: float [N, A], 1 present, 0 absent, NaN not labelled.
    """
    return tuple(_threshold(probability[:, i], presence[:, i]) for i in range(probability.shape[1]))


def _threshold(probability: np.ndarray, presence: np.ndarray) -> float:
    known = ~np.isnan(presence)
    score, positive = probability[known], presence[known] > 0.5
    positives = int(positive.sum())
    if min(positives, len(positive) - positives) < FEWEST:
        return DEFAULT
    candidates = np.arange(5, 96) / 100
    scores = []
    for candidate in candidates:
        predicted = score >= candidate
        scores.append(f1(int((predicted & positive).sum()), positives, int(predicted.sum())) or 0.0)
    good = candidates[np.array(scores) >= max(scores) - TOLERANCE]
    return round(float(np.median(good)), 3)

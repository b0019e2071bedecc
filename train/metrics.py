"""Per-AU metrics as the field reports them: F1 at a threshold with counts pooled over the set, accuracy and AUC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class AuMetrics:
    """What is known of one AU on one set.

    Attributes:
        labelled, positives: samples with a label, and with the AU present.
        f1, precision, recall, accuracy: at the threshold. F1 is None where the AU is never present in the set: it
            can't be told how well it is found. Precision is None where nothing was predicted present.
        auc: area under the ROC curve; None without both classes.
    """

    labelled: int
    positives: int
    f1: float | None
    precision: float | None
    recall: float | None
    accuracy: float | None
    auc: float | None


@dataclass(frozen=True)
class Metrics:
    """Metrics of a set.

    Attributes:
        per_au: by AU name.
        mean_f1, mean_accuracy, mean_auc: over the AUs for which they exist; None where for none.
        without_positives: AUs that the set never shows; they are in no mean.
        samples: number of samples.
        expression_accuracy: of the expression head, where there is one and labels are known.
    """

    per_au: dict[str, AuMetrics]
    mean_f1: float | None
    mean_accuracy: float | None
    mean_auc: float | None
    without_positives: tuple[str, ...]
    samples: int
    expression_accuracy: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def au_metrics(
    probability: np.ndarray,
    presence: np.ndarray,
    aus: Sequence[str],
    thresholds: float | Sequence[float] = 0.5,
    *,
    expression_accuracy: float | None = None,
) -> Metrics:
    """Metrics of predictions against labels.

    Args:
        probability: float [N, A], 0..1.
        presence: float [N, A], 1 present, 0 absent, NaN not labelled.
        aus: names of the A columns.
        thresholds: present is ``probability >= threshold``; one for all, or one an AU.
        expression_accuracy: to be reported beside.
    """
    limits = np.broadcast_to(np.asarray(thresholds, np.float64), (len(aus),))
    per_au = {au: _one(probability[:, i], presence[:, i], float(limits[i])) for i, au in enumerate(aus)}
    values = list(per_au.values())
    return Metrics(
        per_au=per_au,
        mean_f1=_mean([m.f1 for m in values]),
        mean_accuracy=_mean([m.accuracy for m in values]),
        mean_auc=_mean([m.auc for m in values]),
        without_positives=tuple(au for au, m in per_au.items() if m.positives == 0),
        samples=len(probability),
        expression_accuracy=expression_accuracy,
    )


def roc_auc(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Area under the ROC curve by the rank-sum identity (Mann and Whitney, 1947), ties counting one half."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return None
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    rank = (last - (counts - 1) / 2.0)[inverse]
    return float((rank[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def _one(probability: np.ndarray, presence: np.ndarray, threshold: float) -> AuMetrics:
    known = ~np.isnan(presence)
    score, positive = probability[known].astype(np.float64), presence[known] > 0.5
    predicted = score >= threshold
    hits = int((predicted & positive).sum())
    positives, claimed, labelled = int(positive.sum()), int(predicted.sum()), int(known.sum())
    return AuMetrics(
        labelled=labelled,
        positives=positives,
        f1=2 * hits / (positives + claimed) if positives else None,
        precision=hits / claimed if claimed else None,
        recall=hits / positives if positives else None,
        accuracy=float((predicted == positive).mean()) if labelled else None,
        auc=roc_auc(score, positive),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None

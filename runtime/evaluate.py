"""Run a model on a crop set and compare its outputs with labels.

This module has edgeau's only prediction loop over crops and its only F1, ICC and PCC; `parity` compares the outputs of
two models.

F1 = 2 TP / (2 TP + FP + FN), of presence decisions at a threshold, with counts pooled over all labelled crops of an AU.
The F1 of an AU without a positive label is None, and is not part of the mean. (With TP = 0 the formula would give 0
whatever the model predicts, which would say something about the data only.)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from .backends import Backend
from .crop_set import CropSet, codes_intensity
from .errors import BackendError
from .manifest import Manifest

BATCH = 16
Inputs = Mapping[str, np.ndarray]
Infer = Callable[[Dict[str, np.ndarray]], Mapping[str, np.ndarray]]


def predict(infer: Infer, inputs: Inputs, batch: int = BATCH, smallest: int = 1) -> Dict[str, np.ndarray]:
    """Outputs of a model for all crops, run in batches.

    Args:
        infer: a backend's ``infer``, or any function of a batch of inputs by name that returns outputs by name.
        inputs: uint8 [N, H, W, 3] by input name.
        batch: crops per call.
        smallest: the fewest crops that ``infer`` accepts, at most ``batch``. A smaller last batch is padded with its
            first crop, and the extra outputs are dropped.

    Returns:
        Arrays [N, ...] by output name.
    """
    count = len(next(iter(inputs.values())))
    parts: List[Dict[str, np.ndarray]] = []
    for start in range(0, count, batch):
        rows = np.arange(start, min(start + batch, count))
        padded = np.concatenate([rows, np.full(max(0, smallest - len(rows)), start)])
        outputs = infer({name: np.ascontiguousarray(array[padded]) for name, array in inputs.items()})
        # Copied, because a backend may reuse the memory for its next outputs.
        parts.append({name: np.array(array[: len(rows)]) for name, array in outputs.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def predict_aus(backend: Backend, inputs: Inputs, batch: int = BATCH, smallest: int = 1) -> np.ndarray:
    """AU probabilities float32 [N, A] of all crops; arguments as for `predict`.

    Raises:
        BackendError: the backend failed, or the graph has no output ``au``.
    """
    return _predict_named(backend, inputs, batch, smallest)["au"].astype(np.float32, copy=False)


def evaluate(backend: Backend, crops: CropSet, manifest: Manifest, batch: int = BATCH) -> Metrics:
    """Metrics of a package's variant on labelled crops, at the manifest's thresholds. Raises BackendError."""
    outputs = _predict_named(backend, crops.inputs(manifest.takes_neutral), batch)
    metrics = au_metrics(outputs["au"], crops.presence(manifest.aus), manifest.aus, manifest.thresholds)
    if not manifest.intensity:
        return metrics
    return with_intensity(metrics, outputs["intensity"], crops.intensity_of(manifest.aus))


def _predict_named(backend: Backend, inputs: Inputs, batch: int, smallest: int = 1) -> Dict[str, np.ndarray]:
    if "au" not in backend.output_names:
        raise BackendError(f"the graph has outputs {', '.join(backend.output_names)}, and none is called au")
    return predict(backend.infer, inputs, batch, smallest)


@dataclass(frozen=True)
class AuMetrics:
    """Metrics of one AU on one data set.

    Attributes:
        labelled, positives: crops with a label, and with the AU present.
        f1: at the threshold; None without a positive label.
        precision: at the threshold; None if nothing was predicted present.
        recall: at the threshold; None without a positive label.
        accuracy: at the threshold; None without a label.
        auc: area under the ROC curve; None unless there are positive and negative labels.
        icc: ICC(3,1) of predicted and labelled intensities; None without an intensity output, if no label differs, or
            if labels say presence only.
        pcc: Pearson's correlation of the same; also None if no prediction differs.
        mae: mean absolute error of the predicted intensities; None without an intensity output, or without labels of
            intensity.
    """

    labelled: int
    positives: int
    f1: Optional[float]
    precision: Optional[float]
    recall: Optional[float]
    accuracy: Optional[float]
    auc: Optional[float]
    icc: Optional[float] = None
    pcc: Optional[float] = None
    mae: Optional[float] = None


@dataclass(frozen=True)
class Metrics:
    """Metrics of a data set.

    Attributes:
        per_au: by AU name.
        mean_f1, mean_accuracy, mean_auc: over the AUs that have one; None if no AU has.
        without_positives: AUs without a positive label, which are not in the mean F1.
        samples: number of crops.
        expression_accuracy: of the expression head, if there is one and labels are known.
        mean_icc, mean_pcc, mean_mae: over the AUs that have one; None if no AU has.
    """

    per_au: Dict[str, AuMetrics]
    mean_f1: Optional[float]
    mean_accuracy: Optional[float]
    mean_auc: Optional[float]
    without_positives: Tuple[str, ...]
    samples: int
    expression_accuracy: Optional[float] = None
    mean_icc: Optional[float] = None
    mean_pcc: Optional[float] = None
    mean_mae: Optional[float] = None

    @property
    def f1(self) -> Dict[str, Optional[float]]:
        """F1 by AU name."""
        return {au: metrics.f1 for au, metrics in self.per_au.items()}

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def au_metrics(
    probability: np.ndarray,
    presence: np.ndarray,
    aus: Sequence[str],
    thresholds: Union[float, Sequence[float]] = 0.5,
    *,
    expression_accuracy: Optional[float] = None,
) -> Metrics:
    """Metrics of predictions against labels.

    Args:
        probability: float [N, A], 0..1.
        presence: float [N, A], 1 present, 0 absent, NaN not labelled.
        aus: names of the A columns.
        thresholds: an AU is predicted present if ``probability >= threshold``; one for all, or one per AU.
        expression_accuracy: copied into the result.
    """
    limits = np.broadcast_to(np.asarray(thresholds, np.float64), (len(aus),))
    per_au = {au: _metrics_of(probability[:, i], presence[:, i], float(limits[i])) for i, au in enumerate(aus)}
    values = list(per_au.values())
    return Metrics(
        per_au=per_au,
        mean_f1=mean_of([m.f1 for m in values]),
        mean_accuracy=mean_of([m.accuracy for m in values]),
        mean_auc=mean_of([m.auc for m in values]),
        without_positives=tuple(au for au, m in per_au.items() if m.positives == 0),
        samples=len(probability),
        expression_accuracy=expression_accuracy,
    )


def with_intensity(metrics: Metrics, predicted: np.ndarray, labelled: np.ndarray) -> Metrics:
    """Metrics with ICC(3,1), PCC and mean absolute error of intensities, pooled over all labelled samples of an AU.

    Args:
        metrics: of the same samples; its AUs name the columns.
        predicted: float [N, A], FACS 0..5.
        labelled: float [N, A], FACS 0..5, NaN where not labelled.
    """
    per_au = {}
    for column, (au, one) in enumerate(metrics.per_au.items()):
        if not codes_intensity(labelled[:, column]):
            per_au[au] = one
            continue
        known = ~np.isnan(labelled[:, column])
        ours, theirs = predicted[known, column].astype(np.float64), labelled[known, column].astype(np.float64)
        mae = float(np.abs(ours - theirs).mean())
        # With constant labels the figure would say something about the data only.
        varied = np.ptp(theirs) > 0
        icc = icc_3_1(np.stack([ours, theirs], axis=1)) if varied else None
        per_au[au] = replace(one, icc=icc, pcc=pearson(ours, theirs) if varied else None, mae=mae)
    values = per_au.values()
    return replace(
        metrics,
        per_au=per_au,
        mean_icc=mean_of([m.icc for m in values]),
        mean_pcc=mean_of([m.pcc for m in values]),
        mean_mae=mean_of([m.mae for m in values]),
    )


def icc_3_1(ratings: np.ndarray) -> Optional[float]:
    """ICC(3,1), the consistency of raters, by which AU intensities are usually scored.

    ``(BMS - EMS) / (BMS + (K - 1) EMS)`` with the mean squares between targets and of the residuals of a two-way
    analysis of variance (Shrout and Fleiss, "Intraclass correlations: uses in assessing rater reliability",
    Psychological Bulletin 86, 1979).

    Args:
        ratings: float [N, K], the values that K raters gave N targets. None is returned for fewer than two targets, and
            where all values are equal.
    """
    count, raters = ratings.shape
    if count < 2 or np.ptp(ratings) == 0:
        return None
    by_target, by_rater = ratings.mean(axis=1, keepdims=True), ratings.mean(axis=0, keepdims=True)
    between = raters * float(((by_target - ratings.mean()) ** 2).sum()) / (count - 1)
    residual = float(((ratings - by_target - by_rater + ratings.mean()) ** 2).sum()) / ((count - 1) * (raters - 1))
    return (between - residual) / (between + (raters - 1) * residual)


def pearson(one: np.ndarray, other: np.ndarray) -> Optional[float]:
    """Pearson's correlation coefficient (PCC): the covariance of two float [N], over the product of their deviations.

    None where it is undefined: fewer than two samples, or one of the two is constant.
    """
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def f1(hits: int, positives: int, predicted: int) -> Optional[float]:
    """F1 from counts: true positives, positive labels, positive predictions. None without a positive label."""
    return 2 * hits / (positives + predicted) if positives else None


def mean_of(values: Sequence[Optional[float]]) -> Optional[float]:
    """Mean of the known values; None if there are none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def roc_auc(score: np.ndarray, positive: np.ndarray) -> Optional[float]:
    """Area under the ROC curve by the rank-sum identity (Mann and Whitney, 1947); ties count one half.

    Args:
        score: float [N].
        positive: bool [N]. None is returned unless both classes occur.
    """
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return None
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    rank = (last - (counts - 1) / 2.0)[inverse]
    return float((rank[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def _metrics_of(probability: np.ndarray, presence: np.ndarray, threshold: float) -> AuMetrics:
    known = ~np.isnan(presence)
    score, positive = probability[known].astype(np.float64), presence[known] > 0.5
    predicted = score >= threshold
    hits = int((predicted & positive).sum())
    positives, predictions, labelled = int(positive.sum()), int(predicted.sum()), int(known.sum())
    return AuMetrics(
        labelled=labelled,
        positives=positives,
        f1=f1(hits, positives, predictions),
        precision=hits / predictions if predictions else None,
        recall=hits / positives if positives else None,
        accuracy=float((predicted == positive).mean()) if labelled else None,
        auc=roc_auc(score, positive),
    )

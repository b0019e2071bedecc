"""What a variant's outputs are worth: mean AU F1 where data is labelled, else decisions that stay as FP32 made them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeau.runtime.crop_set import CropSet, spread
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import Manifest
from edgeau.runtime.parity import decisions_flipped

MEAN_F1, UNFLIPPED = "mean AU F1", "share of AU decisions as FP32 made them"


@dataclass(frozen=True)
class Accuracy:
    """A score in 0..1, the more the better.

    Attributes:
        metric: MEAN_F1 or UNFLIPPED.
        value: the score.
        per_au: F1 by AU name; empty without labels.
    """

    metric: str
    value: float
    per_au: dict[str, float]


@dataclass(frozen=True)
class Judge:
    """Scores AU probabilities on one data set.

    Attributes:
        crops: what the probabilities are of.
        aus, thresholds: the model's.
        labels: float32 [N, A], 1, 0 or NaN for not labelled.
        reference: float32 [N, A], what FP32 says.
    """

    crops: CropSet
    aus: tuple[str, ...]
    thresholds: tuple[float, ...]
    labels: np.ndarray
    reference: np.ndarray

    @property
    def labelled(self) -> bool:
        """Whether any crop has a label of any of the model's AUs."""
        return not bool(np.isnan(self.labels).all())

    @property
    def metric(self) -> str:
        """Name of the score."""
        return MEAN_F1 if self.labelled else UNFLIPPED

    def subset(self, count: int) -> Judge:
        """The same on so many crops, as `rows_to_judge` chooses them."""
        rows = rows_to_judge(self.labels, count)
        crops = some_of(self.crops, rows)
        return dataclasses.replace(self, crops=crops, labels=self.labels[rows], reference=self.reference[rows])

    def score(self, outputs: np.ndarray) -> Accuracy:
        """Score probabilities float [N, A] of the same crops."""
        if not self.labelled:
            flipped = decisions_flipped(self.reference, outputs, self.thresholds)
            return Accuracy(UNFLIPPED, 1.0 - flipped / max(outputs.size, 1), {})
        per_au = f1_by_au(outputs, self.labels, self.aus, self.thresholds)
        return Accuracy(MEAN_F1, float(np.mean(list(per_au.values()))), per_au)


def read_evaluation(spec: str, manifest: Manifest, *, samples: int | None = None, seed: int = 0) -> CropSet:
    """Crops to judge accuracy on.

    Raises:
        InputError: nothing there, or an AU of the model that is labelled but never present, so that it has no F1.
    """
    crops = read_crops(spec, manifest.crop, limit=samples, seed=seed)
    labels = crops.presence(manifest.aus)
    columns = dict(zip(manifest.aus, labels.T, strict=True))
    absent = [au for au, column in columns.items() if not np.isnan(column).all() and not (column == 1).any()]
    if absent:
        raise InputError(
            f"evaluation data {spec}", got=f"no positive sample of {', '.join(absent)}",
            expected="at least one crop in which each labelled AU is present", hint="give more or other data",
        )  # fmt: skip
    return crops


def rows_to_judge(labels: np.ndarray, count: int) -> np.ndarray:
    """Indices of at most so many crops, spread evenly, and of one more for each AU that has no positive among them.

    Without a positive an AU's F1 is 0 whoever computes it, and damage to that AU would not be seen.

    Args:
        labels: float32 [N, A], 1, 0 or NaN for not labelled.
        count: of crops, before any is added.
    """
    rows = spread(len(labels), count)
    for column in labels.T:
        positive = np.flatnonzero(column == 1)
        if len(positive) and not np.isin(positive, rows).any():
            rows = np.union1d(rows, positive[len(positive) // 2])
    return rows


def some_of(crops: CropSet, rows: np.ndarray) -> CropSet:
    """The crops at these indices."""
    return dataclasses.replace(
        crops,
        faces=crops.faces[rows],
        neutrals=crops.neutrals[rows],
        intensity=crops.intensity[rows],
        subjects=tuple(crops.subjects[row] for row in rows),
    )


def make_judge(crops: CropSet, manifest: Manifest, reference: np.ndarray) -> Judge:
    """A judge of outputs on these crops; ``reference`` float32 [N, A] is what FP32 says of them."""
    return Judge(crops, manifest.aus, manifest.thresholds, crops.presence(manifest.aus), reference)


def f1_by_au(
    outputs: np.ndarray, labels: np.ndarray, aus: Sequence[str], thresholds: Sequence[float]
) -> dict[str, float]:
    """F1 = 2 TP / (2 TP + FP + FN) of each AU that has labels, over its labelled crops."""
    scores: dict[str, float] = {}
    for column, au in enumerate(aus):
        known = ~np.isnan(labels[:, column])
        if not known.any():
            continue
        present = outputs[known, column] >= thresholds[column]
        truth = labels[known, column] == 1
        hits = int((present & truth).sum())
        wrong = int((present != truth).sum())
        scores[au] = 2 * hits / (2 * hits + wrong) if hits + wrong else 0.0
    return scores

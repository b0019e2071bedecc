"""The score of a model's AU probabilities on one data set, by which quantization and search compare variants.

It is the mean F1 over AUs where the data is labelled, and otherwise the share of decisions that are as FP32 made them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from edgeau.runtime.crop_set import CropSet, spread
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import InputError
from edgeau.runtime.evaluate import au_metrics
from edgeau.runtime.manifest import Manifest
from edgeau.runtime.parity import decisions_flipped

MEAN_F1, UNFLIPPED = "mean AU F1", "share of AU decisions as FP32 made them"


@dataclass(frozen=True)
class Score:
    """A score in 0..1; higher is better.

    Attributes:
        metric: MEAN_F1 or UNFLIPPED.
        value: the score.
        per_au: F1 by name of each AU that has one (see `edgeau.runtime.evaluate`); empty without labels.
    """

    metric: str
    value: float
    per_au: dict[str, float]


@dataclass(frozen=True)
class Scorer:
    """Scores AU probabilities on one data set.

    Attributes:
        crops: what the probabilities are of.
        aus, thresholds: the model's.
        labels: float32 [N, A], 1, 0 or NaN for not labelled.
        reference: float32 [N, A], the probabilities that FP32 gives.
    """

    crops: CropSet
    aus: tuple[str, ...]
    thresholds: tuple[float, ...]
    labels: np.ndarray
    reference: np.ndarray

    @classmethod
    def of(cls, crops: CropSet, manifest: Manifest, reference: np.ndarray) -> Scorer:
        """A scorer for a package's outputs on these crops, for which FP32 gives ``reference``."""
        return cls(crops, manifest.aus, manifest.thresholds, crops.presence(manifest.aus), reference)

    @property
    def metric(self) -> str:
        """Name of the score: MEAN_F1 if any of the model's AUs has a positive label, and with it an F1."""
        return MEAN_F1 if (self.labels == 1).any() else UNFLIPPED

    def subset(self, count: int) -> Scorer:
        """The same on some of the crops, chosen by `rows_to_score`."""
        rows = rows_to_score(self.labels, count)
        return dataclasses.replace(
            self, crops=self.crops.take(rows), labels=self.labels[rows], reference=self.reference[rows]
        )

    def score(self, outputs: np.ndarray) -> Score:
        """Score probabilities float [N, A] of the same crops."""
        metrics = au_metrics(outputs, self.labels, self.aus, self.thresholds)
        if metrics.mean_f1 is None:
            flipped = decisions_flipped(self.reference, outputs, self.thresholds)
            return Score(UNFLIPPED, 1.0 - flipped / max(outputs.size, 1), {})
        return Score(MEAN_F1, metrics.mean_f1, {au: f1 for au, f1 in metrics.f1.items() if f1 is not None})


def read_evaluation(spec: str, manifest: Manifest, *, samples: int | None = None, seed: int = 0) -> CropSet:
    """Crops to score on.

    Args:
        spec: a data specification, as `read_crops` takes it.
        manifest: of the package that will be scored.
        samples: at most this many, spread evenly.
        seed: for sources that draw at random.

    Raises:
        InputError: nothing there, or an AU of the model that is labelled but never present, so that it has no F1.
    """
    crops = read_crops(spec, manifest.crop, limit=samples, seed=seed)
    labels = crops.presence(manifest.aus)
    columns = dict(zip(manifest.aus, labels.T, strict=True))
    absent = [au for au, column in columns.items() if not np.isnan(column).all() and not (column == 1).any()]
    if absent:
        raise InputError(
            f"evaluation data {spec}",
            got=f"no positive sample of {', '.join(absent)}",
            expected="at least one crop in which each labelled AU is present",
            hint="give more or other data",
        )
    return crops


def rows_to_score(labels: np.ndarray, count: int) -> np.ndarray:
    """Indices of ``count`` crops, spread evenly, and of one more for each AU that would have no positive among them.

    Without a positive an AU has no F1, and damage to it would not be seen.

    Args:
        labels: float32 [N, A], 1, 0 or NaN for not labelled.
        count: number of crops before any is added.
    """
    rows = spread(len(labels), count)
    for column in labels.T:
        positive = np.flatnonzero(column == 1)
        if len(positive) and not np.isin(positive, rows).any():
            rows = np.union1d(rows, positive[len(positive) // 2])
    return rows

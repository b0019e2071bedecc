from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score

from edgeau.optimize.scoring import MEAN_F1, UNFLIPPED, Scorer
from edgeau.runtime.crop_set import CropSet

AUS, LIMITS = ("AU01", "AU12"), (0.5, 0.3)
_UNIT = st.floats(0, 1, width=32)


@given(arrays(np.float32, (12, 2), elements=_UNIT), arrays(np.float32, (12, 2), elements=st.sampled_from([0.0, 1.0])))
def test_the_score_is_the_mean_of_scikit_learns_f1_over_aus_with_a_positive(outputs, labels):
    score = scorer_of(labels, outputs).score(outputs)
    shown = [column for column in (0, 1) if labels[:, column].any()]
    expected = [f1_score(labels[:, c], outputs[:, c] >= LIMITS[c], zero_division=0) for c in shown]
    assert list(score.per_au) == [AUS[c] for c in shown]
    assert score.value == pytest.approx(np.mean(expected) if shown else 1.0)
    assert score.metric == scorer_of(labels, outputs).metric == (MEAN_F1 if shown else UNFLIPPED)


def scorer_of(labels, reference):
    size = len(reference)
    faces = np.zeros((size, 4, 4, 3), np.uint8)
    crops = CropSet(faces, faces, AUS, np.zeros((size, 2), np.float32), ("",) * size, "test")
    return Scorer(crops, AUS, LIMITS, labels, reference)


def test_unlabelled_crops_and_aus_do_not_count():
    labels = np.array([[1, np.nan], [np.nan, np.nan], [0, np.nan]], np.float32)
    outputs = np.array([[0.9, 0.9], [0.9, 0.9], [0.1, 0.9]], np.float32)
    score = scorer_of(labels, outputs).score(outputs)
    assert score.metric == MEAN_F1
    assert score.per_au == {"AU01": 1.0}


def test_without_labels_the_score_is_the_share_of_unchanged_decisions():
    reference = np.array([[0.6, 0.2], [0.4, 0.4]], np.float32)
    outputs = np.array([[0.4, 0.2], [0.4, 0.4]], np.float32)
    scorer = scorer_of(np.full((2, 2), np.nan, np.float32), reference)
    score = scorer.score(outputs)
    assert (score.metric, score.value) == (UNFLIPPED, 0.75)
    assert scorer.score(reference).value == 1.0


def test_a_subset_is_spread_over_the_whole_set():
    reference = np.arange(20, dtype=np.float32).reshape(10, 2)
    scorer = dataclasses.replace(scorer_of(reference, reference))
    assert scorer.subset(3).reference[:, 0].tolist() == [0.0, 8.0, 18.0]
    assert len(scorer.subset(3).crops) == 3


def test_a_subset_keeps_a_positive_of_every_au_that_has_one():
    reference = np.zeros((100, 2), np.float32)
    labels = np.zeros((100, 2), np.float32)
    labels[37, 0], labels[[3, 50, 98], 1] = 1, 1
    some = scorer_of(labels, reference).subset(4)
    assert (some.labels == 1).any(axis=0).tolist() == [True, True]
    assert len(some.crops) == len(some.labels) == len(some.reference) == 6
    assert len(scorer_of(np.zeros((100, 2), np.float32), reference).subset(4).crops) == 4


def test_damage_to_a_rare_au_shows_in_a_small_subset():
    labels = np.zeros((100, 2), np.float32)
    labels[:, 0], labels[41, 1] = 1, 1
    some = scorer_of(labels, labels).subset(16)
    broken = some.reference * np.array([1, 0], np.float32)
    assert some.score(some.reference).value - some.score(broken).value == 0.5

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score

from edgeau.optimize.accuracy import MEAN_F1, UNFLIPPED, Judge, f1_by_au
from edgeau.runtime.crop_set import CropSet

AUS, LIMITS = ("AU01", "AU12"), (0.5, 0.3)
_UNIT = st.floats(0, 1, width=32)


@given(arrays(np.float32, (12, 2), elements=_UNIT), arrays(np.float32, (12, 2), elements=st.sampled_from([0.0, 1.0])))
def test_f1_is_that_of_scikit_learn(outputs, labels):
    scores = f1_by_au(outputs, labels, AUS, LIMITS)
    for column, au in enumerate(AUS):
        expected = f1_score(labels[:, column], outputs[:, column] >= LIMITS[column], zero_division=0)
        assert scores[au] == pytest.approx(expected)


def _judge(labels, reference):
    size = len(reference)
    faces = np.zeros((size, 4, 4, 3), np.uint8)
    crops = CropSet(faces, faces, AUS, np.zeros((size, 2), np.float32), ("",) * size, "test")
    return Judge(crops, AUS, LIMITS, labels, reference)


def test_unlabelled_crops_and_aus_do_not_count():
    labels = np.array([[1, np.nan], [np.nan, np.nan], [0, np.nan]], np.float32)
    outputs = np.array([[0.9, 0.9], [0.9, 0.9], [0.1, 0.9]], np.float32)
    score = _judge(labels, outputs).score(outputs)
    assert score.metric == MEAN_F1
    assert score.per_au == {"AU01": 1.0}


def test_without_labels_the_score_is_the_share_of_decisions_that_stayed():
    reference = np.array([[0.6, 0.2], [0.4, 0.4]], np.float32)
    outputs = np.array([[0.4, 0.2], [0.4, 0.4]], np.float32)
    judge = _judge(np.full((2, 2), np.nan, np.float32), reference)
    score = judge.score(outputs)
    assert (score.metric, score.value) == (UNFLIPPED, 0.75)
    assert judge.score(reference).value == 1.0


def test_a_subset_is_spread_over_the_set():
    reference = np.arange(20, dtype=np.float32).reshape(10, 2)
    judge = dataclasses.replace(_judge(reference, reference))
    assert judge.subset(3).reference[:, 0].tolist() == [0.0, 8.0, 18.0]
    assert len(judge.subset(3).crops) == 3


def test_a_subset_keeps_a_positive_of_each_au_that_has_one():
    reference = np.zeros((100, 2), np.float32)
    labels = np.zeros((100, 2), np.float32)
    labels[37, 0], labels[[3, 50, 98], 1] = 1, 1
    some = _judge(labels, reference).subset(4)
    assert (some.labels == 1).any(axis=0).tolist() == [True, True]
    assert len(some.crops) == len(some.labels) == len(some.reference) == 6
    assert len(_judge(np.zeros((100, 2), np.float32), reference).subset(4).crops) == 4


def test_damage_to_a_rare_au_is_seen_on_a_few_crops():
    labels = np.zeros((100, 2), np.float32)
    labels[:, 0], labels[41, 1] = 1, 1
    some = _judge(labels, labels).subset(16)
    broken = some.reference * np.array([1, 0], np.float32)
    assert some.score(some.reference).value - some.score(broken).value == 0.5

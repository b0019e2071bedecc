"""F1, accuracy and AUC agree with scikit-learn wherever both are defined, and ICC and PCC with printed tables."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeau.runtime.evaluate import au_metrics, icc_3_1, pearson, roc_auc, with_intensity

reference = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed, which is the reference")


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 80), st.integers(1, 4), st.floats(0.1, 0.9))
def test_every_metric_agrees_with_scikit_learn(seed, count, columns, threshold):
    rng = np.random.default_rng(seed)
    probability = rng.integers(0, 11, (count, columns)) / 10
    presence = rng.integers(0, 2, (count, columns)).astype(float)
    presence[rng.random((count, columns)) < 0.2] = np.nan
    aus = [f"AU{i + 1:02d}" for i in range(columns)]
    metrics = au_metrics(probability, presence, aus, threshold)
    for i, au in enumerate(aus):
        known = ~np.isnan(presence[:, i])
        truth, score = presence[known, i] == 1, probability[known, i]
        guess = score >= threshold
        one = metrics.per_au[au]
        assert (one.labelled, one.positives) == (known.sum(), truth.sum())
        if truth.any():
            assert one.f1 == pytest.approx(reference.f1_score(truth, guess, zero_division=0.0))
            assert one.recall == pytest.approx(reference.recall_score(truth, guess))
        else:
            assert one.f1 is None
            assert au in metrics.without_positives
        if guess.any():
            assert one.precision == pytest.approx(reference.precision_score(truth, guess, zero_division=0.0))
        if known.any():
            assert one.accuracy == pytest.approx(reference.accuracy_score(truth, guess))
        if 0 < truth.sum() < len(truth):
            assert one.auc == pytest.approx(reference.roc_auc_score(truth, score))
        else:
            assert one.auc is None


def test_the_mean_is_over_aus_with_positives():
    presence = np.array([[1, 0, np.nan], [0, 0, np.nan], [1, 0, np.nan]], float)
    probability = np.array([[0.9, 0.1, 0.5], [0.2, 0.1, 0.5], [0.1, 0.1, 0.5]])
    metrics = au_metrics(probability, presence, ["AU01", "AU02", "AU04"])
    assert metrics.per_au["AU01"].f1 == pytest.approx(2 / 3)
    assert metrics.mean_f1 == metrics.per_au["AU01"].f1
    assert metrics.without_positives == ("AU02", "AU04")
    assert metrics.per_au["AU04"].accuracy is None


def test_f1_pools_counts_over_the_set_instead_of_averaging_parts():
    rng = np.random.default_rng(0)
    probability, presence = rng.random((90, 1)), (rng.random((90, 1)) > 0.7).astype(float)
    whole = au_metrics(probability, presence, ["AU12"]).mean_f1
    parts = [au_metrics(probability[i : i + 30], presence[i : i + 30], ["AU12"]).mean_f1 for i in (0, 30, 60)]
    assert whole != pytest.approx(np.mean(parts))
    assert whole == pytest.approx(reference.f1_score(presence[:, 0] == 1, probability[:, 0] >= 0.5))


def test_thresholds_can_differ_per_au():
    presence = np.ones((4, 2))
    probability = np.full((4, 2), 0.4)
    metrics = au_metrics(probability, presence, ["AU01", "AU02"], [0.5, 0.3])
    assert (metrics.per_au["AU01"].recall, metrics.per_au["AU02"].recall) == (0.0, 1.0)


def test_auc_of_tied_scores_is_one_half():
    assert roc_auc(np.full(10, 0.3), np.arange(10) % 2 == 0) == pytest.approx(0.5)


def test_metrics_serialize_to_json():
    import json

    metrics = au_metrics(np.zeros((2, 1)), np.zeros((2, 1)), ["AU01"])
    assert json.loads(json.dumps(metrics.to_json()))["per_au"]["AU01"]["f1"] is None


def test_icc_reproduces_the_published_example():
    # Shrout and Fleiss, "Intraclass correlations", Psychological Bulletin 86 (1979), tables 2 and 4.
    ratings = [(9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9), (6, 2, 4, 7)]
    assert icc_3_1(np.array(ratings, float)) == pytest.approx(0.71, abs=0.005)
    assert icc_3_1(np.ones((4, 2))) is None


def test_pcc_reproduces_the_published_example():
    # Anscombe, "Graphs in statistical analysis", The American Statistician 27 (1973): the first and the fourth set.
    first = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5], [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]
    fourth = [8] * 7 + [19] + [8] * 3, [6.58, 5.76, 7.71, 8.84, 8.47, 7.04, 5.25, 12.50, 5.56, 7.91, 6.89]
    for x, y in (first, fourth):
        assert pearson(np.array(x, float), np.array(y)) == pytest.approx(0.816, abs=0.001)
    assert pearson(np.ones(3), np.arange(3.0)) is None


def test_intensities_are_scored_only_where_labelled():
    labelled = np.array([[0, 1, 2], [2, 1, np.nan], [4, 1, 5]], float)
    predicted = np.array([[1, 2, 2], [3, 2, 0], [5, 2, 4]], float)
    plain = au_metrics(np.zeros((3, 3)), labelled, ["AU01", "AU02", "AU04"])
    metrics = with_intensity(plain, predicted, labelled)
    # A constant shift lowers consistency by nothing but is still an error; labels that don't vary have no ICC.
    assert [metrics.per_au[au].icc for au in ("AU01", "AU02")] == [pytest.approx(1.0), None]
    assert [metrics.per_au[au].mae for au in ("AU01", "AU02", "AU04")] == [1.0, 1.0, 0.5]
    assert metrics.mean_mae == pytest.approx(2.5 / 3)
    assert [metrics.per_au[au].pcc for au in ("AU01", "AU02")] == [pytest.approx(1.0), None]
    assert plain.mean_icc is None

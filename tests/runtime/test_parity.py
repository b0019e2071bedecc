from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeau.runtime.errors import BackendError, InputError
from edgeau.runtime.parity import cosine, decisions_flipped, measure_parity, sqnr_db

_PROBABILITIES = arrays(np.float32, (6, 3), elements=st.floats(0, 1, width=32))


@given(_PROBABILITIES)
def test_identical_outputs_have_no_error(outputs):
    parity = measure_parity(outputs, outputs, (0.5, 0.2, 0.9), "random", "fp32")
    assert (parity.max_abs_error, parity.decisions_flipped, parity.sqnr_db) == (0.0, 0, None)
    assert (parity.samples, parity.decisions) == (6, 18)


@given(_PROBABILITIES, _PROBABILITIES)
def test_decisions_flipped_is_symmetric(a, b):
    limits = (0.5, 0.2, 0.9)
    assert decisions_flipped(a, b, limits) == decisions_flipped(b, a, limits) <= a.size


def test_values_computed_by_hand():
    reference = np.array([[0.6, 0.8]], np.float32)
    outputs = np.array([[0.5, 0.8]], np.float32)
    parity = measure_parity(reference, outputs, (0.55, 0.5), "data", "torch")
    assert parity.max_abs_error == pytest.approx(0.1, abs=1e-6)
    assert parity.mean_abs_error == pytest.approx(0.05, abs=1e-6)
    assert parity.sqnr_db == pytest.approx(20.0, abs=1e-4)  # signal 1, noise 0.01
    assert parity.decisions_flipped == 1
    assert cosine(reference, outputs) == pytest.approx(0.94 / np.sqrt(0.89), abs=1e-6)


@given(st.integers(-60, 60))
def test_sqnr_of_noise_with_a_known_amplitude(decibels):
    signal = np.ones(1000)
    noisy = signal + 10 ** (-decibels / 20)
    assert sqnr_db(signal, noisy) == pytest.approx(decibels, abs=1e-6)


def test_sqnr_edge_cases():
    ones = np.ones(4)
    assert sqnr_db(ones, ones) == np.inf
    assert sqnr_db(np.zeros(4), ones) == -np.inf
    with pytest.raises(InputError, match="expected shape"):
        sqnr_db(ones, np.ones(5))


def test_a_value_equal_to_the_threshold_counts_as_present():
    assert decisions_flipped(np.array([[0.5]]), np.array([[0.4999]]), [0.5]) == 1


def test_shapes_that_differ_are_refused():
    with pytest.raises(InputError, match="outputs to compare"):
        measure_parity(np.zeros((2, 3)), np.zeros((2, 2)), (0.5, 0.5), "data", "fp32")


def test_nan_outputs_raise_an_error():
    with pytest.raises(BackendError, match="1 of 2 outputs are NaN"):
        measure_parity(np.zeros((1, 2)), np.array([[0.0, np.nan]]), (0.5, 0.5), "data", "fp32")

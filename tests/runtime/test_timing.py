import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeau.runtime.timing import latency, time_calls, warm_up


def test_percentiles_of_known_samples():
    found = latency(np.arange(1, 102, dtype=np.float64))
    assert (found.p50_ms, found.p90_ms, found.p99_ms) == (51, 91, 100)
    assert (found.min_ms, found.max_ms, found.mean_ms, found.samples) == (1, 101, 51, 101)


def test_slow_calls_are_not_clipped():
    assert latency([1.0] * 99 + [1000.0]).max_ms == 1000


def test_scatter_is_called_unstable():
    assert latency([1.0, 1.0, 5.0]).unstable
    assert not latency([1.0, 1.01, 0.99]).unstable


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="no samples"):
        latency([])


@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=200))
def test_percentiles_are_ordered_and_inside_the_samples(samples):
    found = latency(samples)
    assert found.min_ms <= found.p50_ms <= found.p90_ms <= found.p99_ms <= found.max_ms
    assert found.cv >= 0


def test_at_least_the_asked_number_of_calls_is_timed():
    calls = []
    samples = time_calls(lambda: calls.append(1), seconds=0, min_samples=7)
    assert len(samples) == len(calls) == 7
    assert (samples >= 0).all()


class SteppingClock:
    """A clock that moves by ``step_s`` each time it is read."""

    def __init__(self, step_s):
        self.now, self.step_s = 0.0, step_s

    def __call__(self):
        self.now += self.step_s
        return self.now


def test_calls_are_timed_until_the_time_is_up():
    samples = time_calls(lambda: None, seconds=1.0, clock=SteppingClock(0.25))
    assert samples.tolist() == [250.0] * 4


def test_no_more_calls_than_allowed_are_timed():
    assert len(time_calls(lambda: None, seconds=1e9, max_samples=5, clock=SteppingClock(1.0))) == 5


def test_warm_up_calls_at_least_once():
    calls = []
    assert warm_up(lambda: calls.append(1), seconds=0) >= 0
    assert len(calls) == 1

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeau.runtime.timing import latency, time_calls, warm_up, warm_up_until_steady


def test_percentiles_of_known_samples():
    times = latency([np.arange(1, 1002, dtype=np.float64)])
    assert (times.p50_ms, times.p90_ms, times.p99_ms) == (501, 901, 991)
    assert times.p999_ms == pytest.approx(1000)
    assert (times.min_ms, times.max_ms, times.mean_ms, times.samples, times.rounds) == (1, 1001, 501, 1001, 1)


def test_p50_is_the_median_over_rounds_regardless_of_calls_per_round():
    times = latency([np.full(1, 3.0), np.full(100, 1.0), np.full(2, 2.0)])
    assert times.p50_ms == 2.0


def test_slow_calls_are_not_clipped():
    assert latency([np.array([1.0] * 99 + [1000.0])]).max_ms == 1000


def test_intervals_need_enough_rounds_for_p50_and_enough_calls_for_the_rest():
    few = latency([np.ones(100)] * 5)
    assert few.p50_interval_ms == (0, None)
    assert few.p50_uncertainty == np.inf
    assert few.p90_interval_ms == (1, 1)
    assert few.p999_interval_ms[1] is None
    steady = latency([np.full(1000, each) for each in (0.98, 1.0, 1.0, 1.0, 1.0, 1.02)])
    assert steady.p50_interval_ms == (0.98, 1.02)
    assert steady.p50_uncertainty == pytest.approx(0.02)
    assert steady.p999_interval_ms == (1.02, 1.02)


@pytest.mark.parametrize("rounds", [[], [np.zeros(0)]])
def test_no_samples_are_refused(rounds):
    with pytest.raises(ValueError, match="no samples"):
        latency(rounds)


@given(st.lists(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=50), min_size=1, max_size=20))
def test_percentiles_are_ordered_and_inside_the_samples(rounds):
    times = latency([np.array(each) for each in rounds])
    assert times.min_ms <= times.p90_ms <= times.p99_ms <= times.p999_ms <= times.max_ms
    assert times.min_ms <= times.p50_ms <= times.max_ms
    low, high = times.p50_interval_ms
    assert low <= times.p50_ms
    assert high is None or times.p50_ms <= high


def test_at_least_min_samples_calls_are_timed():
    calls = []
    samples = time_calls(lambda: calls.append(1), seconds=0, min_samples=7)
    assert len(samples) == len(calls) == 7
    assert (samples >= 0).all()


class SteppingClock:
    """A clock that advances by ``step_s`` each time it is read."""

    def __init__(self, step_s):
        self.now, self.step_s = 0.0, step_s

    def __call__(self):
        self.now += self.step_s
        return self.now


def test_calls_are_timed_until_the_time_is_up():
    samples = time_calls(lambda: None, seconds=1.0, clock=SteppingClock(0.25))
    assert samples.tolist() == [250.0] * 4


def test_at_most_max_samples_calls_are_timed():
    assert len(time_calls(lambda: None, seconds=1e9, max_samples=5, clock=SteppingClock(1.0))) == 5


def test_warm_up_calls_at_least_once():
    calls = []
    assert warm_up(lambda: calls.append(1), seconds=0) >= 0
    assert len(calls) == 1


class Warming:
    """A call that gets faster until it has run ``cold`` times, and the clock that measures it."""

    def __init__(self, cold):
        self.calls, self.cold, self.now = 0, cold, 0.0

    def __call__(self):
        self.calls += 1
        self.now += 0.01 * (1 + max(0, self.cold - self.calls))

    def clock(self):
        return self.now


@pytest.mark.parametrize("cold", [0, 10, 40])
def test_warm_up_ends_soon_after_calls_stop_getting_faster(cold):
    call = Warming(cold)
    taken = warm_up_until_steady(call, limit_s=1e9, slice_s=0.05, clock=call.clock)
    assert cold <= call.calls <= cold + 25
    assert taken == pytest.approx(call.now)


def test_warm_up_of_calls_that_never_settle_ends_at_the_limit():
    call = Warming(10**6)
    warm_up_until_steady(call, limit_s=1.0, slice_s=0.05, clock=call.clock)
    assert call.calls >= 1

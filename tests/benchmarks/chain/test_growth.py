"""Costs per unit and growth from times with a known fixed part and slope."""

import math

import pytest

from edgeau.benchmarks.chain.growth import costs, growths
from edgeau.benchmarks.chain.measure import Times
from edgeau.benchmarks.chain.steps import Point

FIXED_S = (1.0, 1.5, 5.0)  # a disturbance in the last round affects all sizes alike


def times(step, each_s, count, unit, model="", batch=0):
    wall = tuple(fixed + each_s * count for fixed in FIXED_S)
    return Times(Point(step, (step,), count=count, unit=unit, model=model, batch=batch), wall, wall)


def test_the_fixed_part_is_what_all_sizes_have_in_common():
    (cost,) = costs([times("synth", 0.01, count, "image") for count in (128, 32, 64)])
    assert (cost.step, cost.unit) == ("synth", "image")
    assert cost.each_s.median == pytest.approx(0.01)
    assert (cost.fixed_s.low, cost.fixed_s.median, cost.fixed_s.high) == pytest.approx(FIXED_S)


def test_a_step_timed_at_one_size_has_no_cost_per_unit():
    assert costs([times("optimize", 1, 1, "package", "m")]) == []


def test_growth_along_batch_and_model_is_that_of_a_single_step():
    measured = [
        times("train", each_s, steps, "step", model, batch)
        for model, batch, each_s in (("s", 16, 0.1), ("s", 64, 0.4), ("m", 16, 0.1 * 2**0.5))
        for steps in (2, 8)
    ]
    by_batch, by_model = growths(measured, {"s": 10_000_000, "m": 20_000_000})
    assert by_batch.along == "batch, 16 to 64 (s)"
    assert by_batch.per_doubling.median == pytest.approx(2)
    assert by_model.along == "MMACs of the model, 10 to 20 (s to m)"
    assert by_model.per_doubling.median == pytest.approx(2**0.5)


def test_growth_along_images_includes_the_fixed_part():
    (growth,) = growths([times("synth", 1.0, count, "image") for count in (1, 4)], {})
    assert (growth.from_s, growth.to_s) == (2.5, 5.5)
    assert growth.per_doubling.median == pytest.approx((5.5 / 2.5) ** 0.5)


def test_a_negative_difference_gives_no_factor():
    noisy = [
        Times(Point("train", (), count=count, unit="step", model="s", batch=batch), (wall_s,), (wall_s,))
        for batch, count, wall_s in ((16, 2, 1.0), (16, 8, 0.9), (32, 2, 1.0), (32, 8, 2.0))
    ]
    (growth,) = growths(noisy, {})
    assert math.isnan(growth.per_doubling.median)


def test_rounds_that_not_all_sizes_have_are_ignored():
    whole, cut = times("synth", 0.5, 2, "image"), times("synth", 0.5, 4, "image")
    (cost,) = costs([whole, Times(cut.point, cut.wall_s[:2], cut.cpu_s[:2])])
    assert cost.each_s.low == pytest.approx(cost.each_s.high) == pytest.approx(0.5)

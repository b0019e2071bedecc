"""The choice of a candidate: by whole frames if they were measured, and never one that is slower than FP32."""

from __future__ import annotations

import numpy as np
import pytest

from edgeau.optimize.search.candidates import Candidate
from edgeau.optimize.search.decide import decide
from edgeau.optimize.search.frames import FrameRace
from edgeau.optimize.search.race import race
from edgeau.optimize.search.runner import Runner
from edgeau.runtime.manifest import Variant

FP32 = "fp32 on onnxruntime, 1 thread"
INT8 = "int8 on openvino, 1 thread"
MORE = "fp32 on onnxruntime, 2 threads"
# Noise of a measurement, relative to its value.
NOISE = 0.02


def _runner(variant, backend, threads):
    file = Variant(variant, f"{variant}.onnx", "", 1, variant, (backend,))
    return Runner(Candidate(file, backend, threads), None, {}, 1.0, None, lambda: 0.0)


def _race(costs, seed, cost):
    """A settled race of costs around these means."""
    random = np.random.default_rng(seed)
    calls = {name: lambda mean=mean: float(mean * np.exp(random.normal(0, NOISE))) for name, mean in costs.items()}
    return race(calls, deadline=float("inf"), keep=[FP32], cost=cost)


@pytest.fixture
def decided():
    """A function that decides between candidates with the given milliseconds per crop and per frame."""

    def run(crop_ms, frame_ms, stream_ms=None):
        runners = {
            FP32: _runner("fp32", "onnxruntime", 1),
            INT8: _runner("int8", "openvino", 1),
            MORE: _runner("fp32", "onnxruntime", 2),
        }
        models = _race(crop_ms, 1, "cost")
        for label, runner in runners.items():
            runner.pace_ms = models.costs[label]
        frames = None
        if frame_ms is not None:
            calls = _race(frame_ms, 2, "time per frame")
            streams = stream_ms or dict.fromkeys(frame_ms, 2.0)
            frames = FrameRace(calls, {name: [streams[name]] * len(costs) for name, costs in calls.costs.items()})
        return decide(runners, models, frames, FP32, {}, "latency")

    return run


def test_the_fastest_model_is_chosen_if_no_frames_were_measured(decided):
    assert decided({FP32: 1.0, INT8: 0.7, MORE: 0.8}, None).label == INT8


def test_a_faster_model_loses_if_its_frames_take_longer(decided):
    chosen = decided({FP32: 1.0, INT8: 0.7, MORE: 0.8}, {FP32: 3.0, INT8: 3.3, MORE: 3.6})
    assert chosen.label == FP32
    assert "times the time per frame of fp32 on onnxruntime, 1 thread" in chosen.losers[INT8]
    assert chosen.ms_per_frame == chosen.fp32_ms_per_frame == pytest.approx(3.0, rel=NOISE)
    assert {entry.label: round(entry.ms_per_frame, 1) for entry in chosen.measured} == {FP32: 3.0, INT8: 3.3, MORE: 3.6}


def test_equal_frames_are_decided_by_threads_and_then_by_the_model(decided):
    same = {FP32: 3.0, INT8: 2.99, MORE: 2.98}
    assert decided({FP32: 1.0, INT8: 0.9, MORE: 0.6}, same).label == INT8
    chosen = decided({FP32: 0.99, INT8: 1.2, MORE: 0.6}, same)
    assert chosen.label == FP32
    assert set(chosen.ties) | set(chosen.losers) == {INT8, MORE}


def test_a_candidate_with_slower_frames_than_fp32_is_never_chosen(decided):
    assert decided({FP32: 1.0, INT8: 0.2, MORE: 0.3}, {FP32: 2.0, INT8: 2.5, MORE: 2.5}).label == FP32


def test_a_candidate_that_slows_a_stream_is_not_chosen(decided):
    frames, streams = {FP32: 3.0, INT8: 2.9, MORE: 2.5}, {FP32: 2.0, INT8: 2.02, MORE: 2.4}
    chosen = decided({FP32: 1.0, INT8: 0.7, MORE: 0.8}, frames, streams)
    assert chosen.label == INT8
    assert chosen.losers[MORE] == f"a stream takes 1.20 times as long as with FP32 ({FP32})"
    assert (chosen.stream_per_s, chosen.fp32_stream_per_s) == pytest.approx((1e3 / 2.02, 500))


def test_a_model_slower_than_fp32_is_never_chosen(decided):
    chosen = decided({FP32: 1.0, INT8: 1.3, MORE: 1.4}, {FP32: 3.0, INT8: 2.5, MORE: 2.6})
    assert chosen.label == FP32
    assert chosen.times_fp32 == 1.0

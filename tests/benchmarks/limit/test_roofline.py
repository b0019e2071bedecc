"""The limit of a model computed by hand, and records with limits."""

import pytest

from edgeau.benchmarks.candidates import candidates_of
from edgeau.benchmarks.limit import roofline
from edgeau.benchmarks.limit.layers import Layer, Layers
from edgeau.benchmarks.limit.operators import OperatorTime
from edgeau.benchmarks.limit.peak import Peak
from edgeau.benchmarks.limit.roofline import limit_of, with_limits

PEAK = Peak("cpu", 1, {"fp32": 100.0, "int8": 400.0}, {1_000_000: 50.0, 100_000_000: 10.0})
BUSY = Layer("a", "Conv 3x3", "fp32", 100_000_000, 1000, 1000)  # 1 ms of arithmetic
WIDE = Layer("b", "MaxPool", "fp32", 0, 0, 500_000)  # 0.01 ms of bandwidth


def test_the_limit_of_a_layer_is_the_longer_of_compute_and_memory_time():
    limit = limit_of(Layers((BUSY, WIDE)), 1, p50_ms=2.02, peak=PEAK)
    assert (limit.compute_ms, limit.memory_ms) == (pytest.approx(1.0), pytest.approx(0.01))
    assert limit.share == pytest.approx(0.5)
    assert limit.gmacs_per_s == pytest.approx(100 / 2.02)


def test_a_batch_reads_the_weights_once():
    limit = limit_of(Layers((BUSY,)), 4, p50_ms=8.0, peak=PEAK)
    assert limit.limit_ms == pytest.approx(4.0)
    assert (limit.weight_bytes, limit.activation_bytes) == (1000, 4000)


def test_a_large_working_set_has_the_bandwidth_of_main_memory():
    large = Layer("c", "Gemm", "fp32", 1, 2_000_000, 0)
    assert limit_of(Layers((large,)), 1, 1.0, PEAK).gbytes_per_s == 10.0
    assert limit_of(Layers((BUSY,)), 1, 1.0, PEAK).gbytes_per_s == 50.0


def test_a_precision_that_was_not_probed_has_no_limit():
    assert limit_of(Layers((Layer("d", "Conv", "fp16", 1, 1, 1),)), 1, 1.0, PEAK) is None


def test_a_record_gets_its_limit_and_a_profile_of_operators(package, monkeypatch):
    monkeypatch.setattr(roofline, "cpu_peak", lambda threads: PEAK)
    candidates, _ = candidates_of(package, backends=["onnxruntime"], threads=(1,))
    record = {
        "package": "small", "variant": "fp32", "backend": "onnxruntime", "threads": 1, "batch": 1,
        "latency": {"p50_ms": 1.0},
    }  # fmt: skip
    (result,), peaks = with_limits([record], candidates)
    assert peaks == [PEAK]
    assert 0 < result["limit"]["share"] < 0.01
    kinds = {row["kind"] for row in result["limit"]["operators"]}
    assert "Conv 3x3" in kinds
    assert "Conv" not in kinds


def test_a_peak_that_a_model_exceeds_is_measured_again_and_finally_dropped(package, monkeypatch):
    slow = Peak("cpu", 1, {"fp32": 1e-3}, {1: 1e-3})
    fast = Peak("cpu", 1, {"fp32": 1e3}, {1: 1e3})
    probes = [slow, slow, fast]
    monkeypatch.setattr(roofline, "cpu_peak", lambda threads: probes.pop(0) if probes else slow)
    candidates, _ = candidates_of(package, backends=["onnxruntime"], threads=(1,))
    record = {
        "package": "small", "variant": "fp32", "backend": "onnxruntime", "threads": 1, "batch": 1,
        "latency": {"p50_ms": 1.0}, "warnings": [],
    }  # fmt: skip
    (result,), peaks = with_limits([record], candidates)
    assert peaks[0].gmacs_per_s == fast.gmacs_per_s
    assert result["limit"]["share"] < 1
    (result,), _ = with_limits([record], candidates)
    assert result["limit"] is None
    assert "too busy" in result["warnings"][0]


def test_the_summary_names_the_operators_with_most_time_above_the_limit():
    rows = [OperatorTime("Conv 3x3, 4 groups", 7, 0.6, 0.06), OperatorTime("Transpose", 2, 0.3, 0.0),
            OperatorTime("Conv 1x1", 7, 0.1, 0.09)]  # fmt: skip
    assert roofline.summary(rows) == (
        "Conv 3x3, 4 groups (7) takes 60% of the time at 10% of the limit; "
        "Transpose (2) takes 30% of the time, which the limit has not"
    )

import json

import numpy as np
import pytest

from edgeau.benchmarks.candidates import Candidate, candidates_of
from edgeau.benchmarks.harness import measure, measure_all
from edgeau.benchmarks.measurement import BenchOptions
from edgeau.runtime.backends import BackendOptions, FakeBackend

QUICK = BenchOptions(warmup_s=0, seconds=1e-9, rounds=2, memory=False)


def test_measuring_a_backend_gives_a_record_with_every_sample():
    backend = FakeBackend({"face": (8, 8, 3)}, au_count=2)
    record = measure(backend, {"face": np.zeros((4, 8, 8, 3), np.uint8)}, QUICK)
    assert record.latency.samples == len(record.samples_ms) == 2
    assert record.batch == 4
    assert record.throughput_per_s == pytest.approx(4e3 / record.latency.mean_ms)
    assert record.machine.cpu in record.device
    assert record.machine.cores
    assert record.provenance.versions["numpy"] == np.__version__
    assert json.loads(json.dumps(record.to_json(), allow_nan=False))["protocol"] == "edgeau-bench-2"


def test_gpu_time_is_recorded_if_the_backend_measures_it():
    backend = FakeBackend({"face": (8, 8, 3)}, 1)
    inputs = {"face": np.zeros((2, 8, 8, 3), np.uint8)}
    assert measure(backend, inputs, QUICK).gpu_p50_ms is None
    backend.gpu_ms = lambda batch: np.array([batch, batch, 9.0])
    assert measure(backend, inputs, QUICK).gpu_p50_ms == 2.0


def test_energy_is_either_a_figure_or_a_reason():
    record = measure(FakeBackend({"face": (8, 8, 3)}, 1), {"face": np.zeros((1, 8, 8, 3), np.uint8)}, QUICK)
    assert record.energy.energy_mj or record.energy.reason


def test_every_backend_of_a_variant_is_measured(package):
    candidates, failures = candidates_of(package)
    records, failed = measure_all(candidates, QUICK)
    assert (failures, failed) == ([], [])
    assert [(r.variant, r.backend) for r in records] == [("fp32", "onnxruntime"), ("fp32", "openvino")]
    for record in records:
        assert record.facts.macs == 16 * 16 * 8 * 27 + 16
        assert record.settings["version"]
        assert record.threads == 1
        assert record.load_ms > 0


def test_a_candidate_that_fails_does_not_stop_the_others(package, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x08")
    candidates, _ = candidates_of(package, backends=["onnxruntime"])
    bad = Candidate("small", "broken", "fp32", "onnxruntime", broken, BackendOptions(), candidates[0].inputs)
    records, failures = measure_all([bad, *candidates], QUICK)
    assert [r.variant for r in records] == ["fp32"]
    assert [f.variant for f in failures] == ["broken"]
    assert "\n" not in failures[0].reason

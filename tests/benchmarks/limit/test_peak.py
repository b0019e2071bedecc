"""The probe on real backends and a fake GPU: it must measure something, no matter how much."""

import sys

import numpy as np
import pytest
from fakes.cuda import FakeGpu, install_binding
from fakes.tensorrt import make_tensorrt

from edgeau.benchmarks.limit import peak
from edgeau.benchmarks.limit.peak import Peak, copy_bandwidth, cpu_peak, gpu_peak, write_probe
from edgeau.runtime.backends import BackendOptions, open_backend


@pytest.mark.parametrize("precision", peak.PRECISIONS)
@pytest.mark.parametrize("backend", peak.CPU_BACKENDS)
def test_the_probe_runs_in_every_precision(tmp_path, backend, precision):
    macs = write_probe(tmp_path / "probe.onnx", precision)
    assert macs == pytest.approx(16 * 16 * (3 * 512 + 4 * 512 * 512), rel=1e-3)
    with open_backend(backend, tmp_path / "probe.onnx") as opened:
        assert opened.infer({"face": np.zeros((1, 16, 16, 3), np.uint8)})["au"].shape == (1, 4)


def test_cpu_peak_measures_arithmetic_and_bandwidth_per_working_set(monkeypatch):
    monkeypatch.setattr(peak, "_COMPUTE_S", 0.0)
    monkeypatch.setattr(peak, "_COPY_S", 0.0)
    monkeypatch.setattr(peak, "_COPY_BYTES", (2**18, 2**20))
    result = cpu_peak(2, ["fp32"])
    assert result.gmacs_per_s["fp32"] > 0
    assert result.backend["fp32"] in peak.CPU_BACKENDS
    assert all(copy_bandwidth(1)[size] > 0 for size in (2**18, 2**20))


def test_bandwidth_is_that_of_the_smallest_working_set_that_fits_the_model():
    result = Peak("cpu", 1, {}, {1000: 9.0, 2000: 5.0})
    assert [result.bandwidth(size) for size in (10, 1000, 1001, 9999)] == [9.0, 9.0, 5.0, 5.0]
    assert Peak("gpu", None, {}, {}).bandwidth(1) is None


def test_best_of_combines_the_best_of_two_probes():
    one = Peak("cpu", 1, {"fp32": 5.0, "int8": 9.0}, {10: 1.0}, {"fp32": "a", "int8": "a"})
    other = Peak("cpu", 1, {"fp32": 6.0}, {10: 2.0}, {"fp32": "b"})
    assert peak.best_of(one, other) == Peak("cpu", 1, {"fp32": 6.0, "int8": 9.0}, {10: 2.0}, {"fp32": "b", "int8": "a"})


def test_gpu_peak_is_measured_with_an_engine(monkeypatch):
    gpu = FakeGpu()
    monkeypatch.setitem(sys.modules, "tensorrt", make_tensorrt("10.3", gpu, side=16, aus=4))
    install_binding(monkeypatch, "cuda-python", gpu)
    monkeypatch.delitem(sys.modules, "edgeau.runtime.backends.tensorrt", raising=False)
    result = gpu_peak("tensorrt", BackendOptions())
    sys.modules.pop("edgeau.runtime.backends.tensorrt", None)
    assert result.device == "gpu"
    assert set(result.backend.values()) == {"tensorrt"}
    assert set(result.gmacs_per_s) >= {"fp32", "int8"}

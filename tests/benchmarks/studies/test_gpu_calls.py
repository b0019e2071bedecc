import numpy as np
import pytest

from edgeau.benchmarks.studies.gpu.calls import main, measure_calls
from edgeau.runtime.backends import FakeBackend


def test_wall_time_is_compared_with_gpu_time():
    backend = FakeBackend({"face": (8, 8, 3)}, 1)
    backend.gpu_ms = lambda batch: np.full(5, 0.001)
    record = measure_calls(backend, batch=2, seconds=0.01)
    assert record["batch"] == 2
    assert record["gpu_p50_ms"] == pytest.approx(0.001)
    assert record["wall_over_gpu"] == pytest.approx(record["latency"]["p50_ms"] / 0.001)


def test_without_tensorrt_each_combination_gives_a_reason_and_nothing_is_written(tmp_path, capsys):
    out = tmp_path / "records.json"
    assert main([str(tmp_path / "no.engine"), "-o", str(out)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 6  # three bindings, with a CUDA graph and without
    assert not out.exists()

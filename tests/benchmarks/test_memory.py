import contextlib

import numpy as np
import pytest

from edgeau.benchmarks import memory
from edgeau.benchmarks.candidates import candidates_of
from edgeau.benchmarks.memory import measure_fresh, run_and_weigh
from edgeau.runtime.backends import BackendOptions, FakeBackend
from edgeau.runtime.errors import BackendError


def test_memory_is_measured_in_a_separate_process(package):
    candidate = candidates_of(package, backends=["onnxruntime"])[0][0]
    usage, cold = measure_fresh("onnxruntime", candidate.file, candidate.options, candidate.inputs)
    assert 5 < usage.python_mib <= usage.imports_mib <= usage.loaded_mib <= usage.peak_mib < 1000
    assert usage.model_mib == pytest.approx(usage.peak_mib - usage.imports_mib, abs=0.02)
    assert usage.gpu_mib is None
    assert min(cold.imports_ms, cold.load_ms, cold.first_ms, cold.second_ms) > 0
    assert cold.total_ms == pytest.approx(cold.imports_ms + cold.load_ms + cold.first_ms)


def test_a_failure_in_the_separate_process_is_reported(package, tmp_path):
    candidate = candidates_of(package, backends=["onnxruntime"])[0][0]
    with pytest.raises(BackendError, match="failed while its memory was measured"):
        measure_fresh("onnxruntime", tmp_path / "nothing.onnx", candidate.options, candidate.inputs)


def test_gpu_memory_of_an_engine_is_measured(monkeypatch, tmp_path):
    free = iter([4 << 30, (4 << 30) - (96 << 20)])

    class Cuda:
        released = 0
        activate = staticmethod(contextlib.nullcontext)

        def memory_info(self):
            return next(free), 8 << 30

        def release(self):
            Cuda.released += 1

    monkeypatch.setattr(memory, "open_cuda", Cuda)
    monkeypatch.setattr(memory, "missing", lambda name: None)
    monkeypatch.setattr(memory, "open_backend", lambda *_: FakeBackend({"face": (8, 8, 3)}, 1))
    inputs = {"face": np.zeros((1, 8, 8, 3), np.uint8)}
    usage, _ = run_and_weigh("tensorrt", tmp_path / "net.engine", BackendOptions(), inputs, start_s=0.0)
    assert usage.gpu_mib == 96
    assert Cuda.released == 2

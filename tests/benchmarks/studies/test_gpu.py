"""The studies that need a GPU, as far as they can be tested without one: on TensorRT for RTX and on fakes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes.tensorrt import plan_bytes

from edgeau.benchmarks.studies.gpu import endurance, engines, plans
from edgeau.optimize.engine.builder import BuiltEngine
from edgeau.optimize.engine.describe import EngineOrigin, make_sidecar
from edgeau.runtime.backends import FakeBackend
from edgeau.runtime.engine_check import preflight
from edgeau.runtime.engine_file import write_sidecar
from edgeau.runtime.errors import EngineError
from edgeau.runtime.machine import Machine
from edgeau.runtime.package import shipped_package

H200 = Machine(model="NVIDIA H200", compute_capability="9.0", tensorrt="10.3.0.1")


@pytest.fixture
def plan(tmp_path):
    """A plan with the header of TensorRT 10.3, and its sidecar."""
    data = plan_bytes("10.3", {"inputs": ["face"], "side": 8, "outputs": {"au": [1, 3]}, "batch": [1, 1, 4]})
    file = tmp_path / "net.engine"
    file.write_bytes(data)
    built = BuiltEngine(data, "10.3.0.1", "tensorrt", {"face": [8, 8, 3]}, 7, (), {}, (), 0.1)
    write_sidecar(file, make_sidecar(built, EngineOrigin("net", "fp32", "fp32.onnx", "0" * 64, "fp32", "fp32"), H200))
    return file


def test_an_engine_that_cannot_be_built_is_a_row_with_its_error(tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx, which builds without a GPU, is not installed")
    monkeypatch.setenv("EDGEAU_TENSORRT", "tensorrt_rtx")
    package, out = tmp_path / "shipped.edgeau", tmp_path / "engines.json"
    shutil.copytree(shipped_package(), package)
    shutil.copyfile(package / "fp32.onnx", tmp_path / "shipped.nncf.onnx")
    assert engines.main([str(package), "--skip-parity", "--batch", "2", "-o", str(out)]) == 1
    rows = {row["precision"]: row for row in json.loads(out.read_text())["rows"]}
    assert list(rows) == ["fp32", "fp16", "int8", "int8, not finished"]
    assert (package / "engines" / Path(rows["fp32"]["engine"]).name).stat().st_size == rows["fp32"]["size_bytes"]
    assert rows["fp32"]["first_s"] > 0
    assert rows["fp32"]["cached_s"] > 0
    assert "edgeau quantize" in rows["int8"]["error"]
    assert rows["int8, not finished"]["layers"] == rows["fp32"]["layers"]
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_every_altered_plan_is_refused_before_deserialization(plan):
    def load(copy):
        try:
            preflight(copy, H200)
        except EngineError as error:
            return str(error)
        return "loaded"

    result = plans.study(plan, load)
    assert bytes.fromhex(result["header"]).startswith(b"ftrt")
    assert result["inspect"]["tensorrt"] == "10.3.0.1"
    answers = result["loading"]
    assert "altered after it was built" in answers["flipped byte"]
    assert "truncated" in answers["cut in half"]
    assert "8.7" in answers["other compute capability"]
    assert "sidecar" in answers["no sidecar"]
    assert answers["unaltered"] == answers["flipped byte, sidecar fits"] == "loaded"


def test_without_tensorrt_no_plan_is_loaded_but_results_are_written(plan, tmp_path):
    out = tmp_path / "plans.json"
    assert plans.main([str(plan), "-o", str(out)]) == 1
    (result,) = json.loads(out.read_text())
    assert "loaded" not in result["loading"].values()


def test_growing_memory_and_changing_outputs_are_counted(tmp_path, monkeypatch):
    backend = FakeBackend({"face": (8, 8, 3)}, 2)
    memory = iter(range(100, 0, -10))
    monkeypatch.setattr(endurance, "open_backend", lambda name, file: backend)
    monkeypatch.setattr(endurance, "gpu_free_mib", lambda name: float(next(memory)))
    monkeypatch.setattr(endurance, "REOPEN_EVERY", 10)
    result = endurance.endure(tmp_path / "net.engine", 20, (1, 3))
    assert result["changed_outputs"] == 0
    assert result["gpu_growth_mib"] == 10
    assert [sample["calls"] for sample in result["memory"]] == [10, 20]

    monkeypatch.setattr(backend, "infer", lambda inputs: {"au": np.random.default_rng().random((1, 2))})
    monkeypatch.setattr(endurance, "gpu_free_mib", lambda name: 0.0)
    assert endurance.endure(tmp_path / "net.engine", 20, (1,))["changed_outputs"] == 20

"""Engines for fakes of TensorRT on a fake GPU, and a real ONNX file."""

import dataclasses
import hashlib
import importlib
import sys

import numpy as np
import pytest
from fakes.cuda import BINDING_MODULES, FakeGpu, install_binding
from fakes.tensorrt import make_tensorrt, plan_bytes

from edgeau.runtime.engine_file import EngineSidecar, write_sidecar
from edgeau.runtime.machine import Machine

SIDE, AUS = 8, 3
INPUTS = ("neutral", "face")


@pytest.fixture
def gpu():
    """A GPU with memory of its own."""
    return FakeGpu()


@pytest.fixture
def make_engine(tmp_path):
    """A function that makes an engine of a TensorRT version, with a sidecar that any unknown machine may run."""

    def make(version="10.3", batch=(1, 1, 4), outputs=None, **changes):
        network = {"inputs": INPUTS, "side": SIDE, "outputs": {"au": [1, AUS], **(outputs or {})}, "batch": batch}
        plan = plan_bytes(version, {**network, "dla_core": changes.get("settings", {}).get("dla_core")})
        path = tmp_path / "engines" / "net.engine"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(plan)
        write_sidecar(path, sidecar_of(plan, version, batch, **changes))
        return path

    return make


@pytest.fixture
def engine(make_engine):
    """An engine of TensorRT 10.3."""
    return make_engine("10.3")


def sidecar_of(plan, version, batch, **changes):
    """The sidecar that `edgeau build` would write for the plan."""
    sidecar = EngineSidecar(
        engine_sha256=hashlib.sha256(plan).hexdigest(),
        engine_size_bytes=len(plan),
        onnx_file="fp32.onnx",
        onnx_sha256="0" * 64,
        made_from="fp32",
        package="net",
        flavour="tensorrt",
        tensorrt=f"{version}.0.1",
        precision="fp16",
        asked_precision="int8",
        batch=batch,
        inputs={"face": [SIDE, SIDE, 3], "neutral": [SIDE, SIDE, 3]},
    )
    return dataclasses.replace(sidecar, **changes)


@pytest.fixture
def install(monkeypatch):
    """A function that replaces TensorRT and the CUDA bindings by fakes and returns the backend's module."""

    def put(gpu, version="10.3", binding="cuda-python", **behaviour):
        monkeypatch.setitem(sys.modules, "tensorrt", make_tensorrt(version, gpu, **behaviour))
        for name in BINDING_MODULES:
            monkeypatch.setitem(sys.modules, name, None)
        install_binding(monkeypatch, binding, gpu)
        monkeypatch.delitem(sys.modules, "edgeau.runtime.backends.tensorrt", raising=False)
        module = importlib.import_module("edgeau.runtime.backends.tensorrt")
        monkeypatch.setattr(module, "read_machine", Machine)
        return module

    yield put
    sys.modules.pop("edgeau.runtime.backends.tensorrt", None)


@pytest.fixture
def faces():
    """A function that makes a batch of inputs in which every face has its own brightness."""

    def make(batch, first=10):
        values = np.arange(first, first + 7 * batch, 7, dtype=np.uint8)
        face = np.broadcast_to(values[:, None, None, None], (batch, SIDE, SIDE, 3)).copy()
        return {"face": face, "neutral": np.full_like(face, 20)}

    return make


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory):
    """A real ONNX file with a dynamic batch: both AUs are (mean of ``face`` - mean of ``neutral``) / 255."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed, and makes the test graph")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["face"], ["f"], to=kinds.FLOAT),
        helper.make_node("Cast", ["neutral"], ["n"], to=kinds.FLOAT),
        helper.make_node("Sub", ["f", "n"], ["d"]),
        helper.make_node("ReduceMean", ["d"], ["m"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["m", "column"], ["c"]),
        helper.make_node("MatMul", ["c", "weights"], ["au"]),
    ]
    constants = {"column": np.array([-1, 1]), "weights": np.full((1, 2), 1 / 255, np.float32)}
    image = ["N", SIDE, SIDE, 3]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info(name, kinds.UINT8, image) for name in ("face", "neutral")],
        [helper.make_tensor_value_info("au", kinds.FLOAT, ["N", 2])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path = tmp_path_factory.mktemp("onnx") / "mean.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path

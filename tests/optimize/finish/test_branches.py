"""An INT8 convolution whose output several operators read: OpenVINO must agree with ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgeau.optimize.finish import finish
from edgeau.optimize.onnx_graph.session import run
from edgeau.runtime.backends import BackendOptions, open_backend
from edgeau.runtime.parity import sqnr_db

SHAPE = [1, 8, 8, 3]


@pytest.fixture(params=["as it is", "Identity", "Dropout", "output"])
def branching(net, request) -> onnx.ModelProto:
    """A pre-activation block: a convolution's output is concatenated with that of a ReLU and a second convolution.

    The output is read directly, through an operator that does nothing, or is also an output of the graph."""
    g = net()
    x = g.op("Transpose", g.op("Cast", "face", to=onnx.TensorProto.FLOAT), perm=[0, 3, 1, 2])
    x = g.pair(g.op("Relu", g.conv(x, 3, 16)), 2.5, np.array(0, np.uint8))
    first = first_out = g.op("Conv", x, g.int8_weight(g.weight(16, 16, 1, 1)), name="first")
    if request.param in ("Identity", "Dropout"):
        first = g.op(request.param, first_out)
    second = g.op("Conv", g.op("Relu", first), g.const(g.weight(16, 16, 1, 1)), name="second")
    joined = g.op("Concat", first, second, axis=1)
    outputs = {joined: ["N", 32, 8, 8]}
    if request.param == "output":
        outputs = {joined: ["N", 32, 8, 8], first_out: ["N", 16, 8, 8]}
    return g.model({"face": ["N", *SHAPE[1:]]}, outputs, input_type=onnx.TensorProto.UINT8)


@pytest.fixture
def sample() -> dict[str, np.ndarray]:
    return {"face": np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)}


def test_openvino_and_onnx_runtime_agree_on_the_finished_file(branching, sample, tmp_path):
    pytest.importorskip("openvino", reason="openvino is not installed")
    onnx.save(finish(branching, "openvino").model, tmp_path / "finished.onnx")
    with open_backend("openvino", tmp_path / "finished.onnx", BackendOptions(threads=1)) as backend:
        outputs = list(backend.infer(sample).values())
    for expected, actual in zip(run(branching, sample), outputs, strict=True):
        assert sqnr_db(expected, actual) > 60  # unfinished: 4


def test_finishing_keeps_the_values_and_is_idempotent(branching, sample):
    finished = finish(branching, "openvino").model
    assert [n.op_type for n in finished.graph.node].count("Clip") == 1
    assert np.array_equal(run(finished, sample)[0], run(branching, sample)[0])
    assert not finish(finished, "openvino").modified

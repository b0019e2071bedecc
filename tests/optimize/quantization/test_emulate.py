"""TensorRT's interpretation of zero points."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from edgeau.optimize.onnx_graph.session import run
from edgeau.optimize.quantization.emulate import emulate_tensorrt
from edgeau.runtime.errors import InputError

SHAPE = [1, 4, 4, 4]


def ended(g, y: str) -> onnx.ModelProto:
    g.nodes.append(helper.make_node("Identity", [y], ["y"], name="end"))
    return g.model({"x": SHAPE}, {"y": SHAPE})


@pytest.mark.parametrize("zero", [np.uint8(0), None])
def test_unsigned_integers_lose_the_upper_half_of_their_range(net, zero):
    g = net()
    model = ended(g, g.pair("x", 0.01, zero))
    x = {"x": np.linspace(0, 2.55, 64, dtype=np.float32).reshape(SHAPE)}
    np.testing.assert_allclose(run(model, x)[0], x["x"], atol=0.0051)
    np.testing.assert_allclose(run(emulate_tensorrt(model), x)[0], np.minimum(x["x"], 1.27), atol=0.0051)


def test_signed_integers_keep_their_values(net):
    g = net()
    model = ended(g, g.pair("x", 0.01, np.int8(0)))
    x = {"x": np.linspace(-2, 2, 64, dtype=np.float32).reshape(SHAPE)}
    np.testing.assert_array_equal(run(model, x)[0], run(emulate_tensorrt(model), x)[0])


@pytest.mark.parametrize("zero", [np.uint8(3), np.int8(-1)])
def test_nonzero_zero_points_are_refused_as_by_tensorrt(net, zero):
    g = net()
    with pytest.raises(InputError, match=r"zero point: got -?[13], expected 0"):
        emulate_tensorrt(ended(g, g.pair("x", 0.01, zero)))


def test_unsigned_weights_are_refused(net):
    g = net()
    weight = g.op(
        "DequantizeLinear", g.const(np.ones((4, 4, 1, 1), np.uint8)), g.const(np.float32(1)), g.const(np.uint8(0))
    )
    with pytest.raises(InputError, match="weights: got uint8"):
        emulate_tensorrt(ended(g, g.op("Conv", "x", weight)))

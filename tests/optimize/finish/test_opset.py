"""Conversion to an opset that the reader supports keeps the values, including reductions as read by TensorRT 8."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from edgeau.optimize.finish import finish
from edgeau.optimize.finish.opset import relabel, to_supported_opset
from edgeau.optimize.finish.reader import parse_reader
from edgeau.optimize.lint import lint
from edgeau.optimize.onnx_graph.graph import opset_of
from edgeau.optimize.onnx_graph.operators import AXES_MOVED_TO_INPUT
from edgeau.optimize.onnx_graph.session import run

SHAPE = [1, 16, 8, 8]
ROUNDING = 1e-5


def of_opset(net, opset: int, last: str, shape: list[int], g=None) -> onnx.ModelProto:
    g = g or net()
    g.nodes.append(helper.make_node("Identity", [last], ["y"], name="end"))
    return g.model({"x": SHAPE}, {"y": shape}, opset=opset)


def normalised(net, opset: int = 18) -> onnx.ModelProto:
    """Normalisation over channels and a maximum over space: reductions with axes, and LayerNormalization."""
    g = net()
    mean = g.op("ReduceMean", "x", g.const(np.array([1])), keepdims=1)
    centred = g.op("Sub", "x", mean)
    scale = g.const(np.ones(8, np.float32))
    y = g.op("LayerNormalization", centred, scale, axis=-1)
    return of_opset(net, opset, g.op("ReduceMax", y, g.const(np.array([2, 3])), keepdims=1), [1, 16, 1, 1], g)


def as_read_by_tensorrt_8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the second input of reductions, which the importer of onnx-tensorrt up to branch 9.3 ignores
    (builtin_op_importers.cpp: ``reduceTensor(ctx, node, inputs.at(0), ...)``)."""
    read = onnx.ModelProto()
    read.CopyFrom(model)
    for node in read.graph.node:
        if node.op_type in AXES_MOVED_TO_INPUT:
            del node.input[1:]
    return read


def x(seed: int = 3) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(seed).normal(2, 1, SHAPE).astype(np.float32)}


def test_tensorrt_8_misreads_the_original_but_not_the_finished_float_file(net):
    model = normalised(net)
    right, misread = (run(each, x())[0] for each in (model, as_read_by_tensorrt_8(model)))
    assert misread.shape != right.shape or not np.allclose(misread, right, atol=0.1)
    finished = finish(model, "tensorrt-8.5").model
    assert opset_of(finished) == 17
    assert "LayerNormalization" not in {node.op_type for node in finished.graph.node}
    np.testing.assert_allclose(run(as_read_by_tensorrt_8(finished), x())[0], right, atol=ROUNDING)
    assert lint(finished, "tensorrt-8.5") == ()


def test_lint_reports_reductions_for_tensorrt_8_only(net):
    model = normalised(net)
    named = [finding.node for finding in lint(model, "tensorrt-8.6") if finding.code == "E122"]
    assert len(named) == 2
    assert not [finding for finding in lint(model, "tensorrt-10.3") if finding.code == "E122"]


@pytest.mark.parametrize("opset", [19, 20, 21, 23])
def test_newer_opsets_are_lowered_if_the_operators_allow_it(net, opset):
    g = net()
    y = g.op("Reshape", g.conv("x", 16, 16), g.const(np.array([1, 16, 64])))
    y = g.op("Transpose", g.op("ReduceMax", y, g.const(np.array([2]))), perm=[0, 2, 1])
    model = of_opset(net, opset, g.op("Cast", y, to=1), [1, 1, 16], g)
    lowered, report = to_supported_opset(model, parse_reader("tensorrt-8.5"))
    assert [str(note) for note in report.changed] == [f"opset: {opset} to 17"]
    np.testing.assert_allclose(run(lowered, x())[0], run(model, x())[0], atol=ROUNDING)


def test_an_operator_that_differs_in_the_older_opset_is_left(net):
    g = net()
    y = g.op("GroupNormalization", "x", *(g.const(np.ones(16, np.float32)) for _ in "sb"), num_groups=4)
    model = of_opset(net, 21, y, SHAPE, g)
    assert relabel(model, 18) is None
    assert finish(model, "tensorrt-8.6").left


def test_an_attribute_unknown_to_the_older_opset_is_dropped_only_if_default(net):
    def resized(antialias: int) -> onnx.ModelProto:
        g = net()
        scales = g.const(np.array([1, 1, 0.5, 0.5], np.float32))
        y = g.op("Resize", "x", "", scales, mode="linear", antialias=antialias)
        return of_opset(net, 18, y, [1, 16, 4, 4], g)

    lowered = relabel(resized(0), 17)
    assert lowered is not None
    np.testing.assert_array_equal(run(lowered, x())[0], run(resized(0), x())[0])
    assert relabel(resized(1), 17) is None


def test_a_model_of_a_supported_opset_is_returned_unchanged(net):
    model = normalised(net, 18)
    assert to_supported_opset(model, parse_reader("tensorrt-10.3"))[0] is model

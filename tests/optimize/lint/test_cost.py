"""The cost of a fix is measured on suitable inputs, and TensorRT's importer checks the result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgeau.optimize.lint import fix, lint, render, report
from edgeau.optimize.lint.cost import face_inputs, measure_cost, read_inputs
from edgeau.optimize.lint.importer import ask_importer
from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.runtime.errors import InputError

TARGET = "tensorrt-10.3"
SHAPE = [1, 3, 32, 32]


@pytest.fixture(scope="module")
def files(net, tmp_path_factory) -> tuple[Path, Path]:
    """A float model, and its quantized version with unsigned activations calibrated for 0..255."""
    folder = tmp_path_factory.mktemp("cost")
    for name, quantized in (("float.onnx", False), ("int8.onnx", True)):
        g = net(seed=4)
        x = g.pair("x", 1.0, np.uint8(0)) if quantized else "x"
        weight = g.weight(16, 3, 3, 3)
        x = g.op("Relu", g.op("Conv", x, g.int8_weight(weight) if quantized else g.const(weight), pads=[1] * 4))
        x = g.pair(x, 3.0, np.uint8(0)) if quantized else x
        weight = g.weight(16, 16, 3, 3)
        x = g.op("Conv", x, g.int8_weight(weight) if quantized else g.const(weight), pads=[1] * 4)
        g.nodes.append(helper.make_node("Identity", [x], ["y"], name="end"))
        onnx.save(g.model({"x": SHAPE}, {"y": [1, 16, 32, 32]}), folder / name)
    return folder / "float.onnx", folder / "int8.onnx"


def test_faces_are_scaled_to_the_calibrated_range_of_the_input(files):
    samples, description = face_inputs(onnx.load(files[1]))
    values = np.concatenate([sample["x"] for sample in samples])
    assert (values.shape, values.dtype) == ((8, 3, 32, 32), np.float32)
    assert 100 < values.max() <= 255
    assert description == "8 faces that ship with edgeau"
    assert np.concatenate([sample["x"] for sample in face_inputs(onnx.load(files[0]))[0]]).max() <= 1


def test_symmetric_ranges_cost_about_one_bit_per_activation(files):
    original, model = (onnx.load(file) for file in files)
    samples, description = face_inputs(model)
    cost = measure_cost(model, TARGET, samples, description, original)
    assert cost.worst is not None
    assert cost.worst.name == "signed-activations"
    assert 2 < cost.before_db - cost.after_db < 8
    assert measure_cost(model, TARGET, samples, description).before_db is None


def test_the_report_includes_the_cost_and_the_importers_verdict(files, tmp_path):
    described = report(files[1], TARGET, tmp_path / "fixed.onnx", float_model=files[0])
    lines = render(described)
    assert any(line.startswith("cost      SQNR against its float model: ") for line in lines)
    assert any("most of it by signed-activations" in line for line in lines)
    verdict = ask_importer(onnx.load(tmp_path / "fixed.onnx"))
    assert (described["importer"] is None) is (verdict is None)
    if verdict is not None:
        assert lines[-1] == f"importer  {verdict}"
        assert verdict.taken


def test_the_importers_refusal_is_one_line(net):
    g = net()
    g.nodes.append(helper.make_node("Nonsense", ["x"], ["y"], name="end"))
    verdict = ask_importer(g.model({"x": SHAPE}, {"y": SHAPE}))
    if verdict is None:
        pytest.skip("tensorrt-rtx is not installed (x86-64 Linux only)")
    assert not verdict.taken
    assert "refuses it: " in str(verdict)
    assert "\n" not in str(verdict)


def test_the_users_inputs_are_used_one_sample_at_a_time(files, tmp_path):
    np.savez(tmp_path / "inputs.npz", x=np.zeros((3, 3, 32, 32), np.float32))
    samples = read_inputs(tmp_path / "inputs.npz", onnx.load(files[1]))
    assert [sample["x"].shape for sample in samples] == [(1, 3, 32, 32)] * 3
    np.savez(tmp_path / "other.npz", z=np.zeros(1))
    with pytest.raises(InputError, match=r"other\.npz: got arrays z, expected x"):
        read_inputs(tmp_path / "other.npz", onnx.load(files[1]))


def test_inputs_without_a_fix_are_refused(files):
    with pytest.raises(InputError, match="expected --fix OUT"):
        report(files[1], TARGET, inputs=files[0])


def test_an_input_that_is_not_an_image_is_reported_and_the_file_written(net, tmp_path):
    g = net()
    g.nodes.append(helper.make_node("Relu", [g.pair("x", 0.1, np.uint8(0))], ["y"], name="end"))
    onnx.save(g.model({"x": [1, 7]}, {"y": [1, 7]}), tmp_path / "vector.onnx")
    described = report(tmp_path / "vector.onnx", TARGET, tmp_path / "fixed.onnx")
    assert described["fixed"]["cost"]["reason"].startswith("input x: got shape [1, 7], expected images")
    assert (tmp_path / "fixed.onnx").is_file()


def test_nameless_nodes_are_reported_by_their_output(net, tmp_path):
    g = net()
    g.op("QuantizeLinear", "x", g.const(np.float32(0.1)), g.const(np.uint8(9)))
    g.nodes[-1].name = ""
    g.nodes.append(helper.make_node("DequantizeLinear", [g.nodes[-1].output[0], *g.nodes[-1].input[1:]], ["y"]))
    model = g.model({"x": SHAPE}, {"y": SHAPE})
    outputs = {node.output[0] for node in Graph(model).nodes}
    onnx.save(model, tmp_path / "nameless.onnx")
    assert {finding["node"] for finding in report(tmp_path / "nameless.onnx", TARGET)["findings"]} <= outputs


def test_integer_operators_that_fix_rewrites_have_no_manual_hint(net):
    """W216 and W205 used to say for a QOperator file that --fix can't change what it does change."""
    g = net()
    scale, zero = g.const(np.float32(0.1)), g.const(np.uint8(3))
    integers = g.op("QuantizeLinear", "x", scale, zero)
    added = g.op("QLinearAdd", integers, scale, zero, integers, scale, zero, scale, zero, domain="com.microsoft")
    moved = g.op("Transpose", added, perm=[0, 2, 3, 1])
    g.nodes.append(helper.make_node("Sigmoid", [g.op("DequantizeLinear", moved, scale, zero)], ["y"], name="end"))
    model = g.model({"x": SHAPE}, {"y": [1, 32, 32, 3]}, extra_domains=("com.microsoft",))
    fixed = fix(model, TARGET)
    assert fixed.left == ()
    assert {finding.code for finding in lint(model, TARGET)} >= {"E118", "E102"}
    assert not [finding for finding in lint(model, TARGET) if "can't" in finding.message or finding.code == "W216"]

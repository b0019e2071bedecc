"""The table of INT8 files: the number of crops for slow models, the files compared, and failures."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgeau.benchmarks.studies import quantization_files, quantization_measure
from edgeau.benchmarks.studies import quantization_table as table
from edgeau.benchmarks.studies.importer_warnings import importer_warnings
from edgeau.benchmarks.studies.quantization_markdown import markdown, row_text
from edgeau.benchmarks.studies.quantization_measure import FEWEST_CROPS, READERS, accuracy_on, affordable
from edgeau.benchmarks.studies.rival_quantizers import olive_static
from edgeau.optimize.half.variant import add_fp16
from edgeau.optimize.samples import graph_inputs
from edgeau.optimize.scoring import Scorer
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import EdgeauError, InputError


@pytest.fixture
def scorer() -> Scorer:
    faces = np.zeros((400, 4, 4, 3), np.uint8)
    names = {field.name: None for field in dataclasses.fields(CropSet)}
    values = {"faces": faces, "neutrals": faces, "intensity": np.zeros((400, 1), np.float32), "subjects": ("s",) * 400}
    outputs = np.zeros((400, 1), np.float32)
    return Scorer(CropSet(**{**names, **values}), ("AU01",), (0.5,), outputs, outputs)


@pytest.mark.parametrize(("seconds", "crops"), [(0.1, 400), (2.0, 222), (60.0, FEWEST_CROPS)])
def test_slow_models_are_evaluated_on_fewer_crops(scorer, seconds, crops):
    assert len(affordable(scorer, seconds).crops) == crops


HEAD = {"device": "d", "protocol": "p", "calibration": "c", "evaluation": "e", "load_average": 0.0}


def row(**changes):
    read_by = {reader: {"score": 0.5, "flipped": 0, "sqnr_db": None} for reader in READERS}
    plain = {"file": "fp32", "size_bytes": 1000, "read_by": read_by, "p50_ms": {"onnxruntime, 1 thread": None}}
    return {**plain, "importer": {"parsed": True, "warnings": 0, "texts": []}, **changes}


def measured(package="a.edgeau", rows=()):
    plain = {"package": package, "family": "cednn", "eval_samples": 10, "failures": {}, "optimize": {}}
    return {**plain, "rows": list(rows) or [row()]}


def test_a_missing_importer_is_a_dash_in_the_table(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    assert row_text(row(importer=importer_warnings(onnx.ModelProto()))).endswith("| - |")
    assert row_text(row()).endswith("| 0 |")


def transposed_before_cast(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with its images transposed before the cast, an order that finishing for TensorRT reverses."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    kept = [node for node in model.graph.node if node.op_type not in ("Cast", "Transpose")]
    for node in kept:
        node.input[:] = ["s" if name == "x" else name for name in node.input]
    del changed.graph.node[:]
    for image, name in (("face", "f"), ("neutral", "n")):
        changed.graph.node.append(helper.make_node("Transpose", [image], [f"{name}t"], perm=[0, 3, 1, 2]))
        changed.graph.node.append(helper.make_node("Cast", [f"{name}t"], [name], to=TensorProto.FLOAT))
    changed.graph.node.extend(kept)
    return changed


def test_the_fp16_row_is_the_file_that_edgeau_makes(package, tmp_path, monkeypatch):
    file = tmp_path / "unlabelled.npz"
    faces = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), np.uint8)
    np.savez(file, faces=faces, neutrals=faces[::-1])
    model = transposed_before_cast(onnx.load(str(package.path / "fp32.onnx")))
    package = package.add_variant(package.manifest.variants[0], lambda path: onnx.save(model, str(path)))
    shipped = add_fp16(package, str(file))
    monkeypatch.setattr(quantization_files, "rivals", lambda _: {})
    monkeypatch.setattr(quantization_files, "quantize_model", lambda given, _: given)
    crops = read_crops(str(file), package.manifest.crop)
    files, failures = quantization_files.make_files(model, graph_inputs(crops, package.manifest))
    assert not failures
    assert files["fp16"] == onnx.load(str(shipped.path / "fp16.onnx"))


# The first line of OpenVINO's message doesn't name the operator.
@pytest.mark.parametrize(("reader", "why"), [*zip(READERS, ("NoSuch", "OpenVINO", "NoSuch"), strict=True)])
def test_a_file_that_a_reader_refuses_is_listed_with_the_reason(reader, why, scorer, package):
    graph = helper.make_graph(
        [helper.make_node("NoSuchOperator", ["face"], ["au"])],
        "odd",
        [helper.make_tensor_value_info("face", TensorProto.UINT8, ["N", 4, 4, 3])],
        [helper.make_tensor_value_info("au", TensorProto.FLOAT, ["N", 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    accuracy = accuracy_on(model, reader, scorer, package.manifest)
    assert why in accuracy["refused"]
    assert "\n" not in accuracy["refused"]
    odd = row(file="odd", read_by={reader: accuracy})
    text = markdown({**HEAD, "packages": [measured(rows=[row(), odd])]})
    assert f"\n- odd on {reader}: {accuracy['refused']}\n" in text


def test_outputs_that_are_not_finite_are_refused(scorer, package, monkeypatch):
    monkeypatch.setattr(quantization_measure, "predict_model", lambda *_: np.full((400, 1), np.nan, np.float32))
    accuracy = accuracy_on(onnx.ModelProto(), "onnxruntime", scorer, package.manifest)
    assert accuracy == {"refused": "outputs are not finite"}


def test_measured_packages_are_written_even_if_another_fails(tmp_path, monkeypatch, capsys):
    def measure(path, _):
        if path.name == "broken.edgeau":
            raise InputError("package broken", got="nothing", expected="a model")
        return measured(path.name)

    monkeypatch.setattr(table, "measure_package", measure)
    words = ["--calib", "c", "--eval", "e", "-o", str(tmp_path / "int8")]
    assert table.main(["a.edgeau", "broken.edgeau", "b.edgeau", *words]) == 2
    assert "broken.edgeau: package broken: got nothing" in capsys.readouterr().err
    written = json.loads((tmp_path / "int8.json").read_text())["packages"]
    assert [each["package"] for each in written] == ["a.edgeau", "b.edgeau"]
    assert "## b.edgeau" in (tmp_path / "int8.md").read_text()


def test_an_older_table_is_kept_if_no_package_can_be_measured(tmp_path, capsys):
    before = tmp_path / "int8.md"
    before.write_text("of yesterday")
    words = ["--calib", "c", "--eval", "e", "-o", str(tmp_path / "int8")]
    assert table.main([str(tmp_path / "none.edgeau"), *words]) == 2
    assert before.read_text() == "of yesterday"
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.fixture
def cast() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Cast", ["face"], ["au"], to=TensorProto.FLOAT)],
        "g",
        [helper.make_tensor_value_info("face", TensorProto.UINT8, [1, 4])],
        [helper.make_tensor_value_info("au", TensorProto.FLOAT, [1, 4])],
    )
    return helper.make_model(graph)


def test_a_quantizer_that_cannot_run_is_a_one_line_error(cast, tmp_path):
    with pytest.raises(EdgeauError, match=r"^Olive: .*pip install olive-ai") as raised:
        olive_static(cast, [{"face": np.zeros((1, 4), np.uint8)}], python=str(tmp_path / "no-python"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("last", "missing"),
    [("ModuleNotFoundError: No module named 'olive'", True), ("RuntimeError: no calibration method", False)],
)
def test_installing_olive_is_suggested_only_if_it_is_missing(last, missing, cast, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "Traceback" >&2\necho "{last}" >&2\nexit 1\n')
    python.chmod(0o755)
    with pytest.raises(EdgeauError) as raised:
        olive_static(cast, [{"face": np.zeros((1, 4), np.uint8)}], python=str(python))
    assert str(raised.value).startswith(f"Olive: {last}")
    assert ("pip install olive-ai" in str(raised.value)) is missing

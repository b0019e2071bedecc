"""Networks with outputs other than action units and of old opsets: imported, quantized, measured and run."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeau.optimize.onnx_graph.graph import opset_of
from edgeau.optimize.onnx_graph.model_file import OLDEST_OPSET, to_supported_opset
from edgeau.optimize.onnx_graph.session import open_session
from edgeau.runtime.cli import main
from edgeau.runtime.manifest_rules import COLUMNS
from edgeau.runtime.package import Package
from edgeau.runtime.records import rows_of

SIDE = 48
EMOTIONS = ("neutral", "happiness", "boredom")


def emotion_net(file: Path, opset: int) -> Path:
    """A network as exporters wrote it for opsets 11 and 12: axes are attributes, and weights are inputs too."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(0, 0.3, (8, 3, 3, 3)), "b": rng.normal(0, 0.1, 8), "dense": rng.normal(0, 2, (8, 3)),
    }  # fmt: skip
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    nodes = [
        helper.make_node("Conv", ["input", "w", "b"], ["conv"], kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("ReduceMean", ["relu"], ["mean"], axes=[2, 3], keepdims=1),
        helper.make_node("Squeeze", ["mean"], ["flat"], axes=[2, 3]),
        helper.make_node("MatMul", ["flat", "dense"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["emotion"], axis=1),
    ]
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    inputs = [image, *(helper.make_tensor_value_info(t.name, TensorProto.FLOAT, list(t.dims)) for t in tensors)]
    output = helper.make_tensor_value_info("emotion", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph(nodes, "emotions", inputs, [output], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6), file)
    return file


def write_own(folder: Path) -> None:
    rows = ["file,subject,emotion"]
    rng = np.random.default_rng(1)
    for number in range(12):
        picture = rng.integers(20 * number, 20 * number + 20, (SIDE, SIDE, 3), np.uint8)
        (folder / "a").mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / "a" / f"{number}.png"), picture)
        rows.append(f"a/{number}.png,a,{('neutral', 'happy', 'boredom')[number % 3]}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize("opset", [11, 12])
def test_an_emotion_network_of_an_old_opset_is_imported_quantized_measured_and_run(
    opset: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo_bgr: np.ndarray, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    emotion_net(Path("emotions.onnx"), opset)
    write_own(Path("own"))
    assert main(["import", "emotions.onnx", "--classes", ",".join(EMOTIONS), "-o", "e.edgeau"]) == 0
    manifest = Package.open("e.edgeau").manifest
    assert (manifest.kind, manifest.aus, manifest.provenance["opset"]) == ("classes", EMOTIONS, opset)
    assert main(["quantize", "e.edgeau", "--calib", "own", "--targets", "onnxruntime", "--samples", "8"]) == 0
    capsys.readouterr()
    words = ["bench", "e.edgeau", "--eval", "own", "--backends", "onnxruntime", "--seconds", "0.05", "--warmup", "0"]
    assert main([*words, "--rounds", "1", "--no-memory", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)["records"]
    assert {record["variant"] for record in records} == {"fp32", "int8-ort"}
    assert all(set(record["accuracy"]["f1"]) == set(EMOTIONS) for record in records)
    cv2.imwrite("photo.png", photo_bgr)
    assert main(["run", "photo.png", "-p", "e.edgeau", "-o", "-", "--format", "csv"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert sum(float(cells[name]) for name in EMOTIONS) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("names", ["frame,score,error", "a,b,c" + "d" * 60])
def test_class_names_that_clash_with_columns_or_are_too_long_are_refused(names: str, tmp_path: Path, capsys) -> None:
    file = emotion_net(tmp_path / "emotions.onnx", 13 - 1)
    assert main(["import", str(file), "--classes", names, "-o", str(tmp_path / "e.edgeau")]) == 2
    assert "--classes" in capsys.readouterr().err


def test_reserved_class_names_are_the_result_columns() -> None:
    assert set(COLUMNS) == set(rows_of("", 0, 0.0, (), ())[0])


def test_a_public_opset_11_network_computes_the_same_after_conversion(yunet_path: Path) -> None:
    """YuNet of March 2023, from OpenCV's model zoo, was exported with opset 11."""
    model = onnx.load(yunet_path)
    assert opset_of(model) == 11
    converted = to_supported_opset(model, "yunet")
    assert opset_of(converted) == OLDEST_OPSET
    name, *shape = "input", 1, 3, 640, 640
    image = {name: np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)}
    for before, after in zip(
        open_session(model).run(None, image), open_session(converted).run(None, image), strict=True
    ):
        np.testing.assert_allclose(after, before, atol=1e-5)

"""`edgeau export` writes a package with proven parity, or nothing at all."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from edgeau.export import package as export_module
from edgeau.export.package import ExportOptions, export_package
from edgeau.export.proof import prove_parity
from edgeau.runtime import parity_crops
from edgeau.runtime.backends import open_backend
from edgeau.runtime.cli import main
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.files import sha256_file
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.package import Package


@pytest.fixture(autouse=True)
def _graphs_made_once(graph_of, monkeypatch):
    """Export each graph only once for all tests."""
    monkeypatch.setattr(export_module, "to_onnx", lambda model, opset: graph_of(model.family))


@pytest.mark.parametrize("family", ["cednn", "fan-trans", "sma-net", "eau"])
def test_every_family_becomes_a_package_with_parity(checkpoint_of, tmp_path, family):
    checkpoint = checkpoint_of(family)
    package = export_package(checkpoint, tmp_path / f"{family}.edgeau")
    package.verify()
    manifest, variant = package.manifest, package.variant("fp32")
    assert manifest.name == manifest.family == family
    assert [spec.name for spec in manifest.inputs] == (["face", "neutral"] if family == "cednn" else ["face"])
    assert manifest.neutral.policy == ("running" if family == "cednn" else "none")
    assert manifest.thresholds == (0.5, 0.4, 0.6)
    assert manifest.expressions == ("neutral", "happiness")
    assert manifest.provenance["export"]["checkpoint_sha256"] == sha256_file(checkpoint)
    assert manifest.provenance["export"]["versions"]["torch"] == torch.__version__
    assert variant.backends == ("onnxruntime", "openvino")
    assert variant.parity.max_abs_error < 1e-4
    assert variant.parity.decisions_flipped == 0
    assert variant.parity.data == "6 random crops and 6 crops of skimage.data.astronaut()"
    assert sorted(path.name for path in package.path.iterdir()) == ["fp32.onnx", "manifest.json", "parity.npz"]


@pytest.mark.parametrize("family", ["cednn", "fan-trans", "sma-net", "eau"])
def test_openvino_gives_the_same_probabilities(checkpoint_of, tmp_path, family):
    pytest.importorskip("openvino")
    package = export_package(checkpoint_of(family), tmp_path / "p.edgeau")
    file = package.file(package.variant("fp32"))
    random = np.random.default_rng(0)
    feed = {s.name: random.integers(0, 256, (3, s.height, s.width, 3), np.uint8) for s in package.manifest.inputs}
    answers = []
    for name in ("onnxruntime", "openvino"):
        with open_backend(name, file) as backend:
            answers.append(backend.infer(feed))
    for name, values in answers[0].items():
        np.testing.assert_allclose(answers[1][name], values, atol=1e-4)


def test_a_graph_that_differs_from_torch_is_refused_and_nothing_is_written(
    checkpoint_of, graph_of, tmp_path, monkeypatch
):
    altered = onnx.ModelProto()
    altered.CopyFrom(graph_of("cednn"))
    bias = next(item for item in altered.graph.initializer if item.name == "classifier.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.01), bias.name))
    monkeypatch.setattr(export_module, "to_onnx", lambda *_: altered)
    with pytest.raises(EdgeauError, match=r"output au of the exported graph differs from torch by 0\.002"):
        export_package(checkpoint_of("cednn"), tmp_path / "p.edgeau")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_keeps_the_previous_package(checkpoint_of, tmp_path, monkeypatch):
    export_package(checkpoint_of("cednn"), tmp_path / "p.edgeau", ExportOptions(name="older"))

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module.onnx, "save", fails)
    with pytest.raises(OSError, match="No space"):
        export_package(checkpoint_of("cednn"), tmp_path / "p.edgeau")
    assert Package.open(tmp_path / "p.edgeau").manifest.name == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["p.edgeau"]


def test_a_folder_that_is_not_a_package_is_left_alone(checkpoint_of, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").write_text("mine")
    with pytest.raises(InputError, match="no model package"):
        export_package(checkpoint_of("cednn"), tmp_path / "photos")
    assert (tmp_path / "photos" / "a.txt").read_text() == "mine"


def test_parity_can_use_the_users_crops(checkpoint_of, tmp_path):
    faces = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), np.uint8)
    np.savez(tmp_path / "crops.npz", faces=faces)
    options = ExportOptions(data=str(tmp_path / "crops.npz"))
    package = export_package(checkpoint_of("cednn"), tmp_path / "p.edgeau", options)
    assert package.variant("fp32").parity.data == "6 random crops and 6 crops of crops.npz"


def test_parity_detects_a_missing_difference_map(checkpoint_of, tmp_path, model_of):
    package = export_package(checkpoint_of("cednn"), tmp_path / "p.edgeau")
    other = model_of("cednn")
    other.blocks[0].map_scale.weight.data.zero_()  # the maps of the first block no longer matter
    with pytest.raises(EdgeauError, match="differs from torch"):
        prove_parity(other, package.path / "fp32.onnx", CropSpec(size_px=64), (0.5, 0.4, 0.6))


def test_the_command_prints_inputs_outputs_and_a_snippet(checkpoint_of, tmp_path, capsys):
    assert main(["export", str(checkpoint_of("eau")), "-o", str(tmp_path / "e.edgeau"), "--name", "mine"]) == 0
    out = capsys.readouterr().out
    assert "input  face: uint8 [N, 64, 64, 3], RGB 0..255" in out
    assert "output au: float32 [N, 3], probability 0..1 of AU01 AU04 AU12" in out
    assert "output expression: float32 [N, 2], probability 0..1 of neutral happiness" in out
    assert Package.open(tmp_path / "e.edgeau").manifest.name == "mine"
    compile(out[out.index("import cv2") :], "snippet", "exec")


def test_the_command_prints_the_manifest_as_json(checkpoint_of, tmp_path, capsys):
    assert main(["export", str(checkpoint_of("cednn")), "-o", str(tmp_path / "c.edgeau"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["family"] == "cednn"


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_the_command_names_an_invalid_checkpoint(tmp_path, capsys, content):
    file = tmp_path / "a.pt"
    if content is not None:
        file.write_bytes(content)
    assert main(["export", str(file), "-o", str(tmp_path / "c.edgeau")]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"edgeau: checkpoint {file}: got ")
    assert not (tmp_path / "c.edgeau").exists()


def test_the_fp32_reference_is_stored_for_boards_without_another_backend(checkpoint_of, tmp_path, monkeypatch):
    package = export_package(checkpoint_of("cednn"), tmp_path / "p.edgeau")
    monkeypatch.setattr(parity_crops, "missing", lambda name: "not installed")
    evidence = parity_crops.gather(package, package.variant("fp32"))
    assert evidence.reference.shape == (len(evidence.crops), len(package.manifest.aus))

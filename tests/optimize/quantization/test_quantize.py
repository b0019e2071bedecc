from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgeau.optimize.finish import finish
from edgeau.optimize.quantization.emulate import emulate_tensorrt
from edgeau.optimize.quantization.quantize import QuantizeOptions, quantize_package
from edgeau.optimize.variants import float_variant
from edgeau.runtime.backends import BackendOptions, open_backend
from edgeau.runtime.cli import main
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import sha256_file
from edgeau.runtime.package import Package
from edgeau.runtime.selection import Selection


def _load(package, name):
    return onnx.load(package.file(package.variant(name)))


def _state(folder):
    return {file.name: sha256_file(file) for file in folder.iterdir()}


def test_each_target_has_a_variant_close_to_fp32(quantized):
    names = {variant.name: variant for variant in quantized.manifest.variants}
    assert set(names) == {"fp32", "int8-ort", "int8-openvino", "int8-tensorrt", "int8-tensorrt-fp16"}
    for name in set(names) - {"fp32"}:
        parity = names[name].parity
        assert parity.reference == "fp32"
        assert parity.samples == 40
        assert parity.sqnr_db > 30
        assert parity.max_abs_error < 0.08
        assert parity.decisions_flipped <= 8


def test_each_variant_lists_only_its_own_backend(quantized):
    backends = {v.name: v.backends for v in quantized.manifest.variants}
    assert backends["int8-ort"] == ("onnxruntime",)
    assert backends["int8-openvino"] == ("openvino",)
    assert backends["int8-tensorrt"] == ("tensorrt",)


def test_convolutions_are_quantized_and_the_float_scope_is_not(quantized):
    model = _load(quantized, "int8-ort")
    dequantized = {out for n in model.graph.node if n.op_type == "DequantizeLinear" for out in n.output}
    assert all(set(n.input[:2]) <= dequantized for n in model.graph.node if n.op_type == "Conv")
    floats = [n for n in model.graph.node if n.op_type in ("Gemm", "Greater", "Sigmoid")]
    assert not any(set(n.input) & dequantized for n in floats)


def test_activations_have_per_tensor_scales(quantized):
    for name in ("int8-ort", "int8-openvino", "int8-tensorrt"):
        model = _load(quantized, name)
        sizes = {t.name: numpy_helper.to_array(t).size for t in model.graph.initializer}
        assert all(sizes[n.input[1]] == 1 for n in model.graph.node if n.op_type == "QuantizeLinear")


def test_only_the_file_finished_for_tensorrt_keeps_its_values_there(quantized, evaluation):
    """OpenVINO's file, unsigned after a ReLU, loses range if interpreted like TensorRT does; TensorRT's doesn't."""
    crops = read_crops(str(evaluation), quantized.manifest.crop)
    inputs = crops.inputs(True)

    def read_by_tensorrt(name):
        from edgeau.optimize.onnx_graph.session import open_session

        return open_session(emulate_tensorrt(_load(quantized, name))).run(["au"], inputs)[0]

    file = quantized.file(quantized.variant("fp32"))
    with open_backend("onnxruntime", file, BackendOptions(threads=1)) as backend:
        exact = backend.infer(inputs)["au"]
    wrong, right = (np.abs(read_by_tensorrt(name) - exact).max() for name in ("int8-openvino", "int8-tensorrt"))
    assert right < 0.08 < wrong


def test_finished_files_have_nothing_left_to_finish(quantized):
    for name, target in (("int8-ort", "onnxruntime"), ("int8-openvino", "openvino"), ("int8-tensorrt", "tensorrt")):
        assert not finish(_load(quantized, name), target).modified


def test_the_manifest_records_calibration_data_and_float_layers(quantized, calibration):
    notes = quantized.variant("int8-tensorrt").notes
    crops = read_crops(str(calibration), quantized.manifest.crop)
    assert notes["calibration"] == {
        "data": str(calibration), "sha256": crops.sha256, "samples": 24, "seed": 0, "neutral": "from the data",
    }  # fmt: skip
    assert notes["nncf"]
    assert notes["passes"]
    assert len(notes["float_layers"]) >= 1


def test_the_same_seed_gives_the_same_bytes(quantized, calibration, evaluation, tmp_path):
    again, _ = quantize_package(
        quantized.path, str(calibration), evaluation=str(evaluation), out=tmp_path / "again.edgeau"
    )
    for variant in quantized.manifest.variants:
        assert again.variant(variant.name).sha256 == variant.sha256


def test_quantizing_again_replaces_variants_and_drops_selections_of_them(quantized, calibration, tmp_path):
    package = quantized.copy_to(tmp_path / "copy.edgeau")
    import dataclasses

    chosen = {"here": Selection("int8-ort", "onnxruntime"), "there": Selection("fp32", "openvino")}
    package.with_manifest(dataclasses.replace(package.manifest, selection=chosen))
    options = QuantizeOptions(flavours=("onnxruntime",), samples=6)
    again, _ = quantize_package(package.path, str(calibration), options)
    assert len(again.manifest.variants) == 5
    assert again.variant("int8-ort").notes["calibration"]["samples"] == 6
    assert set(again.manifest.selection) == {"there"}
    again.verify()


def test_output_option_leaves_the_package_unchanged(package, calibration, tmp_path, capsys):
    before = _state(package.path)
    out = tmp_path / "out.edgeau"
    arguments = ["quantize", str(package.path), "--calib", str(calibration), "--targets", "openvino", "-o", str(out)]
    assert main([*arguments, "--json"]) == 0
    assert _state(package.path) == before
    printed = json.loads(capsys.readouterr().out)
    assert [v["name"] for v in printed["variants"]] == ["int8-openvino"]
    Package.open(out).verify()


def test_standard_output_contains_only_the_table(package, calibration, capsys):
    assert main(["quantize", str(package.path), "--calib", str(calibration), "--targets", "onnxruntime"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("int8-ort")


def test_calibrating_on_images_uses_the_median_crop_as_neutral(package, make_data, tmp_path):
    import cv2

    folder = tmp_path / "images"
    folder.mkdir()
    for index, face in enumerate(make_data(6, seed=5)["faces"]):
        cv2.imwrite(str(folder / f"{index}.png"), face[..., ::-1])
    quantized, _ = quantize_package(package.path, str(folder), QuantizeOptions(flavours=("onnxruntime",)))
    assert "median" in quantized.variant("int8-ort").notes["calibration"]["neutral"]


def _refused(package, calibration, capsys, *more):
    before = _state(package.path)
    assert main(["quantize", str(package.path), "--calib", str(calibration), *more]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].startswith("edgeau: ")
    assert _state(package.path) == before
    return error[-1]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"faces": np.zeros((4, 48, 48), np.uint8)}, "uint8 [N, H, W, 3]"),
        ({"faces": np.zeros((4, 48, 48, 3), np.float32)}, "uint8 [N, H, W, 3]"),
        ({"faces": np.zeros((0, 48, 48, 3), np.uint8)}, "N > 0"),
        ({"faces": np.full((4, 48, 48, 3), 7, np.uint8)}, "one colour"),
        ({"faces": np.repeat(np.arange(6912, dtype=np.uint8).reshape(1, 48, 48, 3), 4, 0)}, "one crop 4 times"),
        ({"pictures": np.zeros((4, 48, 48, 3), np.uint8)}, "an array named faces"),
    ],
)
def test_unusable_calibration_data_is_refused(package, tmp_path, capsys, arrays, words):
    np.savez(tmp_path / "bad.npz", **arrays)
    assert words in _refused(package, tmp_path / "bad.npz", capsys)


def test_missing_calibration_data_is_refused(package, tmp_path, capsys):
    assert "no such folder" in _refused(package, tmp_path / "absent", capsys)


def test_an_unknown_target_is_refused(package, calibration, capsys):
    assert "some of onnxruntime" in _refused(package, calibration, capsys, "--targets", "tpu")


def test_a_budget_without_evaluation_data_is_refused(package, calibration, capsys):
    assert "--eval" in _refused(package, calibration, capsys, "--max-drop", "0.01")


def test_an_au_without_a_positive_sample_is_refused(package, calibration, make_data, tmp_path, capsys):
    data = make_data(12, seed=4)
    data["au"][:, 2] = 0
    np.savez(tmp_path / "eval.npz", **data)
    assert "no positive sample of AU04" in _refused(
        package, calibration, capsys, "--eval", str(tmp_path / "eval.npz"), "--max-drop", "0.01"
    )


def test_an_already_quantized_model_is_refused(make_package, quantized, calibration, tmp_path, capsys):
    package = make_package(tmp_path / "twice.edgeau", _load(quantized, "int8-ort"))
    assert "quantized already" in _refused(package, calibration, capsys)


def test_nan_weights_are_refused_by_name(make_package, make_model, calibration, tmp_path, capsys):
    model = make_model()
    weight = next(t for t in model.graph.initializer if len(t.dims) == 4 and t.dims[0] == 32)
    values = numpy_helper.to_array(weight).copy()
    values[0, 0] = np.nan
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    package = make_package(tmp_path / "nan.edgeau", model)
    assert f"weight {weight.name}" in _refused(package, calibration, capsys)


@pytest.mark.parametrize("version", [11, 99])
def test_an_unknown_opset_is_refused(make_package, make_model, calibration, tmp_path, capsys, version):
    model = make_model()
    model.opset_import[0].version = version
    package = make_package(tmp_path / "opset.edgeau", model)
    assert str(version) in _refused(package, calibration, capsys)


def test_a_truncated_onnx_is_refused(package, calibration, capsys):
    file = package.path / "fp32.onnx"
    file.write_bytes(file.read_bytes()[:-100])
    assert "SHA-256" in _refused(package, calibration, capsys)


def test_a_package_without_fp32_is_refused(quantized):
    import dataclasses

    manifest = dataclasses.replace(quantized.manifest, variants=(quantized.variant("int8-ort"),))
    with pytest.raises(InputError, match="an fp32 ONNX to start from"):
        float_variant(manifest)


def test_a_read_only_package_suggests_an_output_package(package, calibration, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("edgeau.optimize.quantization.quantize.tempfile.TemporaryFile", refuse)
    assert "-o OUT_PACKAGE" in _refused(package, calibration, capsys)


def test_importing_the_command_loads_neither_nncf_nor_torch():
    code = (
        "import sys, edgeau.optimize.commands.quantize as q; sys.exit('nncf' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_ranges_calibrated_mostly_on_neutral_faces_fit_expressive_ones(make_package, model, make_data, tmp_path):
    """Values that only a few crops show must not be clipped: calibration data has mostly neutral faces."""
    data = make_data(24, seed=6)
    calm = data["faces"].copy()
    calm[2:] = data["neutrals"][2:]
    np.savez(tmp_path / "calm.npz", faces=calm, neutrals=data["neutrals"])
    np.savez(tmp_path / "lively.npz", faces=data["faces"], neutrals=data["neutrals"])
    package = make_package(tmp_path / "p.edgeau", model)
    options = QuantizeOptions(flavours=("onnxruntime",))
    quantized, _ = quantize_package(
        package.path, str(tmp_path / "calm.npz"), options, evaluation=str(tmp_path / "lively.npz")
    )
    assert quantized.variant("int8-ort").parity.sqnr_db > 30

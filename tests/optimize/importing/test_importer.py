from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgeau.optimize.importing.importer import ImportOptions, activate, import_model
from edgeau.optimize.importing.wrap import Wrapping, prepare
from edgeau.optimize.onnx_graph.session import open_session
from edgeau.optimize.quantization.quantize import QuantizeOptions, quantize_package
from edgeau.runtime.backends import open_backend
from edgeau.runtime.cli import main
from edgeau.runtime.errors import InputError
from edgeau.runtime.package import Package

AUS = ("AU01", "AU02", "AU04", "AU12")
LOGITS = Wrapping(activation="sigmoid")


@pytest.fixture
def images():
    return np.random.default_rng(7).integers(0, 256, (3, 48, 48, 3), np.uint8)


def _save(model, folder):
    onnx.save(model, folder / "foreign.onnx")
    return folder / "foreign.onnx"


def _run(package, images):
    variant = package.manifest.variants[0]
    with open_backend("onnxruntime", package.file(variant)) as backend:
        return backend.infer({"face": images})["au"]


def test_preprocessing_is_part_of_the_graph(make_foreign, images, tmp_path):
    """The expected values are computed by hand instead of by the code under test."""
    file = _save(make_foreign(), tmp_path)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    wrapping = Wrapping(colour="bgr", mean=mean, std=std, activation="sigmoid")
    package = import_model(file, tmp_path / "p.edgeau", ImportOptions(AUS, wrapping))
    bgr = images[..., ::-1].astype(np.float32) / 255
    planes = ((bgr - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2).astype(np.float32)
    runner = open_session(onnx.load(file))
    logits = np.concatenate([runner.run(None, {"input": planes[i : i + 1]})[0] for i in range(3)])
    np.testing.assert_allclose(_run(package, images), 1 / (1 + np.exp(-logits)), atol=1e-5)


@given(
    layout=st.sampled_from(["nchw", "nhwc"]),
    colour=st.sampled_from(["rgb", "bgr", "gray"]),
    mean=st.floats(-1, 130),
    std=st.floats(0.1, 130),
    scale=st.sampled_from([1.0, 127.5, 255.0]),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_preprocessing_is_the_same_in_the_graph_and_in_numpy(
    make_foreign, tmp_path_factory, layout, colour, mean, std, scale
):
    folder = tmp_path_factory.mktemp("any")
    file = _save(make_foreign(layout, "N", channels=1 if colour == "gray" else 3), folder)
    wrapping = Wrapping(layout, colour, (mean,), (std,), scale, activation="sigmoid")
    package = import_model(file, folder / "p.edgeau", ImportOptions(AUS, wrapping))
    assert package.manifest.variants[0].parity.max_abs_error <= 1e-4


def test_grey_is_luma():
    pixels = prepare(np.full((1, 2, 2, 3), (255, 0, 0), np.uint8), Wrapping(colour="gray", scale=1))
    np.testing.assert_allclose(pixels, np.full((1, 1, 2, 2), 0.299 * 255), rtol=1e-6)


def test_a_fixed_batch_becomes_dynamic(make_foreign, images, tmp_path):
    file = _save(make_foreign(batch=1), tmp_path)
    package = import_model(file, tmp_path / "p.edgeau", ImportOptions(AUS, LOGITS))
    together = _run(package, images)
    assert together.shape == (3, 4)
    np.testing.assert_allclose(together[2:], _run(package, images[2:]), atol=1e-6)


def test_intensities_are_scaled_by_their_maximum(make_foreign, images, tmp_path):
    file = _save(make_foreign(batch="N"), tmp_path)
    wrapping = Wrapping(intensity_max=5)
    package = import_model(file, tmp_path / "p.edgeau", ImportOptions(AUS, wrapping))
    raw = open_session(onnx.load(file)).run(None, {"input": prepare(images, wrapping)})[0]
    np.testing.assert_allclose(_run(package, images), np.clip(raw / 5, 0, 1), atol=1e-5)
    assert package.manifest.thresholds == (0.4,) * 4


def test_of_two_classes_per_au_the_second_is_presence():
    raw = np.log(np.array([[[0.2, 0.8], [0.9, 0.1]]], np.float32))
    np.testing.assert_allclose(activate(raw, Wrapping(activation="softmax")), [[0.8, 0.1]], rtol=1e-5)


def test_two_classes_per_au_in_the_graph(make_foreign, images, tmp_path):
    model = make_foreign(batch="N")
    shape = numpy_helper.from_array(np.array([-1, 2, 2]), "pairs")
    model.graph.initializer.append(shape)
    model.graph.node.append(helper.make_node("Reshape", ["logits", "pairs"], ["classes"]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("classes", TensorProto.FLOAT, ["N", 2, 2]))
    options = ImportOptions(AUS[:2], Wrapping(activation="softmax"))
    package = import_model(_save(model, tmp_path), tmp_path / "p.edgeau", options)
    assert _run(package, images).shape == (3, 2)


def test_tensor_names_that_clash_with_edgeaus_are_renamed(make_foreign, images, tmp_path):
    model = make_foreign(batch="N")
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = {"input": "face", "logits": "au"}.get(name, name)
    model.graph.input[0].name, model.graph.output[0].name = "face", "au"
    package = import_model(_save(model, tmp_path), tmp_path / "p.edgeau", ImportOptions(AUS, LOGITS))
    assert _run(package, images).shape == (3, 4)


def test_an_imported_model_can_be_quantized(make_foreign, calibration, tmp_path):
    package = import_model(_save(make_foreign(), tmp_path), tmp_path / "p.edgeau", ImportOptions(AUS, LOGITS))
    quantized, _ = quantize_package(
        package.path, str(calibration), QuantizeOptions(flavours=("onnxruntime", "tensorrt"))
    )
    for name in ("int8-ort", "int8-tensorrt"):
        assert quantized.variant(name).parity.sqnr_db > 30


def test_import_writes_a_package_with_its_provenance(make_foreign, tmp_path, capsys):
    file = _save(make_foreign(), tmp_path)
    arguments = ["import", str(file), "--aus", "1,2,4,12", "-o", str(tmp_path / "p.edgeau"), "--activation", "sigmoid"]
    assert main([*arguments, "--threshold", "0.3"]) == 0
    package = Package.open(tmp_path / "p.edgeau")
    package.verify()
    assert package.manifest.family == "imported"
    assert package.manifest.thresholds == (0.3,) * 4
    assert package.manifest.crop.size_px == 48
    assert package.manifest.provenance["imported_from"] == "foreign.onnx"
    assert (package.path / "parity.npz").is_file()
    assert "next: edgeau quantize" in capsys.readouterr().out


def _refused(file, folder, capsys, *more, aus="1,2,4,12"):
    out = folder / "refused.edgeau"
    assert main(["import", str(file), "--aus", aus, "-o", str(out), *more]) == 2
    assert not out.exists()
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "give --activation sigmoid"),
        (["--activation", "sigmoid", "--layout", "nhwc"], "change --layout or --colour"),
        (["--activation", "sigmoid", "--colour", "gray"], "change --layout or --colour"),
        (["--activation", "sigmoid", "--size", "64"], "48, the size of the model"),
        (["--activation", "sigmoid", "--mean", "1,2"], "1 or 3"),
        (["--activation", "sigmoid", "--mean", "a"], "numbers such as"),
        (["--activation", "sigmoid", "--std", "0"], "above 0"),
        (["--activation", "sigmoid", "--output", "absent"], "one of logits"),
        (["--activation", "sigmoid", "--template", "0.1,0.2"], "10: x,y of five points"),
    ],
)
def test_options_that_contradict_the_model_are_refused(make_foreign, tmp_path, capsys, more, words):
    assert words in _refused(_save(make_foreign(), tmp_path), tmp_path, capsys, *more)


def test_a_wrong_number_of_aus_is_refused(make_foreign, tmp_path, capsys):
    text = _refused(_save(make_foreign(), tmp_path), tmp_path, capsys, "--activation", "sigmoid", aus="1,2")
    assert "4 values, expected 2" in text


def test_a_dynamic_input_size_must_be_given(make_foreign, tmp_path, capsys):
    file = _save(make_foreign(size="S"), tmp_path)
    assert "--size PIXELS" in _refused(file, tmp_path, capsys, "--activation", "sigmoid")
    options = ImportOptions(AUS, LOGITS, size_px=64)
    assert import_model(file, tmp_path / "p.edgeau", options).manifest.crop.size_px == 64


def test_a_truncated_file_is_refused(make_foreign, tmp_path, capsys):
    file = _save(make_foreign(), tmp_path)
    file.write_bytes(file.read_bytes()[:200])
    assert "damaged or not ONNX" in _refused(file, tmp_path, capsys)
    file.write_text("not a model")
    assert "damaged or not ONNX" in _refused(file, tmp_path, capsys)
    assert "no such file" in _refused(tmp_path / "absent.onnx", tmp_path, capsys)


def test_a_model_with_two_inputs_is_refused(model, tmp_path):
    with pytest.raises(InputError, match="face, neutral, expected one image"):
        import_model(_save(model, tmp_path), tmp_path / "p.edgeau", ImportOptions(AUS))

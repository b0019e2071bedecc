from __future__ import annotations

import numpy as np
import pytest

from edgeau.optimize.onnx_graph.session import open_session
from edgeau.optimize.quantization.quantize import QuantizeOptions, quantize_package
from edgeau.runtime.cli import main
from edgeau.runtime.package import Package


def _run(model, inputs):
    return open_session(model).run(["au"], inputs)[0]


@pytest.fixture(scope="module")
def truth(outlier_model, make_data):
    """Labels and thresholds for which FP32 is always right, so that every loss is due to quantization."""
    data = make_data(40, seed=2)
    outputs = _run(outlier_model, {"face": data["faces"], "neutral": data["neutrals"]})
    middle = np.sort(outputs, axis=0)[10:30]
    gaps = np.diff(middle, axis=0).argmax(axis=0)
    columns = np.arange(outputs.shape[1])
    thresholds = (middle[gaps, columns] + middle[gaps + 1, columns]) / 2
    return {**data, "au": np.where(outputs >= thresholds, 5, 0).astype(np.float32)}, thresholds


@pytest.fixture(scope="module")
def hard(tmp_path_factory, make_package, outlier_model, truth):
    """A package that INT8 ruins."""
    folder = tmp_path_factory.mktemp("hard") / "hard.edgeau"
    return make_package(folder, outlier_model, thresholds=tuple(float(value) for value in truth[1]))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, truth):
    file = tmp_path_factory.mktemp("labelled") / "eval.npz"
    np.savez(file, **truth[0])
    return file


def test_without_a_budget_the_drop_is_reported_with_a_hint(hard, calibration, labelled, tmp_path, capsys):
    arguments = ["quantize", str(hard.path), "--calib", str(calibration), "--eval", str(labelled)]
    assert main([*arguments, "--targets", "onnxruntime", "-o", str(tmp_path / "plain.edgeau")]) == 0
    assert Package.open(tmp_path / "plain.edgeau").variant("int8-ort").parity.decisions_flipped > 10
    assert "give --eval DATA --max-drop" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_the_budget_is_met_by_reverting_layers_to_float(hard, calibration, labelled, tmp_path, target):
    options = QuantizeOptions(flavours=(target,), max_drop=0.002)
    package, (quantized,) = quantize_package(
        hard.path, str(calibration), options, evaluation=str(labelled), out=tmp_path / "held.edgeau"
    )
    restored = quantized.restored
    assert restored.metric == "mean AU F1"
    assert restored.reference == 1.0
    assert restored.before < 0.9
    assert restored.held
    assert restored.after >= restored.reference - 0.002
    assert restored.reverted
    notes = package.variant(quantized.variant.name).notes
    assert set(restored.reverted) <= set(notes["float_layers"])
    assert notes["accuracy"]["value"] == pytest.approx(restored.after)
    assert (restored.latency_ms_after is None) == (target == "tensorrt")


def test_without_labels_the_budget_counts_decisions(hard, calibration, make_data, tmp_path, capsys):
    data = {key: value for key, value in make_data(20, seed=2).items() if key in ("faces", "neutrals")}
    np.savez(tmp_path / "eval.npz", **data)
    arguments = ["quantize", str(hard.path), "--calib", str(calibration), "--eval", str(tmp_path / "eval.npz")]
    out = ["--targets", "onnxruntime", "--max-drop", "0", "-o", str(tmp_path / "out.edgeau")]
    assert main([*arguments, *out]) == 0
    printed = capsys.readouterr().out
    assert "decisions as FP32 made them" in printed
    assert "back in float: " in printed
    assert "and takes" in printed


def test_a_budget_that_is_met_at_once_leaves_every_layer_quantized(package, calibration, evaluation):
    options = QuantizeOptions(flavours=("onnxruntime",), max_drop=0.2)
    _, (quantized,) = quantize_package(package.path, str(calibration), options, evaluation=str(evaluation))
    assert quantized.restored.held
    assert quantized.restored.reverted == ()

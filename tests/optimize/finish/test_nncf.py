"""NNCF's file as each runtime interprets it, before and after finishing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeau.optimize.finish import finish
from edgeau.optimize.onnx_graph.session import run_each
from edgeau.optimize.quantization.emulate import emulate_tensorrt
from edgeau.runtime.errors import InputError
from edgeau.runtime.parity import sqnr_db

TARGETS = ["onnxruntime", "openvino", "tensorrt-8", "tensorrt-8.6", "tensorrt-10.3", "tensorrt"]
LEAST_DB = 45  # for an INT8 file that is interpreted correctly; measured 51 to 52


@pytest.fixture(scope="module")
def signal_db(toy_cnn, pictures):
    inputs = pictures(30, 2)
    reference = np.concatenate([outputs[0] for outputs in run_each(toy_cnn, inputs)])
    return lambda model, optimized=False: sqnr_db(
        reference, np.concatenate([outputs[0] for outputs in run_each(model, inputs, optimized=optimized)])
    )


def test_the_unfinished_file_loses_its_signal_only_in_tensorrt(nncf_cnn, signal_db):
    assert signal_db(nncf_cnn) > LEAST_DB
    assert signal_db(emulate_tensorrt(nncf_cnn)) < LEAST_DB - 15


@pytest.mark.parametrize("target", TARGETS)
def test_the_finished_file_keeps_its_signal(nncf_cnn, signal_db, target):
    finished = finish(nncf_cnn, target)
    assert finished.left == ()
    model = emulate_tensorrt(finished.model) if target.startswith("tensorrt") else finished.model
    assert signal_db(model) > LEAST_DB


@pytest.mark.parametrize("target", TARGETS)
def test_finishing_twice_changes_nothing(nncf_cnn, target):
    once = finish(nncf_cnn, target).model
    assert not finish(once, target).modified


def test_the_tensorrt_file_has_the_same_signal_in_tensorrt_and_onnx_runtime(nncf_cnn, signal_db):
    model = finish(nncf_cnn, "tensorrt").model
    assert signal_db(emulate_tensorrt(model)) == pytest.approx(signal_db(model), abs=1e-6)


def test_a_file_finished_for_tensorrt_can_be_finished_for_onnx_runtime(nncf_cnn, signal_db):
    for_tensorrt = finish(nncf_cnn, "tensorrt").model
    assert signal_db(finish(for_tensorrt, "onnxruntime").model, optimized=True) > LEAST_DB


def test_onnx_runtime_fuses_more_of_the_file_finished_for_it(nncf_cnn, tmp_path):
    fused = {
        name: _fused(finish(nncf_cnn, name).model, tmp_path / f"{name}.onnx") for name in ("onnxruntime", "tensorrt")
    }
    assert fused["onnxruntime"]["QLinearConv"] >= 8
    assert fused["onnxruntime"]["QLinearAdd"] == 1
    assert fused["tensorrt"]["QLinearConv"] == 0


def test_weights_are_folded_or_unfolded_for_the_target(nncf_cnn):
    for target, stored in (("tensorrt-8.6", 0), ("tensorrt-10.3", 9)):
        model = finish(nncf_cnn, target).model
        assert sum(t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4 for t in model.graph.initializer) == stored


def test_a_model_without_quantization_is_returned_unchanged(toy_cnn):
    for target in TARGETS:
        assert finish(toy_cnn, target).model is toy_cnn


@pytest.mark.parametrize("target", ["tensorflow", "tensorrt-", "tensorrt-x", ""])
def test_an_unknown_target_lists_the_known_ones(toy_cnn, target):
    with pytest.raises(InputError, match=r"expected onnxruntime, openvino, tensorrt-8"):
        finish(toy_cnn, target)


def _fused(model: onnx.ModelProto, file: Path) -> Counter:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(file)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(file).graph.node)

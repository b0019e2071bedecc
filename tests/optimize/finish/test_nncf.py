"""What NNCF's file means to TensorRT before and after finishing, by running it as TensorRT reads it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgeau.optimize.emulate import emulate_tensorrt, run, sqnr_db
from edgeau.optimize.finish import finish


def signal_db(reference: onnx.ModelProto, model: onnx.ModelProto, inputs, optimized: bool = False) -> float:
    outputs = [
        np.concatenate([run(m, x, optimized=o)[0] for x in inputs]) for m, o in ((reference, 0), (model, optimized))
    ]
    return sqnr_db(*outputs)


def test_unfinished_file_loses_most_of_its_signal_in_tensorrt(toy_cnn, nncf_cnn, pictures):
    inputs = pictures(30, 2)
    assert signal_db(toy_cnn, nncf_cnn, inputs) > 30
    assert signal_db(toy_cnn, emulate_tensorrt(nncf_cnn), inputs) < 20


@pytest.mark.parametrize("target", ["tensorrt-8", "tensorrt-10.3", "tensorrt"])
def test_finished_file_keeps_it(toy_cnn, nncf_cnn, pictures, target):
    finished = finish(nncf_cnn, target)
    assert finished.modified
    assert not finished.left
    assert signal_db(toy_cnn, emulate_tensorrt(finished.model), pictures(30, 2)) > 30

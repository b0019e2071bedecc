"""The table of INT8 files: how many crops it affords, what becomes of a rival that fails."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgeau.benchmarks import quantization_table as table
from edgeau.benchmarks.rival_quantizers import olive_static
from edgeau.optimize.accuracy import Judge
from edgeau.runtime.crops import CropSet
from edgeau.runtime.errors import EdgeauError


@pytest.fixture
def judge() -> Judge:
    faces = np.zeros((400, 4, 4, 3), np.uint8)
    names = {field.name: None for field in dataclasses.fields(CropSet)}
    values = {"faces": faces, "neutrals": faces, "intensity": np.zeros((400, 1), np.float32), "subjects": ("s",) * 400}
    outputs = np.zeros((400, 1), np.float32)
    return Judge(CropSet(**{**names, **values}), ("AU01",), (0.5,), outputs, outputs)


@pytest.mark.parametrize(("seconds", "crops"), [(0.1, 400), (2.0, 222), (60.0, table.FEWEST_CROPS)])
def test_slow_models_are_judged_on_fewer_crops(judge, seconds, crops):
    assert len(table._affordable(judge, seconds).crops) == crops


def test_a_rival_that_cant_run_is_one_line(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Cast", ["face"], ["au"], to=TensorProto.FLOAT)],
        "g",
        [helper.make_tensor_value_info("face", TensorProto.UINT8, [1, 4])],
        [helper.make_tensor_value_info("au", TensorProto.FLOAT, [1, 4])],
    )
    model: onnx.ModelProto = helper.make_model(graph)
    with pytest.raises(EdgeauError, match=r"^Olive: ") as raised:
        olive_static(model, [{"face": np.zeros((1, 4), np.uint8)}], python=str(tmp_path / "no-python"))
    assert "\n" not in str(raised.value)

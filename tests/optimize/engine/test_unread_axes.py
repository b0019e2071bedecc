"""Without onnx, which could fix it, a file whose reductions TensorRT 8 would misread is refused."""

import numpy as np
import pytest

from edgeau.optimize.engine.library import BuildFailedError
from edgeau.optimize.engine.unread_axes import require_axes_read
from edgeau.runtime.model_file import read_model_file

onnx = pytest.importorskip("onnx", reason="onnx is not installed, and makes the test graphs")


def reduction(path, operator, opset, *, axes_input):
    helper = onnx.helper
    attributes = {} if axes_input else {"axes": [1]}
    node = helper.make_node(operator, ["x", *(["axes"] if axes_input else [])], ["y"], "mean_of_rows", **attributes)
    shapes = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xy"]
    weights = [onnx.numpy_helper.from_array(np.array([1]), "axes")] if axes_input else []
    graph = helper.make_graph([node], "g", shapes[:1], shapes[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return read_model_file(path)


@pytest.mark.parametrize("version", ["8.5", "8.6"])
def test_tensorrt_8_refuses_axes_that_it_would_ignore(fake_tensorrt, tmp_path, version):
    file = reduction(tmp_path / "model.onnx", "ReduceMean", 18, axes_input=True)
    with pytest.raises(
        BuildFailedError, match=r"ignores the axes of 1 reductions of .*mean_of_rows; .*--target"
    ) as raised:
        require_axes_read(fake_tensorrt(version), file)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("version", "operator", "opset", "axes_input"),
    [("10.3", "ReduceMean", 18, True), ("8.5", "ReduceMean", 17, False), ("8.5", "ReduceSum", 13, True)],
)
def test_axes_that_tensorrt_reads_are_accepted(fake_tensorrt, tmp_path, version, operator, opset, axes_input):
    require_axes_read(fake_tensorrt(version), reduction(tmp_path / "m.onnx", operator, opset, axes_input=axes_input))


def test_a_file_that_is_not_onnx_is_left_to_the_parser(fake_tensorrt, tmp_path):
    (tmp_path / "text.onnx").write_bytes(b"not ONNX")
    require_axes_read(fake_tensorrt("8.5"), read_model_file(tmp_path / "text.onnx"))

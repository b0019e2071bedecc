import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeau.benchmarks.studies.foreign_networks import main, read_list
from edgeau.runtime.errors import PackageError


@pytest.fixture
def networks(tmp_path):
    """A list with one network: a convolution with unsigned pairs, as ONNX Runtime's quantizer writes it."""
    weights = {
        "weight": np.ones((16, 3, 1, 1), np.int8), "scale": np.float32(0.02), "zero": np.uint8(5), "zero8": np.int8(0),
    }  # fmt: skip
    make = helper.make_node
    nodes = [
        make("QuantizeLinear", ["x", "scale", "zero"], ["q"]), make("DequantizeLinear", ["q", "scale", "zero"], ["dq"]),
        make("DequantizeLinear", ["weight", "scale", "zero8"], ["w"]), make("Conv", ["dq", "w"], ["y"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16, 8, 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "n.onnx")
    entry = {"name": "net", "source": "this test", "licence": "Apache-2.0", "tool": "by hand", "file": "n.onnx"}
    (tmp_path / "networks.json").write_text(json.dumps([entry]))
    return tmp_path / "networks.json"


def test_each_network_has_a_row_with_findings_before_and_after(networks, tmp_path):
    assert main([str(networks), "-o", str(tmp_path / "out")]) == 0
    (row,) = json.loads((tmp_path / "out.json").read_text())["networks"]
    assert row["targets"]["tensorrt-10.3"]["findings"]["E102"] == 2
    assert row["targets"]["tensorrt-8.5"]["left"] == {}
    table = (tmp_path / "out.md").read_text().splitlines()
    assert table[-1].startswith("| net | this test, Apache-2.0 | by hand | 2 E102")
    assert str(tmp_path) not in (tmp_path / "out.json").read_text()


def test_a_list_is_decoded_strictly(networks):
    networks.write_text('[{"name": "net"}]')
    with pytest.raises(PackageError, match="source"):
        read_list(networks)

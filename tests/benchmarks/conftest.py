import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeau.runtime.manifest import CropSpec, InputSpec, Manifest, NeutralSpec, Variant
from edgeau.runtime.package import Package

SIZE = 32


def difference_net(size: int = SIZE, aus: int = 2) -> onnx.ModelProto:
    """face - neutral -> 3x3 convolution to 8 channels, stride 2 -> mean -> linear -> sigmoid, with a dynamic batch."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32),
        "b": np.zeros(8, np.float32),
        "fc": rng.normal(0, 1, (8, aus)).astype(np.float32),
        "fcb": np.zeros(aus, np.float32),
        "scale": np.array(1 / 255, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["face"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["neutral"], ["n"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["f", "n"], ["d"]),
        helper.make_node("Mul", ["d", "scale"], ["s"]),
        helper.make_node("Transpose", ["s"], ["x"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x", "w", "b"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["v"]),
        helper.make_node("Gemm", ["v", "fc", "fcb"], ["l"]),
        helper.make_node("Sigmoid", ["l"], ["au"]),
    ]
    image = ["N", size, size, 3]
    graph = helper.make_graph(
        nodes,
        "difference",
        [helper.make_tensor_value_info(name, TensorProto.UINT8, image) for name in ("face", "neutral")],
        [helper.make_tensor_value_info("au", TensorProto.FLOAT, ["N", aus])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def package(tmp_path: Path) -> Package:
    """A package with one small FP32 model on difference images."""
    manifest = Manifest(
        name="small",
        family="cednn",
        aus=("AU01", "AU12"),
        thresholds=(0.5, 0.5),
        inputs=(InputSpec("face", SIZE, SIZE), InputSpec("neutral", SIZE, SIZE)),
        crop=CropSpec(size_px=SIZE),
        neutral=NeutralSpec("first"),
    )

    def files(folder: Path) -> Manifest:
        data = difference_net().SerializeToString()
        (folder / "fp32.onnx").write_bytes(data)
        backends = ("onnxruntime", "openvino")
        digest = hashlib.sha256(data).hexdigest()
        return manifest.with_variant(Variant("fp32", "fp32.onnx", digest, len(data), "fp32", backends))

    return Package.create(tmp_path / "small.edgeau", manifest, files)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Labelled crops: AU12 is present in every second one, AU01 in none."""
    rng = np.random.default_rng(1)
    faces = rng.integers(0, 256, (10, SIZE, SIZE, 3), np.uint8)
    au = np.zeros((10, 2), np.float32)
    au[::2, 1] = 4
    file = tmp_path / "crops.npz"
    np.savez(file, faces=faces, neutrals=faces[::-1], au=au, aus=np.array(["AU01", "AU12"]))
    return file

"""A CEDNN-like network, its package and its data, small enough that quantizing takes a second or two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeau.optimize.quantize import quantize_package
from edgeau.runtime.files import sha256_file
from edgeau.runtime.manifest import CropSpec, InputSpec, Manifest, NeutralSpec, Variant
from edgeau.runtime.package import Package

SIZE_PX = 48
AUS = ("AU01", "AU02", "AU04", "AU12")


class Graph:
    """Collects nodes and weights of a model under construction."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)

    def const(self, value: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [f"{name}_out"], name=name, **attributes))
        return f"{name}_out"

    def conv(self, x: str, fan_in: int, fan_out: int, kernel: int = 3, stride: int = 1, group: int = 1) -> str:
        shape = (fan_out, fan_in // group, kernel, kernel)
        scale = np.sqrt(2.0 / np.prod(shape[1:]))
        weight = self.const((self.random.normal(size=shape) * scale).astype(np.float32))
        bias = self.const((self.random.normal(size=fan_out) * 0.05).astype(np.float32))
        pad = kernel // 2
        return self.op(
            "Conv", x, weight, bias, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, group=group
        )


def cednn_like(seed: int = 0, size_px: int = SIZE_PX) -> onnx.ModelProto:
    """uint8 `face` and `neutral` [N, H, W, 3] -> `au` [N, 4]: difference maps added to a grouped residual trunk."""
    g = Graph(seed)
    inverse = g.const(np.float32(1 / 255))

    def prepared(name: str) -> str:
        floats = g.op("Cast", name, to=TensorProto.FLOAT)
        return g.op("Mul", g.op("Transpose", floats, perm=[0, 3, 1, 2]), inverse)

    face, neutral = prepared("face"), prepared("neutral")
    difference = g.op("ReduceMean", g.op("Abs", g.op("Sub", face, neutral)), g.const(np.array([1])), keepdims=1)
    thresholds = g.const(np.array([0.05, 0.1, 0.2, 0.3, 0.4], np.float32).reshape(1, 5, 1, 1))
    maps = g.op("Cast", g.op("Greater", difference, thresholds), to=TensorProto.FLOAT)
    maps = g.op("AveragePool", maps, kernel_shape=[4, 4], strides=[4, 4])
    attention = g.op("ReduceMean", maps, g.const(np.array([1])), keepdims=1)
    mean = g.const(np.array([0.5, 0.45, 0.4], np.float32).reshape(1, 3, 1, 1))
    x = g.op("Relu", g.conv(g.op("Sub", face, mean), 3, 16, stride=2))
    x = g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = g.op("Add", x, attention)
    branch = g.op("Relu", g.conv(x, 16, 16, group=4))
    x = g.op("Relu", g.op("Add", g.conv(branch, 16, 16, kernel=1), x))
    x = g.op("Relu", g.conv(x, 16, 32, stride=2))
    x = g.op("Flatten", g.op("GlobalAveragePool", x))
    weight = g.const((g.random.normal(size=(len(AUS), 32)) * 1.5).astype(np.float32))
    bias = g.const(np.zeros(len(AUS), np.float32))
    logits = g.op("Gemm", x, weight, bias, transB=1)
    g.nodes.append(helper.make_node("Sigmoid", [logits], ["au"], name="to_probability"))
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, ["batch", size_px, size_px, 3])
        for name in ("face", "neutral")
    ]
    output = helper.make_tensor_value_info("au", TensorProto.FLOAT, ["batch", len(AUS)])
    graph = helper.make_graph(g.nodes, "cednn_like", inputs, [output], g.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return onnx.shape_inference.infer_shapes(model)


def hard_to_quantize() -> onnx.ModelProto:
    """The same network with one feature so large that 8 bits leave nothing of the others; FP32 ignores it."""
    model = cednn_like()
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    first, grouped, _, last = [node for node in model.graph.node if node.op_type == "Conv"]

    def edit(name: str, where: object, value: float) -> None:
        array = numpy_helper.to_array(tensors[name]).copy()
        array[where] = value
        tensors[name].CopyFrom(numpy_helper.from_array(array, name))

    edit(first.input[2], 0, 600.0)
    edit(grouped.input[1], np.s_[0:4, 0], 0.0)
    edit(last.input[1], np.s_[:, 0], 0.0)
    return model


def foreign_model(
    layout: str = "nchw", batch: int | str = 1, channels: int = 3, size: int | str = SIZE_PX, opset: int = 17
) -> onnx.ModelProto:
    """Somebody else's model: float input, logits out, a reshape that fixes the batch where ``batch`` is a number."""
    g = Graph(seed=3)
    x = "input"
    if layout == "nhwc":
        x = g.op("Transpose", x, perm=[0, 3, 1, 2])
    x = g.op("Relu", g.conv(x, channels, 8, stride=2))
    x = g.op("GlobalAveragePool", g.op("Relu", g.conv(x, 8, 16, stride=2)))
    x = g.op("Reshape", x, g.const(np.array([batch if isinstance(batch, int) else -1, 16])))
    g.op("Gemm", x, g.const(g.random.normal(size=(16, len(AUS))).astype(np.float32)))
    g.nodes[-1].output[0] = "logits"
    shape = [batch, channels, size, size] if layout == "nchw" else [batch, size, size, channels]
    graph = helper.make_graph(
        g.nodes,
        "foreign",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, len(AUS)])],
        g.weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def faces_and_labels(count: int, seed: int, size_px: int = SIZE_PX) -> dict[str, np.ndarray]:
    """Crop-like pictures: a smooth neutral, and the same with patches that AUs brighten; intensity 0..5 labels."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(60, 200, size=(count, 6, 6, 3))
    neutrals = np.repeat(np.repeat(coarse, size_px // 6, axis=1), size_px // 6, axis=2)
    intensity = random.integers(0, 6, size=(count, len(AUS))).astype(np.float32)
    change = np.zeros_like(neutrals)
    half = size_px // 2
    for column in range(len(AUS)):
        y, x = half * (column // 2), half * (column % 2)
        change[:, y : y + half, x : x + half] = (intensity[:, column] * 25)[:, None, None, None]
    faces = np.clip(neutrals + change + random.normal(0, 4, neutrals.shape), 0, 255)
    return {
        "faces": faces.astype(np.uint8),
        "neutrals": neutrals.astype(np.uint8),
        "au": intensity,
        "aus": np.array(AUS),
    }


def write_package(
    folder: Path,
    model: onnx.ModelProto,
    takes_neutral: bool = True,
    thresholds: tuple[float, ...] = (0.5,) * len(AUS),
) -> Package:
    """A package with one variant, fp32."""
    names = ("face", "neutral") if takes_neutral else ("face",)

    def files(temporary: Path) -> Manifest:
        onnx.save(model, temporary / "fp32.onnx")
        variant = Variant(
            name="fp32",
            file="fp32.onnx",
            sha256=sha256_file(temporary / "fp32.onnx"),
            size_bytes=(temporary / "fp32.onnx").stat().st_size,
            precision="fp32",
            backends=("onnxruntime", "openvino", "tensorrt"),
        )
        return Manifest(
            name=folder.stem,
            family="cednn",
            aus=AUS,
            thresholds=thresholds,
            inputs=tuple(InputSpec(name, SIZE_PX, SIZE_PX) for name in names),
            crop=CropSpec(size_px=SIZE_PX),
            neutral=NeutralSpec("first" if takes_neutral else "none"),
            variants=(variant,),
        )

    return Package.create(folder, Manifest("empty", "cednn", ("AU01",), (0.5,), (InputSpec("face", 1, 1),)), files)


@pytest.fixture(scope="session")
def model() -> onnx.ModelProto:
    return cednn_like()


@pytest.fixture
def package(tmp_path: Path, model: onnx.ModelProto) -> Package:
    return write_package(tmp_path / "toy.edgeau", model)


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "calibration.npz"
    np.savez(file, **faces_and_labels(24, seed=1))
    return file


@pytest.fixture(scope="session")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "evaluation.npz"
    np.savez(file, **faces_and_labels(40, seed=2))
    return file


@pytest.fixture(scope="session")
def make_package() -> Callable[..., Package]:
    return write_package


@pytest.fixture(scope="session")
def make_model() -> Callable[..., onnx.ModelProto]:
    return cednn_like


@pytest.fixture(scope="session")
def make_data() -> Callable[..., dict[str, np.ndarray]]:
    return faces_and_labels


@pytest.fixture(scope="session")
def outlier_model() -> onnx.ModelProto:
    return hard_to_quantize()


@pytest.fixture(scope="session")
def make_foreign() -> Callable[..., onnx.ModelProto]:
    return foreign_model


@pytest.fixture(scope="session")
def quantized(
    tmp_path_factory: pytest.TempPathFactory, model: onnx.ModelProto, calibration: Path, evaluation: Path
) -> Package:
    """The toy package with an INT8 variant for each target. Shared: copy it before changing it."""
    package = write_package(tmp_path_factory.mktemp("packages") / "quantized.edgeau", model)
    return quantize_package(package.path, str(calibration), evaluation=str(evaluation))[0]

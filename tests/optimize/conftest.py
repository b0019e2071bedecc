"""Small ONNX networks with everything that finishing, lint and FP16 conversion must handle, their Q/DQ versions, and a
CEDNN-like package with data, small enough to quantize in a second or two."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeau.runtime.files import sha256_file
from edgeau.runtime.manifest import CropSpec, InputSpec, Manifest, NeutralSpec, Variant
from edgeau.runtime.package import Package

SIZE_PX = 32
CROP_PX = 48
AUS = ("AU01", "AU02", "AU04", "AU12")


class NetBuilder:
    """Collects nodes and weights; each method returns the name of the tensor that it adds."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)

    def const(self, value: np.ndarray, name: str = "") -> str:
        name = name or f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def op(self, kind: str, *inputs: str, name: str = "", outputs: int = 1, domain: str = "", **attributes) -> str:
        name = name or f"{kind.lower()}{len(self.nodes)}"
        made = [f"{name}_out"] if outputs == 1 else [f"{name}_out{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), made, name=name, domain=domain, **attributes))
        return made[0]

    def weight(self, *shape: int) -> np.ndarray:
        scale = np.sqrt(2.0 / np.prod(shape[1:]))
        return (self.random.normal(size=shape) * scale).astype(np.float32)

    def conv(
        self, x: str, read: int, made: int, kernel: int = 3, stride: int = 1, group: int = 1, name: str = ""
    ) -> str:
        weight = self.const(self.weight(made, read // group, kernel, kernel))
        bias = self.const((self.random.normal(size=made) * 0.05).astype(np.float32))
        return self.op(
            "Conv",
            x,
            weight,
            bias,
            name=name,
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[kernel // 2] * 4,
            group=group,
        )

    def pair(
        self, x: str, scale: float | np.ndarray, zero_point: np.ndarray | None = None, name: str = "", **attributes
    ) -> str:
        """A Q/DQ pair after a tensor; the integers have the zero point's type."""
        name = name or f"pair{len(self.nodes)}"
        parameters = [self.const(np.asarray(scale, np.float32))]
        if zero_point is not None:
            parameters.append(self.const(zero_point))
        quantized = self.op("QuantizeLinear", x, *parameters, name=f"{name}_q", **attributes)
        return self.op("DequantizeLinear", quantized, *parameters, name=f"{name}_dq", **attributes)

    def int8_weight(self, value: np.ndarray, axis: int | None = 0, name: str = "") -> str:
        """An INT8 weight with a DQ, with scales along an axis or a single one."""
        others = tuple(i for i in range(value.ndim) if i != axis)
        scale = (np.abs(value).max(axis=None if axis is None else others) / 127).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(value.ndim)]
        divided = np.rint(value / (scale if axis is None else scale.reshape(shape)))
        integers = np.clip(divided, -127, 127).astype(np.int8)
        inputs = [self.const(integers), self.const(scale), self.const(np.zeros(scale.shape, np.int8))]
        attributes = {} if axis is None else {"axis": axis}
        return self.op("DequantizeLinear", *inputs, name=name, **attributes)

    def model(
        self,
        inputs: dict[str, list],
        outputs: dict[str, list],
        opset: int = 17,
        input_type: int = TensorProto.FLOAT,
        output_type: int = TensorProto.FLOAT,
        ir_version: int = 8,
        extra_domains: tuple[str, ...] = (),
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info(name, input_type, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, output_type, shape) for name, shape in outputs.items()],
            self.tensors,
        )
        imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(each, 1) for each in extra_domains)]
        return helper.make_model(graph, opset_imports=imports, ir_version=ir_version)


@pytest.fixture(scope="session")
def net() -> Callable[..., NetBuilder]:
    """Makes an empty network."""
    return NetBuilder


@pytest.fixture(scope="session")
def toy_cnn() -> onnx.ModelProto:
    """float `x` [1, 3, 32, 32], 0..1 -> `y` [1, 16], 0..1: residual, depthwise, grouped, squeeze-excitation, concat."""
    g = NetBuilder(0)
    x = g.op("Relu", g.conv("x", 3, 32, name="stem"))
    branch = g.op("Relu", g.conv(x, 32, 32, name="branch1"))
    x = g.op("Relu", g.op("Add", g.conv(branch, 32, 32, name="branch2"), x, name="residual"))
    x = g.op("Relu", g.conv(x, 32, 32, group=32, name="depthwise"))
    x = g.op("Relu", g.conv(x, 32, 64, kernel=1, stride=2, name="pointwise"))
    x = g.op("Relu", g.conv(x, 64, 64, group=4, name="grouped"))
    squeezed = g.op("Relu", g.conv(g.op("GlobalAveragePool", x), 64, 16, kernel=1, name="se1"))
    gate = g.op("Sigmoid", g.conv(squeezed, 16, 64, kernel=1, name="se2"))
    x = g.op("Mul", x, gate, name="excite")
    left = g.op("Relu", g.conv(x, 64, 32, name="left"))
    right = g.op("Relu", g.conv(x, 64, 32, kernel=1, name="right"))
    x = g.op("Relu", g.conv(g.op("Concat", left, right, axis=1), 64, 64, name="joined"))
    x = g.op("Flatten", g.op("GlobalAveragePool", x))
    head = [g.const(g.weight(16, 64)), g.const(np.zeros(16, np.float32))]
    logits = g.op("Gemm", x, *head, name="head", transB=1)
    g.nodes.append(helper.make_node("Sigmoid", [logits], ["y"], name="to_probability"))
    model = g.model({"x": [1, 3, SIZE_PX, SIZE_PX]}, {"y": [1, 16]})
    onnx.checker.check_model(model, full_check=True)
    return onnx.shape_inference.infer_shapes(model)


@pytest.fixture(scope="session")
def pictures() -> Callable[[int, int], list[dict[str, np.ndarray]]]:
    """Makes inputs for `toy_cnn`: (count, seed)."""

    def make(count: int, seed: int) -> list[dict[str, np.ndarray]]:
        random = np.random.default_rng(seed)
        coarse = random.uniform(0, 1, size=(count, 1, 3, 8, 8)).astype(np.float32)
        return [{"x": each.repeat(SIZE_PX // 8, axis=2).repeat(SIZE_PX // 8, axis=3)} for each in coarse]

    return make


@pytest.fixture(scope="session")
def nncf_cnn(toy_cnn: onnx.ModelProto, pictures) -> onnx.ModelProto:
    """`toy_cnn` after `nncf.quantize` with default options."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nncf

        nncf.set_log_level(logging.CRITICAL)
        return nncf.quantize(toy_cnn, nncf.Dataset(pictures(32, 1)), subset_size=32)


def cednn_like(seed: int = 0, size_px: int = CROP_PX) -> onnx.ModelProto:
    """uint8 `face` and `neutral` [N, H, W, 3] -> `au` [N, 4]: difference maps added to a grouped residual trunk."""
    g = NetBuilder(seed)
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
    graph = helper.make_graph(g.nodes, "cednn_like", inputs, [output], g.tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return onnx.shape_inference.infer_shapes(model)


def hard_to_quantize() -> onnx.ModelProto:
    """The same network with one feature so large that 8 bits can't resolve the others; FP32 ignores it."""
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
    layout: str = "nchw", batch: int | str = 1, channels: int = 3, size: int | str = CROP_PX, opset: int = 17
) -> onnx.ModelProto:
    """A third-party model: float input, logits as output, a reshape that fixes the batch if ``batch`` is a number."""
    g = NetBuilder(seed=3)
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
        g.tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def faces_and_labels(count: int, seed: int, size_px: int = CROP_PX) -> dict[str, np.ndarray]:
    """Crop-like pictures: smooth neutrals, faces with patches brightened by AUs, and labels of intensity 0..5."""
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
            inputs=tuple(InputSpec(name, CROP_PX, CROP_PX) for name in names),
            crop=CropSpec(size_px=CROP_PX),
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
    """The toy package with an INT8 variant for each target. It is shared, so copy it before changing it."""
    from edgeau.optimize.quantization.quantize import quantize_package  # not installed where only engine/ is tested

    package = write_package(tmp_path_factory.mktemp("packages") / "quantized.edgeau", model)
    return quantize_package(package.path, str(calibration), evaluation=str(evaluation))[0]

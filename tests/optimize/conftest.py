"""Small networks in ONNX that have what finishing, lint and FP16 must deal with, and their Q/DQ versions."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

SIZE_PX = 32


class NetBuilder:
    """Collects nodes and weights; each method returns the name of the tensor that it made."""

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
            "Conv", x, weight, bias, name=name, kernel_shape=[kernel] * 2, strides=[stride] * 2,
            pads=[kernel // 2] * 4, group=group,
        )  # fmt: skip

    def pair(
        self, x: str, scale: float | np.ndarray, zero_point: np.ndarray | None = None, name: str = "", **attributes
    ) -> str:
        """Q and DQ behind a tensor; the zero point's type is that of the integers."""
        name = name or f"pair{len(self.nodes)}"
        parameters = [self.const(np.asarray(scale, np.float32))]
        if zero_point is not None:
            parameters.append(self.const(zero_point))
        quantized = self.op("QuantizeLinear", x, *parameters, name=f"{name}_q", **attributes)
        return self.op("DequantizeLinear", quantized, *parameters, name=f"{name}_dq", **attributes)

    def int8_weight(self, value: np.ndarray, axis: int | None = 0, name: str = "") -> str:
        """A weight as INT8 with a DQ, scales along an axis or one for all."""
        others = tuple(i for i in range(value.ndim) if i != axis)
        scale = (np.abs(value).max(axis=None if axis is None else others) / 127).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(value.ndim)]
        divided = np.rint(value / (scale if axis is None else scale.reshape(shape)))
        integers = np.clip(divided, -127, 127).astype(np.int8)
        inputs = [self.const(integers), self.const(scale), self.const(np.zeros(scale.shape, np.int8))]
        attributes = {} if axis is None else {"axis": axis}
        return self.op("DequantizeLinear", *inputs, name=name, **attributes)

    def model(
        self, inputs: dict[str, list], outputs: dict[str, list], opset: int = 17, input_type: int = TensorProto.FLOAT,
        output_type: int = TensorProto.FLOAT, ir_version: int = 8, extra_domains: tuple[str, ...] = (),
    ) -> onnx.ModelProto:  # fmt: skip
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
    """`toy_cnn` as `nncf.quantize` leaves it with no option set."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nncf

        nncf.set_log_level(logging.CRITICAL)
        return nncf.quantize(toy_cnn, nncf.Dataset(pictures(32, 1)), subset_size=32)

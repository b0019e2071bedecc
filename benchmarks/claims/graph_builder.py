"""Builds ONNX graphs of convolutional networks with random weights, in float32, for measuring their cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSET, _IR_VERSION = 17, 8


class GraphBuilder:
    """Nodes in order; each method returns the name of its output.

    The input is ``face``, uint8 [N, size, size, 3], and the output ``au``, float32 [N, aus], as in a package. Batch
    normalization after a convolution is folded into it, as every runtime does: that leaves a bias per channel.
    """

    def __init__(self, size_px: int, aus: int) -> None:
        self._size_px, self._aus = size_px, aus
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def image(self) -> str:
        """The input as float [N, 3, size, size] in 0..1."""
        x = self.node("Cast", "face", to=TensorProto.FLOAT)
        x = self.node("Mul", x, self.constant(np.float32(1 / 255)))
        return self.node("Transpose", x, perm=[0, 3, 1, 2])

    def convolution(
        self, x: str, inside: int, outside: int, kernel: int, *, stride: int = 1, groups: int = 1, bias: bool = True
    ) -> str:
        """A convolution padded to keep the size, apart from its stride."""
        fan_in = inside // groups * kernel**2
        weight = self._random.normal(0, (2 / fan_in) ** 0.5, (outside, inside // groups, kernel, kernel))
        tensors = [self.constant(weight)] + ([self.constant(np.zeros(outside))] if bias else [])
        sides = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
        return self.node("Conv", x, *tensors, group=groups, **sides)

    def patches(self, x: str, inside: int, outside: int, kernel: int) -> str:
        """A convolution over patches that don't overlap, with a bias."""
        weight = self._random.normal(0, (inside * kernel**2) ** -0.5, (outside, inside, kernel, kernel))
        tensors = (self.constant(weight), self.constant(np.zeros(outside)))
        return self.node("Conv", x, *tensors, kernel_shape=[kernel] * 2, strides=[kernel] * 2)

    def linear(self, x: str, inside: int, outside: int) -> str:
        """A linear layer over the last axis, with a bias."""
        weight = self._random.normal(0, inside**-0.5, (inside, outside))
        return self.node("Add", self.node("MatMul", x, self.constant(weight)), self.constant(np.zeros(outside)))

    def normalization(self, x: str, channels: int) -> str:
        """A batch normalization that can't be folded into the convolution before it."""
        ones, zeros = np.ones(channels), np.zeros(channels)
        return self.node("BatchNormalization", x, *(self.constant(each) for each in (ones, zeros, zeros, ones)))

    def max_pool(self, x: str, kernel: int, stride: int) -> str:
        """Maximum pooling; odd kernels are padded to keep the size, apart from the stride."""
        pads = [(kernel - 1) // 2] * 4 if kernel % 2 else [0] * 4
        return self.node("MaxPool", x, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads)

    def upsample(self, x: str) -> str:
        """Twice the size, nearest neighbour."""
        empty = self.constant(np.zeros(0))
        scales = self.constant(np.array([1, 1, 2, 2]))
        return self.node("Resize", x, empty, scales, mode="nearest", nearest_mode="floor",
                         coordinate_transformation_mode="asymmetric")  # fmt: skip

    def clip(self, x: str, low: float, high: float) -> str:
        """Limit to a range."""
        return self.node("Clip", x, self.constant(np.float32(low)), self.constant(np.float32(high)))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Any operator with one output."""
        output = f"{kind}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def save(self, features: str, channels: int, file: Path) -> None:
        """Average the features [N, channels, h, w] over the image, add one linear layer and a sigmoid, and write."""
        pooled = self.node("Flatten", self.node("GlobalAveragePool", features))
        weight = self._random.normal(0, channels**-0.5, (channels, self._aus))
        logits = self.node("Gemm", pooled, self.constant(weight), self.constant(np.zeros(self._aus)))
        self._nodes.append(helper.make_node("Sigmoid", [logits], ["au"]))
        image: list[str | int | None] = ["N", self._size_px, self._size_px, 3]
        graph = helper.make_graph(
            self._nodes,
            file.stem,
            [helper.make_tensor_value_info("face", TensorProto.UINT8, image)],
            [helper.make_tensor_value_info("au", TensorProto.FLOAT, ["N", self._aus])],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        onnx.save(model, str(file))

    def constant(self, values: Any) -> str:
        """A float32 weight."""
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

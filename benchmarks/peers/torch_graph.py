"""An ONNX graph as a torch module, so that torch runs the same work: one torch function per node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from edgeau.runtime.errors import BackendError

Attributes = Mapping[str, Any]
Function = Callable[[Sequence[Any], Attributes], Tensor]


class TorchGraph(nn.Module):
    """The graph of an ONNX model. ``forward`` takes its inputs in order and returns ``au``.

    Shapes, axes and other integers of the graph are constants. Raises BackendError for an unknown operator.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        graph = model.graph
        unknown = sorted({node.op_type for node in graph.node} - set(_FUNCTIONS) - {"Constant"})
        if unknown:
            raise BackendError(f"no torch function for the ONNX operator {', '.join(unknown)}")
        constants = {tensor.name: _constant(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                constants[node.output[0]] = _constant(numpy_helper.to_array(node.attribute[0].t))
        self.input_names = tuple(value.name for value in graph.input if value.name not in constants)
        self._constants = {**constants, "": None}
        self._steps = [
            (_FUNCTIONS[node.op_type], tuple(node.input), node.output[0], _attributes(node))
            for node in graph.node
            if node.op_type != "Constant"
        ]

    def forward(self, *inputs: Tensor) -> Tensor:
        values = {**self._constants, **dict(zip(self.input_names, inputs, strict=True))}
        for function, names, output, attributes in self._steps:
            values[output] = function([values[name] for name in names], attributes)
        au: Tensor = values["au"]
        return au


def _constant(values: np.ndarray) -> Any:
    """A list of integers, such as a shape, or a tensor."""
    return values.reshape(-1).tolist() if values.dtype == np.int64 else torch.from_numpy(values.copy())


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _padded(x: Tensor, a: Attributes, value: float = 0.0) -> Tensor:
    top, left, bottom, right = a.get("pads", (0, 0, 0, 0))
    return functional.pad(x, (left, right, top, bottom), value=value) if any((top, left, bottom, right)) else x


def _symmetric(a: Attributes) -> bool:
    top, left, bottom, right = a.get("pads", (0, 0, 0, 0))
    return bool(top == bottom and left == right)


def _conv(i: Sequence[Any], a: Attributes) -> Tensor:
    x, padding = (i[0], a.get("pads", [0, 0])[:2]) if _symmetric(a) else (_padded(i[0], a), [0, 0])
    bias = i[2] if len(i) > 2 else None
    strides, dilations = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    return functional.conv2d(x, i[1], bias, strides, padding, dilations, a.get("group", 1))


def _max_pool(i: Sequence[Any], a: Attributes) -> Tensor:
    return functional.max_pool2d(_padded(i[0], a, -torch.inf), a["kernel_shape"], a.get("strides", [1, 1]))


def _average_pool(i: Sequence[Any], a: Attributes) -> Tensor:
    inside = bool(a.get("count_include_pad", 0))
    return functional.avg_pool2d(
        i[0], a["kernel_shape"], a.get("strides", [1, 1]), a.get("pads", [0, 0])[:2], count_include_pad=inside
    )


def _slice(i: Sequence[Any], _: Attributes) -> Tensor:
    x = i[0]
    axes = i[3] if len(i) > 3 and i[3] is not None else range(len(i[1]))
    steps = i[4] if len(i) > 4 else [1] * len(i[1])
    for start, end, axis, step in zip(i[1], i[2], axes, steps, strict=True):
        length = x.shape[axis]
        end = max(end + length, 0) if end < 0 else min(end, length)
        x = x[(slice(None),) * (axis % x.dim()) + (slice(start, end, step),)]
    return x


def _resize(i: Sequence[Any], a: Attributes) -> Tensor:
    mode = a.get("mode", b"nearest").decode()
    sizes = i[3][2:] if len(i) > 3 and i[3] is not None else None
    scales = None if sizes is not None else [float(each) for each in i[2][2:]]
    return functional.interpolate(i[0], sizes, scales, mode={"linear": "bilinear"}.get(mode, mode))


def _gemm(i: Sequence[Any], a: Attributes) -> Tensor:
    x, weight = (i[0].t() if a.get("transA") else i[0]), (i[1] if a.get("transB") else i[1].t())
    return functional.linear(x, weight, i[2] if len(i) > 2 else None)


def _reduce(function: Callable[..., Tensor]) -> Function:
    def reduced(i: Sequence[Any], a: Attributes) -> Tensor:
        axes = a.get("axes") or (i[1] if len(i) > 1 else list(range(i[0].dim())))
        return function(i[0], dim=tuple(axes), keepdim=bool(a.get("keepdims", 1)))

    return reduced


def _reshape(i: Sequence[Any], _: Attributes) -> Tensor:
    shape = [i[0].shape[axis] if size == 0 else size for axis, size in enumerate(i[1])]
    return i[0].reshape(shape)


def _clip(i: Sequence[Any], _: Attributes) -> Tensor:
    return torch.clamp(i[0], *(None if each is None else each.item() for each in (*i[1:], None, None)[:2]))


def _unsqueeze(i: Sequence[Any], _: Attributes) -> Tensor:
    x = i[0]
    for axis in sorted(i[1]):
        x = x.unsqueeze(axis)
    return x


_TYPES = {onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.FLOAT16: torch.float16,
          onnx.TensorProto.INT64: torch.int64}  # fmt: skip

_FUNCTIONS: dict[str, Function] = {
    "Abs": lambda i, _: i[0].abs(),
    "Add": lambda i, _: i[0] + i[1],
    "AveragePool": _average_pool,
    "BatchNormalization": lambda i, a: functional.batch_norm(i[0], i[3], i[4], i[1], i[2], eps=a.get("epsilon", 1e-5)),
    "Cast": lambda i, a: i[0].to(_TYPES[a["to"]]),
    "Clip": _clip,
    "Concat": lambda i, a: torch.cat(list(i), a["axis"]),
    "Conv": _conv,
    "Div": lambda i, _: i[0] / i[1],
    "Erf": lambda i, _: torch.erf(i[0]),
    "Flatten": lambda i, a: i[0].flatten(a.get("axis", 1)),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda i, _: i[0].mean((2, 3), keepdim=True),
    "Greater": lambda i, _: i[0] > i[1],
    "LayerNormalization": lambda i, a: functional.layer_norm(
        i[0], i[1].shape, i[1], i[2] if len(i) > 2 else None, a.get("epsilon", 1e-5)
    ),
    "MatMul": lambda i, _: i[0] @ i[1],
    "MaxPool": _max_pool,
    "Mul": lambda i, _: i[0] * i[1],
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": lambda i, _: i[0].relu(),
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": lambda i, _: i[0].sigmoid(),
    "Slice": _slice,
    "Softmax": lambda i, a: i[0].softmax(a.get("axis", -1)),
    "Sqrt": lambda i, _: i[0].sqrt(),
    "Sub": lambda i, _: i[0] - i[1],
    "Transpose": lambda i, a: i[0].permute(*a["perm"]),
    "Unsqueeze": _unsqueeze,
}

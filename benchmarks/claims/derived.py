"""Networks derived from a model itself: the same one without groups, and the same one for twice as many AUs."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper


def ungrouped(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function with every grouped convolution written as a full one, whose other weights are zero."""
    result = _copy(model)
    weights = {tensor.name: tensor for tensor in result.graph.initializer}
    for node in result.graph.node:
        group = next((each for each in node.attribute if each.name == "group"), None)
        if node.op_type != "Conv" or group is None or group.i == 1 or node.input[1] not in weights:
            continue
        tensor = weights[node.input[1]]
        tensor.CopyFrom(numpy_helper.from_array(_full(numpy_helper.to_array(tensor), group.i), tensor.name))
        group.i = 1
    return result


def _full(weight: np.ndarray, groups: int) -> np.ndarray:
    """[out, in / groups, h, w] as [out, in, h, w]."""
    outside, inside = weight.shape[:2]
    full = np.zeros((outside, inside * groups, *weight.shape[2:]), weight.dtype)
    each = outside // groups
    for group in range(groups):
        rows = slice(group * each, (group + 1) * each)
        full[rows, group * inside : (group + 1) * inside] = weight[rows]
    return full


def twice_the_aus(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The same network with every output of its last linear layer twice; None if ``au`` doesn't come from one."""
    result = _copy(model)
    producers = {output: node for node in result.graph.node for output in node.output}
    node = producers.get("au")
    while node is not None and node.op_type not in ("Gemm", "MatMul"):
        node = producers.get(node.input[0])
    tensors = {tensor.name: tensor for tensor in result.graph.initializer}
    if node is None or not all(name in tensors for name in node.input[1:]):
        return None
    transposed = any(each.name == "transB" and each.i for each in node.attribute)
    for name in node.input[1:]:
        values = numpy_helper.to_array(tensors[name])
        axis = 0 if values.ndim == 1 or transposed else 1
        tensors[name].CopyFrom(numpy_helper.from_array(np.concatenate([values, values], axis), name))
    for value in result.graph.output:
        value.type.tensor_type.ClearField("shape")
    del result.graph.value_info[:]
    return result


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    return result

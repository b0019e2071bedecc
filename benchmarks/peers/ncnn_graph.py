"""An ONNX graph in a form that ncnn supports: without casts and comparisons."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# x > t as a ramp from 0 to 1 so steep that no float32 value of a crop is on it.
_STEEP = 1e9


def for_ncnn(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function with float32 inputs instead of uint8, and ``x > t`` as a clipped ramp."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    for value in graph.input:
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    del graph.value_info[:]
    constants = {"steep": _STEEP, "ramp_low": 0.0, "ramp_high": 1.0}
    graph.initializer.extend(numpy_helper.from_array(np.float32(v), n) for n, v in constants.items())
    nodes: list[onnx.NodeProto] = []
    renamed: dict[str, str] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
        if node.op_type == "Cast":
            renamed[node.output[0]] = node.input[0]
        elif node.op_type == "Greater":
            nodes += _ramp(node)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return result


def _ramp(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    above, steep = f"{node.output[0]}_above", f"{node.output[0]}_steep"
    return [
        helper.make_node("Sub", list(node.input), [above]),
        helper.make_node("Mul", [above, "steep"], [steep]),
        helper.make_node("Clip", [steep, "ramp_low", "ramp_high"], [node.output[0]]),
    ]

"""A Q/DQ model as TensorRT reads it, expressed as ONNX, so that ONNX Runtime computes what the engine would.

How TensorRT treats zero points is documented in the source of its importer (onnx-tensorrt, onnxOpImporters.cpp,
10.1-GA) and in NvInfer.h: only INT8 with zero point 0 exists; an unsigned zero point of 0 is read as a signed one with
the same scale, which halves the range; other zero points are refused.
"""

from __future__ import annotations

import numpy as np
import onnx

from edgeau.optimize.finish.qdq import zero_point_of
from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, QUANTIZE
from edgeau.runtime.errors import InputError


def emulate_tensorrt(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which each zero point is what TensorRT reads it as.

    Run the result without graph optimizations: some of ONNX Runtime's INT8 kernels saturate where those of a GPU don't.

    Args:
        model: Q/DQ or float; a float model is returned unchanged.

    Raises:
        InputError: TensorRT would refuse a zero point or unsigned weights.
    """
    graph = Graph(model)
    for node in graph.of_type(QUANTIZE, DEQUANTIZE):
        zero_point = zero_point_of(graph, node)
        if zero_point is None:
            raise InputError(f"{node.op_type} {node.name}: zero point", got="computed", expected="a constant")
        if zero_point.dtype not in (np.int8, np.uint8):
            continue
        if zero_point.any():
            raise InputError(
                f"{node.op_type} {node.name}: zero point",
                got=str(int(zero_point.ravel()[0])),
                expected="0",
                hint="finish the model for tensorrt first",
            )
        if zero_point.dtype == np.uint8:
            if node.op_type == DEQUANTIZE and graph.constant(node.input[0]) is not None:
                raise InputError(
                    f"{node.op_type} {node.name}: weights",
                    got="uint8",
                    expected="int8",
                    hint="finish the model for tensorrt first",
                )
            signed = graph.add_constant(f"{node.name}_zero_point_int8", np.zeros(zero_point.shape, np.int8))
            graph.set_input(node, 2, signed)
    return graph.write()

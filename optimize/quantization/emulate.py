"""TensorRT's reading of a Q/DQ model, written as ONNX, so that ONNX Runtime gives what the engine would give.

What TensorRT does with a zero point is read in the source of its importer (onnx-tensorrt, onnxOpImporters.cpp, 10.1-GA)
and in NvInfer.h: only INT8 with zero point 0 exists; an unsigned zero point of 0 is taken for a signed one with the
scale unchanged, which halves the range; any other zero point is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx

from edgeau.optimize.finish.qdq import DEQUANTIZE, QUANTIZE, zero_point_of
from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.runtime.errors import InputError


def emulate_tensorrt(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every zero point is what TensorRT takes it for.

    Run the result with graph optimizations off: some of ONNX Runtime's INT8 kernels saturate where a GPU's don't.

    Args:
        model: Q/DQ or float; a float model comes back as it is.

    Raises:
        InputError: TensorRT would refuse a zero point, or unsigned weights.
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
                f"{node.op_type} {node.name}: zero point", got=str(int(zero_point.ravel()[0])), expected="0",
                hint="finish the model for tensorrt first",
            )  # fmt: skip
        if zero_point.dtype == np.uint8:
            if node.op_type == DEQUANTIZE and graph.constant(node.input[0]) is not None:
                raise InputError(
                    f"{node.op_type} {node.name}: weights", got="uint8", expected="int8",
                    hint="finish the model for tensorrt first",
                )  # fmt: skip
            signed = graph.add_constant(f"{node.name}_zero_point_int8", np.zeros(zero_point.shape, np.int8))
            graph.set_input(node, 2, signed)
    return graph.write()


def run(model: onnx.ModelProto, inputs: dict[str, np.ndarray], *, optimized: bool = False) -> list[np.ndarray]:
    """Outputs of a model on ONNX Runtime's CPU, in the graph's order; graph optimizations off unless asked for."""
    return next(run_each(model, [inputs], optimized=optimized))


def run_each(
    model: onnx.ModelProto, samples: Iterable[dict[str, np.ndarray]], *, optimized: bool = False
) -> Iterator[list[np.ndarray]]:
    """`run` for each of several inputs, loading the model once."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for sample in samples:
        yield list(session.run(None, sample))

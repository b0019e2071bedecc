"""Refuse files whose reductions TensorRT 8 and 9 would compute over the wrong axes, on machines without onnx.

From opset 18 on, ReduceMean, ReduceMax and others take their axes as an input. onnx-tensorrt's importers read it from
branch 10.0-GA on; before, they reduce all axes without a warning. (ReduceSum's axes were read from opset 13 on.)
`edgeau inspect` reports the same as E122.
"""

from __future__ import annotations

from typing import Any, Iterator, Tuple

from edgeau.runtime.model_file import ModelFile
from edgeau.runtime.protobuf import Value, fields, text

from .library import BuildFailedError, flavour, version

FIRST_TO_READ_AXES = 10
_GRAPH = 7  # of ModelProto
_NODE = 1  # of GraphProto
_INPUT, _NAME, _OPERATOR = 1, 3, 4  # of NodeProto


def require_axes_read(trt: Any, file: ModelFile) -> None:
    """Raise BuildFailedError where this TensorRT would ignore the axes of a reduction."""
    if flavour(trt) != "tensorrt" or int(version(trt).split(".")[0]) >= FIRST_TO_READ_AXES:
        return
    try:
        nodes = list(_reductions_with_axes_input(file.data))
    except ValueError:
        return  # not an ONNX file, which the parser says
    if nodes:
        raise BuildFailedError(
            f"TensorRT {version(trt)} ignores the axes of {len(nodes)} reductions of {file.path}, such as {nodes[0]}; "
            "make the files for it on a PC: edgeau build PACKAGE --target BOARD:JETPACK"
        )


def _reductions_with_axes_input(onnx_bytes: bytes) -> Iterator[str]:
    """Names of the main graph's reductions, other than ReduceSum, that have a second input."""
    for number, graph in fields(onnx_bytes):
        for kind, node in fields(graph) if number == _GRAPH else ():
            if kind == _NODE:
                name, operator, inputs = _describe(node)
                if operator.startswith("Reduce") and operator != "ReduceSum" and inputs > 1:
                    yield name or operator


def _describe(node: Value) -> Tuple[str, str, int]:
    """Name, operator and number of inputs of a node."""
    parts = list(fields(node))
    texts = {number: text(value) for number, value in parts if number in (_NAME, _OPERATOR)}
    inputs = sum(number == _INPUT and len(text(value)) > 0 for number, value in parts)
    return texts.get(_NAME, ""), texts.get(_OPERATOR, ""), inputs

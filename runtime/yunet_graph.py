"""Convert YuNet's ONNX file to a graph that every backend runs: one uint8 image of a chosen size.

The published file (opencv_zoo, face_detection_yunet_2023mar.onnx) takes float32 [1, 3, 640, 640]. Only the declared
shapes in its graph depend on that size, so a graph for another size has the same nodes with other declarations, after a
Cast and a Transpose. The runtime has no ONNX library, so the file is changed as a protobuf message (field
numbers: onnx.proto).
"""

from __future__ import annotations

from typing import Iterable, List, Tuple, Union

from .errors import InputError
from .protobuf import Value, encode, fields, text

INPUT = "image"
STRIDES = (8, 16, 32)
OUTPUTS = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES)
_FLOAT, _UINT8 = 1, 2
_GRAPH = 7  # of ModelProto
_NODE, _INPUT, _OUTPUT, _VALUE_INFO = 1, 11, 12, 13  # of GraphProto


def with_uint8_input(onnx_bytes: bytes, height: int, width: int) -> bytes:
    """YuNet for images of one size.

    Args:
        onnx_bytes: the published file, or one with the same inputs and outputs.
        height, width: of the image; multiples of 32.

    Returns:
        An ONNX file with the input ``image``, uint8 [1, height, width, 3], BGR, and YuNet's outputs.

    Raises:
        InputError: the size is not a multiple of 32, or the bytes are not YuNet's.
    """
    if height % STRIDES[-1] or width % STRIDES[-1] or height < STRIDES[-1] or width < STRIDES[-1]:
        raise InputError("size of YuNet's picture", got=f"{width}x{height}", expected="multiples of 32")
    try:
        parts = list(fields(onnx_bytes))
        graphs = [value for number, value in parts if number == _GRAPH]
        graph = _for_size(graphs[0], height, width)
    except (ValueError, IndexError) as error:
        raise InputError("YuNet's file", got=f"no whole ONNX file ({error})", expected="an ONNX file") from error
    return encode((number, graph if number == _GRAPH else value) for number, value in parts)


def _for_size(graph: Value, height: int, width: int) -> bytes:
    parts = list(fields(graph))
    (old_input, *more), outputs = ([_name(v) for n, v in parts if n == kind] for kind in (_INPUT, _OUTPUT))
    if more or set(outputs) != set(OUTPUTS):
        raise InputError("YuNet's file", got=f"outputs {', '.join(outputs)}", expected=", ".join(OUTPUTS))
    replaced = (_NODE, _INPUT, _OUTPUT, _VALUE_INFO)
    nodes = [
        (_NODE, _node("Cast", INPUT, "image_float", _attribute("to", _FLOAT))),
        (_NODE, _node("Transpose", "image_float", old_input, _attribute("perm", [0, 3, 1, 2]))),
        *((number, value) for number, value in parts if number == _NODE),
    ]
    declared = [(_INPUT, _value_info(INPUT, _UINT8, (1, height, width, 3)))]
    declared += [(_OUTPUT, _value_info(name, _FLOAT, _output_shape(name, height, width))) for name in outputs]
    return encode([*nodes, *((n, v) for n, v in parts if n not in replaced), *declared])


def _output_shape(name: str, height: int, width: int) -> Tuple[int, int, int]:
    kind, stride = name.split("_")
    return 1, (height // int(stride)) * (width // int(stride)), {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}[kind]


def _name(value_info: Value) -> str:
    """Name of a ValueInfoProto."""
    return next((text(value) for number, value in fields(value_info) if number == 1), "")


def _node(operator: str, source: str, target: str, attribute: bytes) -> bytes:
    return encode(
        [(1, source.encode()), (2, target.encode()), (3, target.encode()), (4, operator.encode()), (5, attribute)]
    )


def _attribute(name: str, value: Union[int, List[int]]) -> bytes:
    """An AttributeProto: an INT (type 2, field 3) or INTS (type 7, field 8)."""
    if isinstance(value, int):
        return encode([(1, name.encode()), (3, value), (20, 2)])
    return encode([(1, name.encode()), *((8, item) for item in value), (20, 7)])


def _value_info(name: str, element: int, shape: Iterable[int]) -> bytes:
    """A ValueInfoProto of a tensor."""
    dimensions = encode((1, encode([(1, size)])) for size in shape)
    return encode([(1, name.encode()), (2, encode([(1, encode([(1, element), (2, dimensions)]))]))])

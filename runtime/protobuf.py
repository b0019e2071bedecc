"""Read and write protobuf messages without a protobuf library.

Source: Protocol Buffers documentation, "Encoding".
"""

from __future__ import annotations

from typing import Iterable, Iterator, Tuple, Union

Value = Union[int, bytes]
_VARINT, _LENGTH = 0, 2


def fields(message: Value) -> Iterator[Tuple[int, Value]]:
    """Number and value of every field: an integer, or the bytes of a string or message.

    Raises ValueError if the bytes are not a message, or contain a field of fixed size, which messages for ONNX's
    structure do not.
    """
    if isinstance(message, int):
        raise ValueError("a number in place of a message")
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, wire = key >> 3, key & 7
        size, at = _read_varint(message, at)
        if wire == _VARINT:
            yield number, size
            continue
        if wire != _LENGTH:
            raise ValueError(f"wire type {wire} at byte {at}")
        if at + size > len(message):
            raise ValueError(f"a field of {size} bytes is cut off")
        yield number, message[at : at + size]
        at += size


def encode(parts: Iterable[Tuple[int, Value]]) -> bytes:
    """A message of these fields, in this order."""
    message = bytearray()
    for number, value in parts:
        if isinstance(value, int):
            message += _varint(number << 3 | _VARINT) + _varint(value)
        else:
            message += _varint(number << 3 | _LENGTH) + _varint(len(value)) + value
    return bytes(message)


def _read_varint(message: bytes, at: int) -> Tuple[int, int]:
    """An integer in base 128, and where the next byte is."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("a number is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than 10 bytes")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)

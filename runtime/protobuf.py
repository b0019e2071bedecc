"""Read and write protobuf messages without a protobuf library.

Source: Protocol Buffers documentation, "Encoding".
"""

from __future__ import annotations

from typing import Iterable, Iterator, Tuple, Union

_VARINT, _8_BYTES, _LENGTH, _4_BYTES = 0, 1, 2, 5
_LARGEST_NUMBER = (1 << 29) - 1


class Fixed(bytes):
    """The 4 or 8 bytes of a field of fixed size, such as a float."""


# A field's value: an integer, the bytes of a string or message, or a field of fixed size.
Value = Union[int, memoryview, bytes, Fixed]


def fields(message: Value) -> Iterator[Tuple[int, Union[int, memoryview, Fixed]]]:
    """Number and value of every field of a message. Raises ValueError if the bytes are not a message."""
    if isinstance(message, (int, Fixed)):
        raise ValueError("a number in place of a message")
    view, at = memoryview(message), 0
    while at < len(view):
        key, at = _read_varint(view, at)
        number, wire = key >> 3, key & 7
        # Google's reader drops the bits of a key above 32, and so would see another field.
        if not 1 <= number <= _LARGEST_NUMBER:
            raise ValueError(f"field number {number} at byte {at}")
        if wire == _VARINT:
            value, at = _read_varint(view, at)
            yield number, value
            continue
        if wire == _LENGTH:
            size, at = _read_varint(view, at)
        elif wire in (_8_BYTES, _4_BYTES):
            size = 8 if wire == _8_BYTES else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if at + size > len(view):
            raise ValueError(f"a field of {size} bytes is cut off")
        yield number, view[at : at + size] if wire == _LENGTH else Fixed(view[at : at + size])
        at += size


def text(value: Value) -> str:
    """A string field. Raises ValueError if the value is a number or not UTF-8."""
    if isinstance(value, (int, Fixed)):
        raise ValueError("a number in place of a string")
    return bytes(value).decode("utf-8")


def encode(parts: Iterable[Tuple[int, Value]]) -> bytes:
    """A message of these fields, in this order."""
    message = bytearray()
    for number, value in parts:
        if isinstance(value, int):
            message += _varint(number << 3 | _VARINT) + _varint(value)
        elif isinstance(value, Fixed):
            message += _varint(number << 3 | (_8_BYTES if len(value) == 8 else _4_BYTES)) + value
        else:
            message += _varint(number << 3 | _LENGTH) + _varint(len(value)) + bytes(value)
    return bytes(message)


def _read_varint(message: memoryview, at: int) -> Tuple[int, int]:
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

"""Pictures in requests: the size is read from the header before anything is decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple, Union

import numpy as np
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from edgeau.runtime.errors import InputError
from edgeau.runtime.images import decode_image

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
# Start-of-frame markers; C4, C8 and CC are tables (ITU-T T.81, table B.1).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# In front of the frame; real files have tens. A search without an end would take seconds for ten megabytes of FF.
_MOST_MARKERS = 10_000
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))


@dataclass(frozen=True)
class EncodedPicture:
    """A JPEG or PNG that another process will decode.

    Attributes:
        data: its bytes.
        shape: height and width, from its header.
    """

    data: bytes
    shape: Tuple[int, int]

    @staticmethod
    def decoded_or_error(data: bytes) -> Union[np.ndarray, InputError]:
        """uint8 [H, W, 3], BGR, or why it can't be decoded."""
        try:
            return decode_image(np.frombuffer(data, np.uint8), "picture")
        except InputError as error:
            return error


def decode_picture(data: bytes, max_pixels: int) -> np.ndarray:
    """Decode a JPEG or PNG.

    Returns:
        uint8 [H, W, 3], BGR.

    Raises:
        InputError: it is neither, damaged, or has more pixels; then it was not decoded.
    """
    return decode_image(np.frombuffer(check_picture(data, max_pixels).data, np.uint8), "picture")


def check_picture(data: bytes, max_pixels: int) -> EncodedPicture:
    """A JPEG or PNG by its header. Raises InputError where it is neither, or has more pixels."""
    size = picture_size(data)
    if size is None:
        raise InputError("picture", got=f"{len(data)} bytes that edgeau can't decode", expected="a whole JPEG or PNG")
    width, height = size
    if not 0 < width * height <= max_pixels:
        got, expected = f"{width} x {height} pixels", f"at most {max_pixels / 1e6:g} million"
        raise InputError("picture", got=got, expected=expected, hint="--max-megapixels sets the limit")
    return EncodedPicture(data, (height, width))


def picture_size(data: bytes) -> Optional[Tuple[int, int]]:
    """Width and height from the header of a JPEG or PNG; None where there is none."""
    if data.startswith(_PNG):
        return struct.unpack(">II", data[16:24]) if data[12:16] == b"IHDR" and len(data) >= 24 else None
    return _jpeg_size(data) if data.startswith(_JPEG) else None


def _jpeg_size(data: bytes) -> Optional[Tuple[int, int]]:
    at = len(_JPEG)
    for _ in range(_MOST_MARKERS):
        # Like libjpeg, skip what is no marker: FF, then anything but FF (fill bytes) and 00.
        at = data.find(b"\xff", at) + 1
        if at == 0 or at >= len(data):
            return None
        marker = data[at]
        if marker in (0x00, 0xFF) or marker in _WITHOUT_LENGTH:
            at += marker != 0xFF
        elif marker in _FRAMES:
            height, width = struct.unpack(">HH", data[at + 4 : at + 8]) if len(data) >= at + 8 else (0, 0)
            return width, height
        elif len(data) < at + 3:
            return None
        else:
            at += 1 + int.from_bytes(data[at + 1 : at + 3], "big")
    return None


def picture_of(body: bytes, content_type: str) -> bytes:
    """The picture in a request's body: the body itself, or the one file in multipart/form-data.

    Raises:
        InputError: not one file, or the body is damaged.
    """
    kind, parameters = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return body
    files = _files(body, parameters.get(b"boundary", b""))
    if len(files) != 1:
        raise InputError("multipart/form-data", got=f"{len(files)} files", expected="one file")
    return files[0]


def _files(body: bytes, boundary: bytes) -> List[bytes]:
    """The content of each part that has a file name."""
    parts: List[Dict[str, bytearray]] = []
    name, value = bytearray(), bytearray()

    def begin() -> None:
        parts.append({"headers": bytearray(), "data": bytearray()})

    def end_of_header() -> None:
        if bytes(name).lower() == b"content-disposition":
            parts[-1]["headers"] += value
        name.clear()
        value.clear()

    def extend(target: bytearray) -> Any:
        return lambda data, start, end: target.extend(data[start:end])

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": begin,
            "on_header_field": extend(name),
            "on_header_value": extend(value),
            "on_header_end": end_of_header,
            "on_part_data": lambda data, start, end: parts[-1]["data"].extend(data[start:end]),
        },
    )
    try:
        parser.write(body)
        parser.finalize()
    except MultipartParseError as error:
        raise InputError("multipart/form-data", got=str(error), expected="one file") from error
    return [bytes(p["data"]) for p in parts if b"filename" in parse_options_header(bytes(p["headers"]))[1]]

"""Who reads an ONNX file: a runtime and, for TensorRT, its version."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeau.runtime.errors import InputError

TENSORRT, ONNXRUNTIME, OPENVINO = "tensorrt", "onnxruntime", "openvino"
NEWEST = (999,)


@dataclass(frozen=True)
class Reader:
    """A runtime that loads ONNX files.

    Attributes:
        name: ``tensorrt``, ``onnxruntime`` or ``openvino``.
        version: of TensorRT, as many numbers as are known; NEWEST where none is.
    """

    name: str
    version: tuple[int, ...] = NEWEST

    def older_than(self, *version: int) -> bool:
        """Whether this is a TensorRT before that version."""
        return self.name == TENSORRT and self.version < version


def parse_reader(text: str) -> Reader:
    """``onnxruntime``, ``openvino``, ``tensorrt`` or ``tensorrt-10.3``. Raises InputError for anything else."""
    match = re.fullmatch(r"tensorrt(?:-(\d+(?:\.\d+)*))?", text)
    if match:
        version = tuple(int(part) for part in match[1].split(".")) if match[1] else NEWEST
        return Reader(TENSORRT, version)
    if text in (ONNXRUNTIME, OPENVINO):
        return Reader(text)
    raise InputError(
        "target", got=text, expected="onnxruntime, openvino, tensorrt-8, tensorrt or a version such as tensorrt-10.3"
    )

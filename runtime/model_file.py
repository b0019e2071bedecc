"""Model files, loaded from the same bytes that were verified.

A file is read once and hashed in memory, and every backend loads these bytes. An ONNX file that keeps its weights in
another file (external data) is refused, because its hash does not cover them, and because ONNX Runtime and OpenVINO,
given bytes, look for that file in the current folder. One with an EPContext node is refused as well: it holds code for
a device, or the path of a file with it, which a provider such as TensorRT's loads without the checks that engines get
(onnxruntime.ai, "OnnxRuntime EP Context Cache Feature Design").
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Optional

from .errors import InputError, PackageError
from .files import PathLike
from .protobuf import fields

# Fields that lead to tensors, from onnx.proto: message -> field number -> message.
_FIELDS: Dict[str, Dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 13, 14, 1
_OP_TYPE, _COMPILED_OP = 4, b"EPContext"
_ELSEWHERE = (
    "keeps weights in another file (external data), which its SHA-256 does not cover; "
    "save it as one file: onnx.save(onnx.load(PATH), PATH)"
)
_COMPILED = "holds code that ONNX Runtime compiled for one device (an EPContext node); export the model itself"
_MOST_LEVELS = 100  # as protobuf's own default


@dataclass(frozen=True)
class ModelFile:
    """A model file in memory.

    Attributes:
        path: the file that was read, for messages, caches and sidecars.
        data: its bytes.
        sha256: of the bytes, hexadecimal.
    """

    path: Path
    data: bytes = field(repr=False)
    sha256: str


def read_model_file(path: PathLike, sha256: Optional[str] = None, size_bytes: Optional[int] = None) -> ModelFile:
    """Read a model file once.

    Args:
        path: an ONNX file, or a TensorRT plan.
        sha256: expected hash; None accepts any.
        size_bytes: expected size, which is compared before the file is read; None accepts any.

    Raises:
        InputError: it can't be read.
        PackageError: its size or SHA-256 is different.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size_bytes not in (None, size):
            raise _differs(path, f"{size} bytes instead of {size_bytes}: altered or truncated")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"model {path}", got=error.strerror, expected="an ONNX file or an engine") from error
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256:
        raise _differs(path, "altered or truncated")
    return ModelFile(path, data, digest)


def _differs(path: Path, how: str) -> PackageError:
    hint = "fetch the package again, or make this variant again"
    return PackageError(f"{path} differs from the SHA-256 in its manifest ({how}); {hint}")


def onnx_problem(file: ModelFile, *, partial: bool = False) -> Optional[str]:
    """Why an ONNX file must not be loaded, as a clause that follows its path; None if it may.

    Args:
        file: the file.
        partial: ignore files that are not ONNX; a backend reports these when it loads them.
    """
    try:
        return unverified_part(file.data)
    except ValueError as error:
        return None if partial else f"is not a whole ONNX file: {error}"


def unverified_part(onnx_bytes: bytes) -> Optional[str]:
    """What an ONNX file brings along that can't be verified, as in `onnx_problem`; None if there is nothing.

    Raises:
        ValueError: it is not a protobuf message.
    """
    return _unverified(memoryview(onnx_bytes), "Model", 0)


def _unverified(message: memoryview, kind: str, level: int) -> Optional[str]:
    if level > _MOST_LEVELS:
        raise ValueError(f"more than {_MOST_LEVELS} messages inside each other")
    children = _FIELDS.get(kind, {})
    for number, value in fields(message):
        # Of a number, readers of an enumeration take the lowest 32 bits.
        external = number == _DATA_LOCATION and isinstance(value, int) and value & 0xFFFFFFFF == _EXTERNAL
        if kind == "Tensor" and (number == _EXTERNAL_DATA or external):
            return _ELSEWHERE
        if kind == "Node" and number == _OP_TYPE and value == _COMPILED_OP:
            return _COMPILED
        child = children.get(number)
        part = _unverified(value, child, level + 1) if child is not None and isinstance(value, memoryview) else None
        if part is not None:
            return part
    return None

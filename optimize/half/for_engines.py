"""The FP16 file that a TensorRT engine is built from, made where a package has none.

TensorRT 11, and 10.12 and later by preference, take each layer's precision from the file. Boards have no onnx to make
one with; there packages stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from edgeau.optimize.engine.capabilities import capabilities
from edgeau.optimize.engine.ladder import Missing, find_rung
from edgeau.optimize.engine.library import load_tensorrt
from edgeau.runtime.package import Package
from edgeau.runtime.parity_crops import default_spec


def add_fp16_for_engine(path: str, precision: str, data: str | None, progress: Callable[[str], None]) -> None:
    """Add ``fp16`` to a package if this machine's TensorRT needs that file for an engine of this precision.

    Args:
        path: the package.
        precision: of the engine.
        data: specification of crops on which parity is measured; None for those of the package or of edgeau.
        progress: called with a line before the work.
    """
    package = Package.open(path)
    able = capabilities(load_tensorrt())
    needed = precision == "fp16" and able.prefers_strong
    if needed and isinstance(find_rung(package, "fp16", able), Missing) and find_spec("onnx") is not None:
        _add(package, data, progress)


def with_fp16(
    package: Package, precision: str, data: str | None, folder: Path, progress: Callable[[str], None]
) -> Package:
    """The package, or a copy in ``folder`` with ``fp16`` added where another machine's TensorRT may need that file."""
    has_fp16 = any(v.precision == "fp16" and v.file.endswith(".onnx") for v in package.manifest.variants)
    if has_fp16 or precision == "fp32" or find_spec("onnx") is None:
        return package
    return _add(package.copy_to(folder / package.path.resolve().name), data, progress)


def _add(package: Package, data: str | None, progress: Callable[[str], None]) -> Package:
    from .variant import add_fp16

    progress("making the FP16 file")
    return add_fp16(package, data or default_spec(package))

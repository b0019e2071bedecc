"""Variants of a package: the one that others are made from, and writing new ones."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

from edgeau.optimize.onnx_graph.model_file import read_model, require_float
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import Manifest, Variant
from edgeau.runtime.package import Package


def float_variant(manifest: Manifest) -> Variant:
    """The FP32 variant from which others are made. Raises InputError if the package has none."""
    if manifest.fp32_onnx is not None:
        return manifest.fp32_onnx
    names = ", ".join(v.name for v in manifest.variants) or "none"
    raise InputError(f"package {manifest.name}", got=f"variants {names}", expected="an fp32 ONNX to start from")


def read_float_variant(package: Package) -> tuple[Variant, onnx.ModelProto]:
    """The FP32 variant and its model. Raises InputError where it is missing, damaged or not float."""
    source = float_variant(package.manifest)
    model = read_model(package.file(source))
    require_float(model, f"{package.path.name}: {source.file}")
    return source, model


def require_writable(folder: Path) -> None:
    """Raise InputError if files can't be created in a package's folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"package {folder} can't be written to", got=error.strerror, hint="give -o OUT_PACKAGE for a copy"
        ) from error


def store(package: Package, variant: Variant, model: onnx.ModelProto) -> Package:
    """Write a variant into a package in place."""
    return package.add_variant(variant, lambda file: onnx.save(model, str(file)))

"""A TensorRT engine of an ONNX file of ours, in a package of its own beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx

from edgeau.optimize.engine.job import MakeOptions
from edgeau.optimize.engine.make import make_engine
from edgeau.runtime.manifest import CropSpec, InputSpec, Manifest, Variant
from edgeau.runtime.package import Package

_VARIANTS = {"fp32": "fp32", "fp16": "fp16", "int8": "int8-tensorrt"}


def engine_of(file: Path, precision: str) -> Path:
    """Build an engine for this machine in one precision. Raises EngineError without TensorRT, or if it can't be built.

    Args:
        file: an ONNX file of that precision, with ``face`` as its only input; the package is written beside it.
        precision: ``fp32``, ``fp16`` or ``int8``.
    """
    graph = onnx.load(str(file), load_external_data=False).graph
    side = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    aus = tuple(f"AU{number:02d}" for number in range(1, 1 + graph.output[0].type.tensor_type.shape.dim[1].dim_value))
    empty = Manifest(
        name=file.stem,
        family="imported",
        aus=aus,
        thresholds=(0.5,) * len(aus),
        inputs=(InputSpec("face", side, side),),
        crop=CropSpec(size_px=side),
    )
    path = file.with_suffix(".edgeau")
    package = Package.create(path, empty, lambda folder: _with_variant(empty, folder, file, precision))
    stored = make_engine(package.path, MakeOptions(precision=precision, parity=False, fall_back=False))
    return stored.package.file(stored.variant)


def _with_variant(manifest: Manifest, folder: Path, file: Path, precision: str) -> Manifest:
    """The file as variant of its precision, and as FP32, without which there is no package."""
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    for name in dict.fromkeys(("fp32", _VARIANTS[precision])):
        (folder / f"{name}.onnx").write_bytes(data)
        kind = "fp32" if name == "fp32" else precision
        manifest = manifest.with_variant(Variant(name, f"{name}.onnx", digest, len(data), kind, ("tensorrt",)))
    return manifest

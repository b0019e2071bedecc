"""A package made from an ONNX model trained elsewhere: preprocessing becomes part of the graph, the output is ``au``.

The wrapped model is compared with the original on random images, preprocessed in numpy.
"""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from edgeau.optimize.onnx_graph.graph import opset_of
from edgeau.optimize.onnx_graph.model_file import read_model, require_float, to_supported_opset
from edgeau.optimize.onnx_graph.session import open_session
from edgeau.runtime.errors import EdgeauWarning, InputError
from edgeau.runtime.evaluate import predict
from edgeau.runtime.files import PathLike, sha256_file
from edgeau.runtime.manifest import CropSpec, InputSpec, Manifest, Parity, Variant
from edgeau.runtime.manifest_rules import CLASS_NAMES, is_class_name
from edgeau.runtime.package import Package
from edgeau.runtime.parity import measure_parity
from edgeau.runtime.parity_crops import store_reference

from .wrap import ACTIVATIONS, COLOURS, LAYOUTS, Wrapping, channels, image_input, make_batch_dynamic, prepare, wrap

TOLERANCE = 1e-4
_IMAGES = 4


@dataclass(frozen=True)
class ImportOptions:
    """What only the author of the model knows.

    Attributes:
        aus: AU names in the order of the output; or other names, if ``kind`` is ``classes``.
        wrapping: layout, colour, normalisation and output of the model.
        size_px: side of its input, for models with a dynamic size.
        threshold: presence threshold of all AUs; None means 0.5, or that of FACS intensity 2.
        crop: template of the crop that the model was trained on.
        kind: of the names, as in Manifest.
    """

    aus: tuple[str, ...]
    wrapping: Wrapping = field(default_factory=Wrapping)
    size_px: int | None = None
    threshold: float | None = None
    crop: CropSpec = field(default_factory=CropSpec)
    kind: str = "aus"


def import_model(file: PathLike, out: PathLike, options: ImportOptions) -> Package:
    """Make a package of an ONNX model with one image as input and one value per AU as output.

    Args:
        file: float ONNX of opset 7 or newer, one image input [N, C, H, W] or [N, H, W, C], H = W.
        out: the package to write; an older one there is replaced.
        options: see ImportOptions.

    Raises:
        InputError: the file is damaged or quantized, has an unknown opset or NaN weights, or its input and output don't
            match the options; nothing is written then.
    """
    file = Path(file)
    Package.check_output(out, file)
    original = read_model(file)
    current = to_supported_opset(original, file.name)
    require_float(current, file.name)
    _check_options(options)
    side = _side(original, options, file.name)
    images = np.random.default_rng(0).integers(0, 256, (_IMAGES, side, side, 3), np.uint8)
    expected = _run_original(original, images, options.wrapping, file.name)
    wrapped = wrap(current, options.wrapping, len(options.aus), side, file.name)
    wrapped, dynamic = make_batch_dynamic(wrapped, images)
    got = open_session(wrapped).run(["au"], {"face": images})[0] if dynamic else _one_by_one(wrapped, images)
    _check_outputs(got, expected, options, file.name)
    if not dynamic:
        warnings.warn(
            f"{file.name} works with batches of 1 only; it runs one face at a time", EdgeauWarning, stacklevel=2
        )
    manifest = _manifest(original, file, Path(out).stem, side, options)
    parity = measure_parity(expected, got, manifest.thresholds, f"{_IMAGES} random images", file.name)
    return _write(wrapped, manifest, parity, Path(out), file)


def _check_options(options: ImportOptions) -> None:
    wrapping = options.wrapping
    for name, value, allowed in (
        ("--layout", wrapping.layout, LAYOUTS),
        ("--colour", wrapping.colour, COLOURS),
        ("--activation", wrapping.activation, ACTIVATIONS),
    ):
        if value not in allowed:
            raise InputError(name, got=value, expected=", ".join(allowed))
    count = channels(wrapping)
    for name, values in (("--mean", wrapping.mean), ("--std", wrapping.std)):
        if len(values) not in (1, count):
            raise InputError(name, got=f"{len(values)} numbers", expected=f"1 or {count}")
    if min(wrapping.std) <= 0 or wrapping.scale <= 0:
        raise InputError("--std and --scale", got=f"{wrapping.std}, {wrapping.scale}", expected="numbers above 0")
    if wrapping.intensity_max is not None and wrapping.intensity_max <= 0:
        raise InputError("--intensity-max", got=str(wrapping.intensity_max), expected="a number above 0, such as 5")
    if options.kind == "classes" and not all(map(is_class_name, options.aus)):
        raise InputError("--classes", got=", ".join(options.aus), expected=CLASS_NAMES)
    if options.threshold is not None and not 0 < options.threshold < 1:
        raise InputError("--threshold", got=str(options.threshold), expected="a probability between 0 and 1")


def _side(model: onnx.ModelProto, options: ImportOptions, name: str) -> int:
    """Side in pixels of the model's input. Raises InputError where it doesn't match the options."""
    value = image_input(model, name)
    dims = [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
    if len(dims) != 4:
        raise InputError(f"{name}: input {value.name}", got=f"{len(dims)} dimensions", expected="4, a batch of images")
    nchw = options.wrapping.layout == "nchw"
    height, width, depth = (dims[2], dims[3], dims[1]) if nchw else (dims[1], dims[2], dims[3])
    shown = "x".join(str(dim or "?") for dim in dims)
    if depth not in (None, channels(options.wrapping)):
        raise InputError(
            f"{name}: input {value.name} is {shown}",
            got=f"--layout {options.wrapping.layout} --colour "
            f"{options.wrapping.colour}, which gives {channels(options.wrapping)} channels",
            expected=f"{depth}",
            hint="change --layout or --colour",
        )
    if height != width:
        raise InputError(f"{name}: input {value.name}", got=shown, expected="a square image")
    if height is None and options.size_px is None:
        raise InputError(f"{name}: input {value.name}", got=f"{shown}, a dynamic size", hint="give --size PIXELS")
    if height is not None and options.size_px not in (None, height):
        raise InputError("--size", got=str(options.size_px), expected=f"{height}, the size of the model's input")
    return height or int(options.size_px or 0)


def _run_original(model: onnx.ModelProto, images: np.ndarray, wrapping: Wrapping, name: str) -> np.ndarray:
    """The original's float32 [N, A] probabilities for uint8 [N, S, S, 3] images, preprocessed in numpy."""
    inputs = prepare(images, wrapping)
    value = image_input(model, name)
    inputs = inputs.astype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    runner = open_session(model)
    output = wrapping.output or model.graph.output[0].name
    if output not in {o.name for o in model.graph.output}:
        names = ", ".join(o.name for o in model.graph.output)
        raise InputError(f"{name}: --output", got=output, expected=f"one of {names}")
    raw = predict(lambda batch: {output: runner.run([output], batch)[0]}, {value.name: inputs}, 1)[output]
    return activate(raw.astype(np.float32), wrapping)


def activate(raw: np.ndarray, wrapping: Wrapping) -> np.ndarray:
    """Probabilities float32 [N, A] from a model's raw output, in numpy."""
    if wrapping.activation == "sigmoid":
        raw = 1 / (1 + np.exp(-np.clip(raw, -80, 80)))
    elif wrapping.activation == "softmax":
        axis = 2 if raw.ndim == 3 else 1
        shifted = np.exp(raw - raw.max(axis=axis, keepdims=True))
        raw = shifted / shifted.sum(axis=axis, keepdims=True)
        raw = raw[..., 1] if raw.ndim == 3 else raw
    if wrapping.intensity_max is not None:
        raw = np.clip(raw / wrapping.intensity_max, 0, 1)
    return raw.reshape(len(raw), -1).astype(np.float32)


def _one_by_one(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    runner = open_session(model)
    return predict(lambda batch: {"au": runner.run(["au"], batch)[0]}, {"face": images}, 1)["au"]


def _check_outputs(got: np.ndarray, expected: np.ndarray, options: ImportOptions, name: str) -> None:
    if got.shape[1] != len(options.aus):
        raise InputError(f"{name}: output", got=f"{got.shape[1]} values", expected=f"{len(options.aus)}, one per name")
    if not np.isfinite(got).all():
        raise InputError(f"{name}: output", got="NaN or infinity on random images", expected="finite values")
    error = float(np.abs(got - expected).max())
    if error > TOLERANCE:
        raise InputError(
            f"{name}: the wrapped model", got=f"an error of {error:.2g}", expected=f"at most {TOLERANCE:g}"
        )
    if got.min() < -TOLERANCE or got.max() > 1 + TOLERANCE:
        raise InputError(
            f"{name}: output",
            got=f"values from {got.min():.3g} to {got.max():.3g}",
            expected="probabilities 0..1",
            hint="give --activation sigmoid for logits, or --intensity-max 5 for intensities",
        )


def _manifest(original: onnx.ModelProto, file: Path, name: str, side: int, options: ImportOptions) -> Manifest:
    """The manifest of the new package, without variants."""
    threshold = options.threshold
    if threshold is None:
        threshold = 0.5 if options.wrapping.intensity_max is None else 2 / options.wrapping.intensity_max
    return Manifest(
        name=name,
        family="imported",
        aus=options.aus,
        kind=options.kind,
        thresholds=(threshold,) * len(options.aus),
        inputs=(InputSpec("face", side, side),),
        crop=dataclasses.replace(options.crop, size_px=side),
        provenance={
            "imported_from": file.name,
            "sha256": sha256_file(file),
            "opset": opset_of(original),
            "producer": original.producer_name,
            "options": dataclasses.asdict(options.wrapping),
        },
        notes="Imported. Crops, thresholds and limits are up to whoever trained it.",
    )


def _write(wrapped: onnx.ModelProto, manifest: Manifest, parity: Parity, out: Path, source: Path) -> Package:
    """Write the package with one variant, fp16 if its weights are; ``source`` is the imported file."""
    half = any(t.data_type == TensorProto.FLOAT16 and len(t.dims) > 1 for t in wrapped.graph.initializer)
    precision = "fp16" if half else "fp32"

    def files(folder: Path) -> Manifest:
        file = folder / f"{precision}.onnx"
        onnx.save(wrapped, str(file))
        variant = Variant(
            name=precision,
            file=file.name,
            sha256=sha256_file(file),
            size_bytes=file.stat().st_size,
            precision=precision,
            backends=("onnxruntime", "openvino"),
            made_by="edgeau import",
            parity=parity,
        )
        return manifest.with_variant(variant)

    created = Package.create(out, manifest, files, source)
    store_reference(created)
    return created

"""What a manifest's values must be, beyond their types: one table, checked whenever a manifest is read."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Optional, Tuple

import numpy as np

from .action_units import is_au
from .decode import decode
from .errors import PackageError
from .manifest import BACKENDS, NEUTRAL_POLICIES, PRECISIONS, SCHEMA_VERSION, CropSpec, Manifest, Variant
from .selection import Selection

SCALES = ("presence",)
KINDS = ("aus", "classes")
# Columns that every row of results has (runtime/records.py), which no class may be called.
COLUMNS = ("source", "frame", "time_s", "success", "track_id", "left", "top", "right", "bottom", "score",
           "neutral_ready", "yaw_deg", "pitch_deg", "roll_deg", "error")  # fmt: skip
CLASS_NAMES = "one-line names of at most 40 characters, without commas, that no column of the results has"
INPUTS = ("face", "neutral")
LARGEST_CROP_PX = 8192
MOST_NEUTRAL_FRAMES = 10_000
MOST_THREADS, LARGEST_BATCH = 1024, 65536
LOWER_PRECISIONS = ("bf16", "f16")
_FARTHEST = 10.0  # of the template's points, in sides of the crop
_LEAST_SPREAD = 0.001  # of the points that count, likewise; five facial points have about 0.2
_ROUNDING = 0.001  # by which a probability may be outside of 0..1, as half precision and quantization make it

# Whether a value is right, where it is, what it is, and what it must be.
Rule = Tuple[bool, str, object, str]


def read_manifest(value: Any) -> Manifest:
    """A manifest from plain JSON values. Raises PackageError that names the wrong field."""
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != SCHEMA_VERSION:
        raise PackageError(
            f"manifest.json: schema_version is {version!r}, this edgeau reads {SCHEMA_VERSION}; "
            "export the package again, or install the edgeau that wrote it"
        )
    manifest = decode(Manifest, value, "manifest.json")
    _check_basics(manifest)
    _check_values(manifest)
    return manifest


def _check_basics(manifest: Manifest) -> None:
    if not manifest.aus or len(set(manifest.aus)) != len(manifest.aus):
        raise PackageError(f"manifest.json: aus must be distinct and not empty, got {list(manifest.aus)}")
    if len(manifest.thresholds) != len(manifest.aus):
        raise PackageError(f"manifest.json: {len(manifest.thresholds)} thresholds for {len(manifest.aus)} aus")
    if not all(0 <= threshold <= 1 for threshold in manifest.thresholds):
        raise PackageError(f"manifest.json: thresholds must be in 0..1, got {list(manifest.thresholds)}")
    if not manifest.inputs or manifest.inputs[0].name != "face":
        raise PackageError("manifest.json: the first input must be 'face'")
    sides = [manifest.crop.size_px, *(side for spec in manifest.inputs for side in (spec.height, spec.width))]
    if min(sides) < 1:
        raise PackageError(f"manifest.json: sizes of crop and inputs must be 1 or more, got {min(sides)}")
    if len(manifest.crop.template) != 5 or len(manifest.crop.weights) != 5:
        raise PackageError(f"manifest.json: crop.template needs 5 points, got {len(manifest.crop.template)}")
    if manifest.neutral.policy not in NEUTRAL_POLICIES:
        raise PackageError(f"manifest.json: neutral.policy is {manifest.neutral.policy!r}, not of {NEUTRAL_POLICIES}")


def _check_values(manifest: Manifest) -> None:
    rules = list(_rules(manifest))
    for variant in manifest.variants:
        rules += _variant_rules(variant)
    for device, selection in manifest.selection.items():
        rules += _selection_rules(f"selection[{device[:80]!r}]", selection)
    for right, where, got, expected in rules:
        if not right:
            raise PackageError(f"manifest.json: {where} must be {expected}, got {got!r:.120}")


def check_outputs(manifest: Manifest, outputs: Mapping[str, np.ndarray], count: int) -> None:
    """Compare the outputs of a graph with what the manifest says of them.

    Args:
        outputs: float32 [N, ...] by name.
        count: number of faces that the graph was given, N.

    Raises:
        PackageError: there are more or fewer values than names, so that labels would be wrong; or values that are no
            probabilities, or not finite.
    """
    named = (
        ("au", manifest.aus),
        ("expression", manifest.expressions),
        ("intensity", manifest.aus if manifest.intensity else ()),
    )
    for output, names in named:
        if not names and output != "au":
            continue
        problem = _shape_problem(outputs.get(output), count, len(names))
        if problem is None and not _is_in_range(outputs[output], probabilities=output != "intensity"):
            problem = "not finite" if output == "intensity" else "not probabilities from 0 to 1"
        if problem is not None:
            raise PackageError(
                f"package {manifest.name}: the graph's output {output!r} is {problem}, "
                f"the manifest names {len(names)} values; export or import the model again"
            )


def _shape_problem(values: object, count: int, names: int) -> Optional[str]:
    if values is None:
        return "missing"
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        return f"of type {getattr(values, 'dtype', type(values).__name__)} instead of float32"
    if values.shape[1:] != (names,):
        return f"{list(values.shape[1:])} per face"
    return None if len(values) == count else f"for {len(values)} of {count} faces"


def _is_in_range(values: np.ndarray, probabilities: bool) -> bool:
    if not probabilities:
        return bool(np.isfinite(values).all())
    return bool(values.min() >= -_ROUNDING and values.max() <= 1 + _ROUNDING)  # False for NaN


def _rules(manifest: Manifest) -> Iterator[Rule]:
    names = [variant.name for variant in manifest.variants]
    inputs = [spec.name for spec in manifest.inputs]
    crop, sides = manifest.crop, [side for spec in manifest.inputs for side in (spec.height, spec.width)]
    yield _plain(manifest.name), "name", manifest.name, "a line of text without control characters"
    yield manifest.kind in KINDS, "kind", manifest.kind, " or ".join(KINDS)
    if manifest.kind == "classes":
        yield all(map(is_class_name, manifest.aus)), "aus", manifest.aus, CLASS_NAMES
    else:
        yield all(map(is_au, manifest.aus)), "aus", manifest.aus, "names such as AU01"
    yield all(0 <= limit <= 1 for limit in manifest.thresholds), "thresholds", manifest.thresholds, "from 0 to 1"
    yield tuple(inputs) in (INPUTS[:1], INPUTS), "inputs", inputs, "face, or face and neutral"
    yield all(1 <= side <= LARGEST_CROP_PX for side in sides), "inputs: sides", sides, f"from 1 to {LARGEST_CROP_PX}"
    yield 1 <= crop.size_px <= LARGEST_CROP_PX, "crop.size_px", crop.size_px, f"from 1 to {LARGEST_CROP_PX}"
    yield (
        all(abs(v) <= _FARTHEST for point in crop.template for v in point),
        "crop.template",
        crop.template,
        "fractions of the side",
    )
    yield all(0 <= weight <= 1e6 for weight in crop.weights), "crop.weights", crop.weights, "0 or more"
    yield (
        sum(weight > 0 for weight in crop.weights) >= 2,
        "crop.weights",
        crop.weights,
        "above 0 for two points at least",
    )
    yield _spread(crop) >= _LEAST_SPREAD, "crop.template", crop.template, "points that are not all in one place"
    yield (
        1 <= manifest.neutral.frames <= MOST_NEUTRAL_FRAMES,
        "neutral.frames",
        manifest.neutral.frames,
        f"from 1 to {MOST_NEUTRAL_FRAMES}",
    )
    yield manifest.scale in SCALES, "scale", manifest.scale, " or ".join(SCALES)
    yield len(set(names)) == len(names), "variants", names, "of distinct names"
    yield len(set(manifest.expressions)) == len(manifest.expressions), "expressions", manifest.expressions, "distinct"
    yield all(map(_plain, manifest.expressions)), "expressions", manifest.expressions, "lines of text"


def _variant_rules(variant: Variant) -> Iterator[Rule]:
    where = f"variant {variant.name[:80]!r}"
    parts = variant.file.split("/")
    yield _plain(variant.name), where, variant.name, "named by a line of text without control characters"
    yield _plain(variant.file) and "\\" not in variant.file, f"{where}: file", variant.file, "a plain name"
    yield all(part not in ("", ".", "..") for part in parts), f"{where}: file", variant.file, "inside the package"
    yield variant.precision in PRECISIONS, f"{where}: precision", variant.precision, f"one of {', '.join(PRECISIONS)}"
    yield bool(variant.backends), f"{where}: backends", variant.backends, "at least one"
    yield (
        set(variant.backends) <= set(BACKENDS),
        f"{where}: backends",
        variant.backends,
        f"some of {', '.join(BACKENDS)}",
    )
    yield variant.size_bytes >= 0, f"{where}: size_bytes", variant.size_bytes, "0 or more"


def is_class_name(name: str) -> bool:
    """Whether a class may have this name: it becomes a column of the results beside those that every face has."""
    return _plain(name) and name == name.strip() and len(name) <= 40 and "," not in name and name not in COLUMNS


def _selection_rules(where: str, selection: Selection) -> Iterator[Rule]:
    threads, batch = selection.threads, selection.batch
    yield selection.backend in BACKENDS, f"{where}: backend", selection.backend, f"one of {', '.join(BACKENDS)}"
    yield threads is None or 1 <= threads <= MOST_THREADS, f"{where}: threads", threads, f"from 1 to {MOST_THREADS}"
    yield 1 <= batch <= LARGEST_BATCH, f"{where}: batch", batch, f"from 1 to {LARGEST_BATCH}"
    precision = selection.inference_precision
    known = precision is None or precision in LOWER_PRECISIONS
    yield known, f"{where}: inference_precision", precision, f"null, {' or '.join(LOWER_PRECISIONS)}"


def _spread(crop: CropSpec) -> float:
    """Distance of the points that count from their middle (root mean square), in sides of the crop; 0 if none does."""
    points, weights = np.asarray(crop.template, np.float64), np.asarray(crop.weights, np.float64)
    if not weights.sum() > 0:
        return 0.0
    middle = np.average(points, axis=0, weights=weights)
    return float(np.sqrt(np.average(((points - middle) ** 2).sum(axis=1), weights=weights)))


def _plain(text: str) -> bool:
    return bool(text) and text.isprintable()

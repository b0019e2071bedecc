"""The manifest of a model package: what each stage records for the next ones.

The file is ``manifest.json``. Its values are the frozen dataclasses below; `decode` refuses unknown and wrongly typed
fields.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

from .errors import PackageError
from .selection import Selection

SCHEMA_VERSION = 1
PRECISIONS = ("fp32", "fp16", "int8", "mixed")
BACKENDS = ("onnxruntime", "openvino", "tensorrt")
NEUTRAL_POLICIES = ("none", "given", "first", "running")


@dataclass(frozen=True)
class CropSpec:
    """The square that a model sees, as a similarity transform of five facial points (Umeyama, 1991).

    Attributes:
        size_px: side of the crop.
        template: positions of right eye, left eye, nose tip, right and left mouth corner (right and left are the
            subject's), as (x, y) in fractions of the side, y downwards. The default has the proportions of ArcFace's
            alignment, but is wider, so that forehead and chin are inside.
        weights: weight of each point in the fit. That of the mouth is low, because its corners move with the
            expressions that the crop must not follow.
    """

    size_px: int = 112
    template: Tuple[Tuple[float, float], ...] = (
        (0.330, 0.360),
        (0.670, 0.360),
        (0.500, 0.553),
        (0.360, 0.752),
        (0.640, 0.752),
    )
    weights: Tuple[float, ...] = (1.0, 1.0, 1.0, 0.2, 0.2)


@dataclass(frozen=True)
class InputSpec:
    """One input of the graph: uint8 [N, height, width, 3], RGB, values 0..255."""

    name: str
    height: int
    width: int


@dataclass(frozen=True)
class NeutralSpec:
    """How the runtime gets the neutral reference of a face.

    Attributes:
        policy: ``none`` (the model takes none), ``given`` (an image), ``first`` (the first frames of a track) or
            ``running`` (the calmest frames of a track so far).
        frames: number of frames that the reference is computed from.
    """

    policy: str = "none"
    frames: int = 9


@dataclass(frozen=True)
class Parity:
    """Difference of a variant's outputs from those of the variant it was made from, on named data.

    Attributes:
        reference: name of the variant compared with, or ``torch``.
        data: the data specification, and its SHA-256 where known.
        samples: number of crops.
        max_abs_error, mean_abs_error: of AU probabilities.
        sqnr_db: signal to quantization noise ratio of the AU probabilities in decibels, None where identical.
        decisions, decisions_flipped: number of AU decisions at the manifest's thresholds, and of those that differ.
    """

    reference: str
    data: str
    samples: int
    max_abs_error: float
    mean_abs_error: float
    sqnr_db: Optional[float]
    decisions: int
    decisions_flipped: int


@dataclass(frozen=True)
class Variant:
    """One runnable file of a package.

    Attributes:
        name: unique in the package, such as ``fp32`` or ``int8-tensorrt``.
        file: path inside the package, with forward slashes.
        sha256, size_bytes: of that file.
        precision: one of PRECISIONS.
        backends: those that may run it, of BACKENDS.
        made_by: how it was made: command, options, tool versions.
        made_from: name of the variant it was derived from.
        parity: against ``made_from``.
        notes: other records of the stage that made it (calibration hash, layers in float, measured latency).
    """

    name: str
    file: str
    sha256: str
    size_bytes: int
    precision: str
    backends: Tuple[str, ...]
    made_by: str = ""
    made_from: Optional[str] = None
    parity: Optional[Parity] = None
    notes: Dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """Everything known about a model package.

    Attributes:
        name: of the package.
        family: of the model: ``cednn``, ``fan-trans``, ``sma-net``, ``eau`` or ``imported``.
        aus: AU names, in the order of the output's last axis; or other names, if ``kind`` is ``classes``.
        thresholds: presence thresholds in 0..1, one per AU.
        inputs: ``face`` first, then ``neutral`` for models on difference images.
        crop: the rule that makes the inputs.
        neutral: where the neutral reference comes from.
        scale: of the output: ``presence`` (probability 0..1).
        kind: what the output's columns are: ``aus``, or ``classes`` of other names, such as emotions.
        expressions: classes of the output ``expression`` (probabilities), empty if there is none.
        intensity: whether the graph has an output ``intensity``, FACS 0..5, one value per AU.
        variants: the runnable files.
        provenance: data, folds, commit, versions, seed, metrics, command.
        selection: by device fingerprint, what `edgeau optimize` chose there.
        notes: limits and intended use, as text.
        schema_version: of the manifest's form; an older edgeau refuses a newer one.
    """

    name: str
    family: str
    aus: Tuple[str, ...]
    thresholds: Tuple[float, ...]
    inputs: Tuple[InputSpec, ...]
    crop: CropSpec = CropSpec()
    neutral: NeutralSpec = NeutralSpec()
    scale: str = "presence"
    kind: str = "aus"
    expressions: Tuple[str, ...] = ()
    intensity: bool = False
    variants: Tuple[Variant, ...] = ()
    provenance: Dict[str, Any] = field(default_factory=dict)
    selection: Dict[str, Selection] = field(default_factory=dict)
    notes: str = ""
    schema_version: int = SCHEMA_VERSION

    @property
    def takes_neutral(self) -> bool:
        """Whether the graph has the second input ``neutral``."""
        return any(spec.name == "neutral" for spec in self.inputs)

    @property
    def fp32_onnx(self) -> Optional[Variant]:
        """The FP32 variant that is an ONNX file, with which others are compared; None where there is none.

        Not one that was finished for a reader, whose target is in its notes.
        """
        single = (v for v in self.variants if v.precision == "fp32" and v.file.endswith(".onnx"))
        return next((variant for variant in single if "target" not in variant.notes), None)

    def variant(self, name: str) -> Variant:
        """The variant of that name. Raises PackageError listing those that exist."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        names = ", ".join(v.name for v in self.variants) or "none"
        raise PackageError(f"package {self.name} has no variant {name!r}; it has {names}")

    def with_variant(self, variant: Variant) -> Manifest:
        """The same manifest with this variant added; one of the same name is replaced."""
        others = tuple(v for v in self.variants if v.name != variant.name)
        return dataclasses.replace(self, variants=(*others, variant))

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)

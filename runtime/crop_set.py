"""Crop sets: the face crops that calibration, evaluation, training and benchmarks read. This module owns the format.

docs/data.md describes it for people who write one themselves.

A *crop set* is a folder:

    index.json            {"format": "edgeau-crops", "version": 1, "aus": [...], "expressions": [...], "size_px": 112,
                           "crop": {...CropSpec}, "present_from": 2, "generator": {...},
                           "shards": [{"name": "s00000", "subject": "...", "samples": 100}, ...]}
    shards/s00000.npy     uint8 [T, H, W, 3], RGB; uncompressed, so that a reader can map it into memory
    shards/s00000.npz     labels of the same T samples:
        au            float16 [T, A]   FACS intensity 0..5, NaN where not labelled; 3 is present where it is unknown
        neutral       int32 [T]        row in this shard of the subject's neutral image, -1 where there is none
        expression    int8 [T]         index into ``expressions``, -1 where unknown; optional
        sequence      int32 [T]        sequence number in the shard; a still is a sequence of its own; optional
        frame         int32 [T]        frame number in its sequence; optional
        landmarks     float16 [T, 68, 2], crop pixels, and visible bool [T, 68]; optional
        is_neutral    bool [T]         whether the image itself is a neutral one; optional
        pose_deg      float16 [T, 3]   yaw, pitch and roll of the head in degrees; optional

One shard holds one subject, so that subjects can be held out without reading anything else.

A small set may be a single compressed file, ``NAME.npz``, with ``faces`` uint8 [N, H, W, 3], RGB, and optionally
``neutrals`` of the same shape or ``neutral`` int32 [N] (the row of each face's neutral, -1 for none), ``au``
float [N, A] with ``aus``, and ``subjects``. Other arrays in it are ignored.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .action_units import EXPRESSIONS
from .array_file import load_arrays, map_array
from .decode import decode, parse_json
from .errors import InputError, PackageError
from .files import atomic_path, write_json
from .folders import Contents, FolderKind
from .manifest import CropSpec

FORMAT, VERSION = "edgeau-crops", 1
INDEX, SHARDS, SKIPPED = "index.json", "shards", "skipped.csv"
# FACS intensity stored for "present" where a data set codes presence only: C, marked.
PRESENT = 3.0
# Lowest intensity that counts as present where a set doesn't say: DISFA's usual protocol.
PRESENT_FROM = 2.0
REQUIRED_LABELS = ("au", "neutral")
LABEL_DTYPES = {
    "au": np.float16,
    "neutral": np.int32,
    "is_neutral": np.bool_,
    "expression": np.int8,
    "sequence": np.int32,
    "frame": np.int32,
    "pose_deg": np.float16,
    "landmarks": np.float16,
    "visible": np.bool_,
}


@dataclass(frozen=True)
class CropSet:
    """Crops in memory.

    Attributes:
        faces: uint8 [N, H, W, 3], RGB.
        neutrals: the subject's neutral for each face, same shape; where a face has none, the face itself.
        aus: AU names of the last axis of ``intensity``.
        intensity: float32 [N, A], FACS 0..5, NaN where not labelled; A = 0 for unlabelled crops.
        subjects: N subject names; unknown subjects are "".
        origin: the specification that it was read from.
        expressions: names that ``expression`` counts in.
        expression: int64 [N], -1 where unknown; None if no face has one.
        present_from: lowest intensity that counts as present in this set.
    """

    faces: np.ndarray
    neutrals: np.ndarray
    aus: Tuple[str, ...]
    intensity: np.ndarray
    subjects: Tuple[str, ...]
    origin: str
    expressions: Tuple[str, ...] = ()
    expression: Optional[np.ndarray] = None
    present_from: float = PRESENT_FROM

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def sha256(self) -> str:
        """Hash of the pixels (faces and neutrals), which identifies a calibration set."""
        digest = hashlib.sha256(np.ascontiguousarray(self.faces).tobytes())
        digest.update(np.ascontiguousarray(self.neutrals).tobytes())
        return digest.hexdigest()

    def presence(self, aus: Sequence[str]) -> np.ndarray:
        """Labels for these AUs as `presence_of` gives them: float32 [N, len(aus)], NaN for AUs without labels."""
        return presence_of(self.intensity_of(aus), self.present_from)

    def intensity_of(self, aus: Sequence[str]) -> np.ndarray:
        """FACS intensities of these AUs: float32 [N, len(aus)], NaN for AUs without labels.

        A name that is no column of ``intensity`` but one of ``expressions`` is 5 where that is the expression.
        """
        intensity = np.full((len(self), len(aus)), np.nan, np.float32)
        for column, au in enumerate(aus):
            if au in self.aus:
                intensity[:, column] = self.intensity[:, self.aus.index(au)]
            elif self.expression is not None and au in self.expressions:
                shown = self.expression == self.expressions.index(au)
                intensity[:, column] = np.where(self.expression >= 0, 5.0 * shown, np.nan)
        return intensity

    def inputs(self, takes_neutral: bool) -> Dict[str, np.ndarray]:
        """The graph's inputs by name."""
        return {"face": self.faces, "neutral": self.neutrals} if takes_neutral else {"face": self.faces}

    def take(self, rows: np.ndarray) -> CropSet:
        """The crops at these indices, in this order."""
        return dataclasses.replace(
            self,
            faces=self.faces[rows],
            neutrals=self.neutrals[rows],
            intensity=self.intensity[rows],
            subjects=tuple(self.subjects[row] for row in rows),
            expression=None if self.expression is None else self.expression[rows],
        )


@dataclass(frozen=True)
class Shard:
    """One subject's part of a crop set: its files' name, the subject's name, and the number of samples."""

    name: str
    subject: str
    samples: int


@dataclass(frozen=True)
class Index:
    """What ``index.json`` says of a crop set.

    Attributes:
        aus: names of the columns of ``au``.
        shards: in order.
        expressions: the names that ``expression`` counts in.
        size_px: side of the images.
        crop: the rule that made the crops.
        generator: how the set was made, as JSON values; ``seed`` distinguishes subjects of the same name.
        present_from: lowest intensity that counts as present in this set; None if it doesn't say.
    """

    aus: Tuple[str, ...]
    shards: Tuple[Shard, ...]
    expressions: Tuple[str, ...] = EXPRESSIONS
    size_px: int = CropSpec.size_px
    crop: CropSpec = dataclasses.field(default_factory=CropSpec)
    generator: Dict[str, Any] = dataclasses.field(default_factory=dict)
    present_from: Optional[float] = None


def presence_of(intensity: np.ndarray, present_from: float = PRESENT_FROM) -> np.ndarray:
    """Presence labels of FACS intensities: float32 of the same shape, 1 present, 0 absent, NaN not labelled.

    ``present_from`` is the lowest intensity that counts as present.
    """
    return np.where(np.isnan(intensity), np.nan, intensity >= present_from).astype(np.float32)


def codes_intensity(labels: np.ndarray) -> bool:
    """Whether labels float [...], NaN where unknown, are intensities, and not only 0 and PRESENT."""
    known = labels[~np.isnan(labels)]
    return bool(np.any((known != 0) & (known != PRESENT)))


def _contents(index: bytes) -> Optional[Contents]:
    """What belongs into a crop set: its shards, and what `edgeau synth` and `prepare` write beside them."""
    value = parse_json(index, INDEX)
    if value["format"] != FORMAT:
        return None
    shards = [f"{SHARDS}/{shard['name']}.{suffix}" for shard in value["shards"] for suffix in ("npy", "npz")]
    beside = ("generator.json", "prepare.json", f"{SHARDS}/s*.json", "index.csv", "cooccurrence.csv", SKIPPED)
    return Contents(shards, (*beside, "contact-sheet.png"))


CROP_SET = FolderKind("crop set", INDEX, _contents)


def spread(count: int, limit: Optional[int]) -> np.ndarray:
    """Indices of at most ``limit`` items spread evenly over ``count``."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.linspace(0, count - 1, limit).round().astype(np.int64)


def fit(images: np.ndarray, size_px: int) -> np.ndarray:
    """Resize uint8 [N, H, W, 3] to squares of ``size_px``; images of that size are returned as they are."""
    if images.shape[1:3] == (size_px, size_px):
        return images
    import cv2

    shrink = images.shape[1] > size_px
    method = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    return np.stack([cv2.resize(image, (size_px, size_px), interpolation=method) for image in images])


def is_crop_set(folder: Path) -> bool:
    """Whether a folder has the index of a crop set."""
    return (folder / INDEX).is_file()


def read_index(folder: Path) -> Index:
    """The index of a crop set. Keys that are not the format's are ignored.

    Raises:
        InputError: missing, damaged, or of another format or version.
    """
    file = folder / INDEX
    hint = "run the same `edgeau synth` again"
    try:
        value = parse_json(file.read_bytes(), str(file))
        if not isinstance(value, dict) or (value.get("format"), value.get("version")) != (FORMAT, VERSION):
            raise InputError(f"{file}", got="another format or version", expected=f"{FORMAT} {VERSION}")
        known = {field.name for field in dataclasses.fields(Index)}
        index = decode(Index, {key: item for key, item in value.items() if key in known}, str(file))
        if index.present_from is not None and not 0 < index.present_from <= 5:
            raise InputError(f"{file}: present_from", got=f"{index.present_from:g}", expected="above 0, to 5")
        return index
    except FileNotFoundError:
        raise InputError(f"crop set {folder}", got=f"no {INDEX}", expected="a folder from `edgeau synth`") from None
    except PackageError as error:
        raise InputError(f"crop set {folder}", got=f"a damaged index ({error})", hint=hint) from error


def read_shard(folder: Path, name: str) -> Tuple[np.ndarray, Dict[str, np.ndarray]]:
    """Pixels (memory-mapped) and labels of one shard. Raises InputError if a file is missing or damaged."""
    base, what, hint = folder / SHARDS / name, f"shard {name} of {folder}", "run the same `edgeau synth` again"
    pixels = map_array(f"{base}.npy", what, hint=hint)
    labels = load_arrays(f"{base}.npz", what, hint=hint)
    missing = [key for key in REQUIRED_LABELS if key not in labels]
    if missing:
        raise InputError(what, got=f"no {', '.join(missing)}", expected="the labels of a crop set")
    _check_shard(what, pixels, labels)
    return pixels, labels


def _check_shard(what: str, pixels: np.ndarray, labels: Mapping[str, np.ndarray]) -> None:
    """Raise InputError where arrays of a shard don't fit each other or the format."""
    _check_images(pixels, f"{what}: images")
    count, neutral = len(pixels), labels["neutral"]
    for key, values in labels.items():
        if key in LABEL_DTYPES and (values.ndim == 0 or len(values) != count or values.dtype.kind not in "biuf"):
            got = f"{values.dtype} {list(values.shape)}"
            raise InputError(f"{what}: {key}", got=got, expected=f"numbers for {count} samples")
    if labels["au"].ndim != 2:
        raise InputError(f"{what}: au", got=f"shape {list(labels['au'].shape)}", expected="[samples, aus]")
    if neutral.ndim != 1 or neutral.dtype.kind not in "iu" or neutral.max() >= count:
        raise InputError(f"{what}: neutral", got=f"{neutral.dtype} {list(neutral.shape)}", expected="rows, or -1")


def _believable_count(folder: Path, shard: Shard) -> int:
    """A shard's samples as the index says; as many as its file has bytes at most, since memory is taken for them."""
    file = folder / SHARDS / f"{shard.name}.npy"
    what = f"shard {shard.name} of {folder}"
    try:
        most = file.stat().st_size
    except (OSError, ValueError) as error:
        raise InputError(what, got=f"unreadable ({error})", hint="run the same `edgeau synth` again") from error
    if not 0 <= shard.samples <= most:
        raise InputError(what, got=f"{shard.samples} samples in {INDEX}", expected=f"0 to {most}, the file's bytes")
    return shard.samples


def read_crop_set(folder: Path, size_px: int, limit: Optional[int] = None) -> CropSet:
    """Read a crop set into memory, resized to ``size_px``.

    ``limit`` is the largest number of crops, spread evenly over the set; only their pages are read.

    Raises:
        InputError: missing, damaged or empty.
    """
    index = read_index(folder)
    counts = [_believable_count(folder, shard) for shard in index.shards]
    chosen = spread(sum(counts), limit)
    faces: List[np.ndarray] = []
    neutrals: List[np.ndarray] = []
    intensity: List[np.ndarray] = []
    subjects: List[str] = []
    expression: List[np.ndarray] = []
    start = 0
    for shard, count in zip(index.shards, counts):
        rows = chosen[(chosen >= start) & (chosen < start + count)] - start
        start += count
        if len(rows) == 0:
            continue
        pixels, labels = read_shard(folder, shard.name)
        if len(pixels) != count or labels["au"].shape[1] != len(index.aus):
            got = f"{len(pixels)} samples, {labels['au'].shape[1]} aus"
            expected = f"{count} and {len(index.aus)}, as {INDEX} says"
            raise InputError(f"shard {shard.name} of {folder}", got=got, expected=expected)
        own = labels["neutral"][rows]
        faces.append(np.asarray(pixels[rows]))
        neutrals.append(np.asarray(pixels[np.where(own >= 0, own, rows)]))
        intensity.append(labels["au"][rows].astype(np.float32))
        subjects += [shard.subject] * len(rows)
        expression.append(_expression_of(labels, index)[rows])
    if not faces:
        raise InputError(f"crop set {folder}", got="no samples", expected="at least one")
    return CropSet(
        faces=fit(np.concatenate(faces), size_px),
        neutrals=fit(np.concatenate(neutrals), size_px),
        aus=index.aus,
        intensity=np.concatenate(intensity),
        subjects=tuple(subjects),
        origin=str(folder),
        expressions=index.expressions,
        expression=_none_if_unknown(np.concatenate(expression)),
        present_from=PRESENT_FROM if index.present_from is None else index.present_from,
    )


def _expression_of(labels: Mapping[str, np.ndarray], index: Index) -> np.ndarray:
    """int64 [T], -1 where unknown or where the index has no such name."""
    numbers = labels.get("expression", np.full(len(labels["au"]), -1)).astype(np.int64)
    return np.where((numbers >= 0) & (numbers < len(index.expressions)), numbers, -1)


def _none_if_unknown(expression: np.ndarray) -> Optional[np.ndarray]:
    return expression if (expression >= 0).any() else None


def write_shard(folder: Path, name: str, faces: np.ndarray, labels: Mapping[str, np.ndarray]) -> None:
    """Write one subject's samples, each of the two files whole or not at all.

    Args:
        folder: the crop set's.
        name: of the shard, such as ``s00000``.
        faces: uint8 [T, H, W, 3], RGB.
        labels: arrays of T rows by their name in the format, at least REQUIRED_LABELS; converted to the format's types.

    Raises:
        InputError: arrays of another shape or type, or labels that the format does not have.
        OSError: the files can't be written.
    """
    _check_images(faces, f"shard {name}")
    if not set(REQUIRED_LABELS) <= set(labels) <= set(LABEL_DTYPES):
        expected = f"{' and '.join(REQUIRED_LABELS)}, and optionally others of {', '.join(LABEL_DTYPES)}"
        raise InputError(f"labels of shard {name}", got=", ".join(labels), expected=expected)
    typed: Dict[str, Any] = {key: np.asarray(value).astype(LABEL_DTYPES[key]) for key, value in labels.items()}
    for key, value in typed.items():
        if len(value) != len(faces):
            raise InputError(f"labels of shard {name}", got=f"{len(value)} rows of {key}", expected=str(len(faces)))
    base = folder / SHARDS / name
    with atomic_path(f"{base}.npy") as file:
        np.save(file, faces)
    with atomic_path(f"{base}.npz") as file:
        np.savez(file, **typed)


def write_index(folder: Path, index: Index) -> None:
    """Write ``index.json``, which makes a folder of shards a crop set."""
    value = dataclasses.asdict(index)
    order = ("aus", "expressions", "size_px", "crop", "present_from", "generator", "shards")
    known = {key: value[key] for key in order if value[key] is not None}
    write_json(folder / INDEX, {"format": FORMAT, "version": VERSION, **known})


def read_crop_file(file: Path, size_px: int, limit: Optional[int] = None) -> CropSet:
    """Read a set in a single ``.npz`` file, resized to ``size_px``; at most ``limit`` crops, spread evenly.

    Raises:
        InputError: unreadable, or arrays of the wrong shape or type.
    """
    data = read_arrays(file)
    if "faces" not in data:
        raise InputError(f"data {file}", got=f"arrays {sorted(data)}", expected="an array named faces")
    faces = data["faces"]
    _check_images(faces, f"{file}: faces")
    neutrals = _neutrals(file, data)
    rows = spread(len(faces), limit)
    aus = tuple(str(au) for au in np.atleast_1d(data.get("aus", np.array([], str))))
    intensity = data.get("au", np.zeros((len(faces), 0)))
    if intensity.dtype.kind not in "biuf":
        raise InputError(f"{file}: au", got=str(intensity.dtype), expected="numbers")
    intensity = intensity.astype(np.float32)
    if intensity.shape != (len(faces), len(aus)):
        raise InputError(f"{file}: au", got=f"shape {intensity.shape}", expected=f"({len(faces)}, {len(aus)})")
    subjects = tuple(str(s) for s in np.atleast_1d(data.get("subjects", np.full(len(faces), ""))))
    if len(subjects) != len(faces):
        raise InputError(f"{file}: subjects", got=str(len(subjects)), expected=f"{len(faces)}, one per face")
    return CropSet(
        faces=fit(faces[rows], size_px),
        neutrals=fit(neutrals[rows], size_px),
        aus=aus,
        intensity=intensity[rows],
        subjects=tuple(subjects[i] for i in rows),
        origin=str(file),
    )


def write_crop_file(file: Path, crops: CropSet, more: Optional[Mapping[str, Any]] = None) -> None:
    """Write a set into a single compressed ``.npz`` file, whole or not at all; ``more`` are arrays to add.

    Neutrals that are among the faces are written as their rows.
    """
    row_of = {face.tobytes(): row for row, face in reversed(list(enumerate(crops.faces)))}
    rows = [row_of.get(neutral.tobytes(), -1) for neutral in crops.neutrals]
    arrays: Dict[str, Any] = {"faces": crops.faces}
    arrays.update({"neutrals": crops.neutrals} if -1 in rows else {"neutral": np.array(rows, np.int32)})
    if crops.aus:
        arrays.update(aus=np.array(crops.aus), au=crops.intensity)
    if any(crops.subjects):
        arrays.update(subjects=np.array(crops.subjects))
    with atomic_path(file) as temporary:
        np.savez_compressed(temporary, **arrays, **(more or {}))


def read_arrays(file: Path) -> Dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file. Raises InputError if it can't be read."""
    return load_arrays(file, f"data {file}")


def _neutrals(file: Path, data: Mapping[str, np.ndarray]) -> np.ndarray:
    faces = data["faces"]
    if "neutral" in data and "neutrals" not in data:
        own = data["neutral"]
        if own.shape != (len(faces),) or own.dtype.kind not in "iu" or own.max() >= len(faces):
            got = f"{own.dtype} {list(own.shape)}"
            raise InputError(f"{file}: neutral", got=got, expected=f"{len(faces)} rows of faces, or -1")
        return faces[np.where(own >= 0, own, np.arange(len(faces)))]
    neutrals = data.get("neutrals", faces)
    _check_images(neutrals, f"{file}: neutrals")
    if neutrals.shape != faces.shape:
        raise InputError(f"{file}: neutrals", got=f"shape {neutrals.shape}", expected=f"that of faces, {faces.shape}")
    return neutrals


def _check_images(images: np.ndarray, what: str) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
        raise InputError(what, got=f"{images.dtype} {list(images.shape)}", expected="uint8 [N, H, W, 3], RGB, N > 0")

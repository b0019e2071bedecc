"""A licensed data set as a crop set: faces found, cropped by the crop rule, one shard a subject."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from edgeau.runtime.action_units import EXPRESSIONS
from edgeau.runtime.crop import crop_face
from edgeau.runtime.crop_set import FORMAT, VERSION
from edgeau.runtime.detect import Detector, cache_folder, default_detector
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import atomic_folder, write_json
from edgeau.runtime.manifest import CropSpec

from .datasets import READERS, Recording


def cached_crop_set(name: str, root: str, crop: CropSpec) -> Path:
    """The crop set of a data set, made on first use.

    It is kept in ``crops`` in edgeau's cache folder (EDGEAU_CACHE), under a name made from the data set's place and the
    crop rule.
    """
    key = hashlib.sha256(f"{Path(root).resolve()} {crop}".encode()).hexdigest()[:12]
    folder = cache_folder() / "crops" / f"{name}-{key}"
    if not (folder / "index.json").is_file():
        to_crop_set(name, Path(root), folder, crop)
    return folder


def to_crop_set(name: str, root: Path, out: Path, crop: CropSpec = CropSpec(), detector: Detector | None = None) -> int:
    """Convert a data set, whole or not at all.

    Args:
        name: one of READERS.
        root: where it lies.
        out: the crop set's folder, which is replaced.
        crop: the crop rule.
        detector: finds faces; the largest of a frame is taken, and frames without one are left out.

    Returns:
        How many crops were written.

    Raises:
        InputError: unknown data set, labels not where its layout has them, or no face in any frame.
    """
    if name not in READERS:
        raise InputError("data set", got=repr(name), expected=", ".join(READERS))
    recordings = sorted(READERS[name](root), key=lambda r: (r.subject, r.name))
    aus = tuple(sorted({au for recording in recordings for au in recording.aus}))
    entries: list[dict[str, Any]] = []
    finder = detector or default_detector()
    with atomic_folder(out) as folder:
        (folder / "shards").mkdir()
        people = [(subject, list(own)) for subject, own in groupby(recordings, key=lambda r: r.subject)]
        for subject, own in tqdm(people, desc=f"cropping {name}", unit="subject"):
            count = _write_shard(folder / "shards" / subject, own, aus, crop, finder)
            if count:
                entries.append({"name": subject, "subject": subject, "samples": count})
        if not entries:
            raise InputError(
                f"data set {root}", got="labels, but no picture with a face", expected="the frames as well"
            )
        index = {
            "format": FORMAT,
            "version": VERSION,
            "aus": list(aus),
            "expressions": list(EXPRESSIONS),
            "size_px": crop.size_px,
            "crop": dataclasses.asdict(crop),
            "generator": {"name": name, "detector": finder.name},
            "shards": entries,
        }
        write_json(folder / "index.json", index)
    return sum(entry["samples"] for entry in entries)


def _write_shard(
    base: Path, recordings: Sequence[Recording], aus: tuple[str, ...], crop: CropSpec, detector: Detector
) -> int:
    faces: list[np.ndarray] = []
    columns: dict[str, list[Any]] = {key: [] for key in ("au", "neutral", "expression", "sequence", "frame")}
    for sequence, recording in enumerate(recordings):
        rows, crops = _crops(recording, crop, detector)
        if not rows:
            continue
        intensity = np.full((len(rows), len(aus)), np.nan, np.float32)
        intensity[:, [aus.index(au) for au in recording.aus]] = recording.intensity[rows]
        columns["au"].append(intensity)
        columns["neutral"].append(np.full(len(rows), len(faces) + _calmest(recording, rows)))
        columns["expression"].append(_expressions(recording, rows))
        columns["sequence"].append(np.full(len(rows), sequence))
        columns["frame"].append(np.array(recording.numbers)[rows])
        faces += crops
    if not faces:
        return 0
    joined = {key: np.concatenate(parts) for key, parts in columns.items()}
    np.save(base.with_suffix(".npy"), np.stack(faces))
    np.savez(
        base.with_suffix(".npz"),
        au=joined["au"].astype(np.float16),
        neutral=joined["neutral"].astype(np.int32),
        expression=joined["expression"].astype(np.int8),
        sequence=joined["sequence"].astype(np.int32),
        frame=joined["frame"].astype(np.int32),
    )
    return len(faces)


def _crops(recording: Recording, crop: CropSpec, detector: Detector) -> tuple[list[int], list[np.ndarray]]:
    rows, crops = [], []
    for row, image in recording.images():
        found = detector.detect(image)
        if found:
            rows.append(row)
            crops.append(crop_face(image[:, :, ::-1], found[0].points_xy, crop))
    return rows, crops


def _calmest(recording: Recording, rows: Sequence[int]) -> int:
    """Which of these rows is the neutral: the first where the data set starts so, else the one with the least AUs."""
    if recording.starts_neutral:
        return 0
    return int(np.nansum(recording.intensity[list(rows)], axis=1).argmin())


def _expressions(recording: Recording, rows: Sequence[int]) -> np.ndarray:
    labels = np.full(len(rows), -1)
    if recording.expression is not None:
        labels[-1] = EXPRESSIONS.index(recording.expression)
        labels[0] = EXPRESSIONS.index("neutral") if len(rows) > 1 else labels[0]
    return labels

"""Convert a licensed data set to a crop set: detect and crop faces, one shard per subject."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edgeau.runtime.action_units import EXPRESSIONS
from edgeau.runtime.crop import crop_face
from edgeau.runtime.crop_set import CROP_SET, SHARDS, Index, Shard, is_crop_set, write_index, write_shard
from edgeau.runtime.detect import Detector, cache_folder, default_detector
from edgeau.runtime.errors import InputError
from edgeau.runtime.folders import atomic_folder
from edgeau.runtime.manifest import CropSpec

from .datasets import READERS, Recording


def cached_crop_set(name: str, root: str, crop: CropSpec) -> Path:
    """The crop set of a data set, created on first use.

    It is stored in ``crops`` in edgeau's cache folder (EDGEAU_CACHE), under a name derived from the data set's path and
    the crop rule.
    """
    key = hashlib.sha256(f"{Path(root).resolve()} {crop}".encode()).hexdigest()[:12]
    folder = cache_folder() / "crops" / f"{name}-{key}"
    if not is_crop_set(folder):
        to_crop_set(name, Path(root), folder, crop)
    return folder


def to_crop_set(name: str, root: Path, out: Path, crop: CropSpec = CropSpec(), detector: Detector | None = None) -> int:
    """Convert a data set, completely or not at all.

    Args:
        name: one of READERS.
        root: its folder.
        out: the crop set's folder, which is replaced.
        crop: the crop rule.
        detector: finds faces; the largest face of each frame is used, and frames without a face are skipped.

    Returns:
        Number of crops written.

    Raises:
        InputError: unknown data set, labels missing from its layout, or no face in any frame.
    """
    if name not in READERS:
        raise InputError("data set", got=repr(name), expected=", ".join(READERS))
    recordings = sorted(READERS[name](root), key=lambda r: (r.subject, r.name))
    aus = tuple(sorted({au for recording in recordings for au in recording.aus}))
    shards: list[Shard] = []
    finder = detector or default_detector()
    with atomic_folder(out, CROP_SET, root) as folder:
        (folder / SHARDS).mkdir()
        people = [(subject, list(own)) for subject, own in groupby(recordings, key=lambda r: r.subject)]
        for subject, own in tqdm(people, desc=f"cropping {name}", unit="subject"):
            count = _write_subject(folder, subject, own, aus, crop, finder)
            if count:
                shards.append(Shard(subject, subject, count))
        if not shards:
            raise InputError(f"data set {root}", got="labels, but no image with a face", expected="the frames as well")
        generator = {"name": name, "detector": finder.name}
        write_index(folder, Index(aus, tuple(shards), EXPRESSIONS, crop.size_px, crop, generator))
    return sum(shard.samples for shard in shards)


def _write_subject(
    folder: Path,
    subject: str,
    recordings: Sequence[Recording],
    aus: tuple[str, ...],
    crop: CropSpec,
    detector: Detector,
) -> int:
    """Write one subject's shard and return its number of crops. Nothing is written if no face was found."""
    faces: list[np.ndarray] = []
    columns: dict[str, list[np.ndarray]] = {key: [] for key in ("au", "neutral", "expression", "sequence", "frame")}
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
    if faces:
        labels = {key: np.concatenate(parts) for key, parts in columns.items()}
        write_shard(folder, subject, np.stack(faces), labels)
    return len(faces)


def _crops(recording: Recording, crop: CropSpec, detector: Detector) -> tuple[list[int], list[np.ndarray]]:
    rows, crops = [], []
    for row, image in recording.images():
        faces = detector.detect(image)
        if faces:
            rows.append(row)
            crops.append(crop_face(image[:, :, ::-1], faces[0].points_xy, crop))
    return rows, crops


def _calmest(recording: Recording, rows: Sequence[int]) -> int:
    """Index of the neutral row: the first if recordings start neutral, else the one with the lowest AU intensities."""
    if recording.starts_neutral:
        return 0
    return int(np.nansum(recording.intensity[list(rows)], axis=1).argmin())


def _expressions(recording: Recording, rows: Sequence[int]) -> np.ndarray:
    labels = np.full(len(rows), -1)
    if recording.expression is not None:
        labels[-1] = EXPRESSIONS.index(recording.expression)
        labels[0] = EXPRESSIONS.index("neutral") if len(rows) > 1 else labels[0]
    return labels

"""Faces without AU labels beside the labelled ones: found in pictures and videos, or taken from crop sets.

Each training step takes a batch of the labelled data and one of these. Their intensities are NaN, so that every loss on
AU labels passes them over; a teacher's answers or expressions are what they teach.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgeau.runtime.action_units import EXPRESSIONS
from edgeau.runtime.crop import crop_face
from edgeau.runtime.crop_set import spread
from edgeau.runtime.crop_source import IMAGE_SUFFIXES, read_crops
from edgeau.runtime.detect import Detector, default_detector
from edgeau.runtime.detection import nearest_middle
from edgeau.runtime.errors import InputError
from edgeau.runtime.images import read_image
from edgeau.runtime.manifest import CropSpec, NeutralSpec
from edgeau.runtime.neutral import NeutralReference
from edgeau.runtime.tracks import Tracker
from edgeau.runtime.video import VIDEO_SUFFIXES, open_video

from .batches import Batch, Batches
from .data import FaceData, Shard
from .rendered import RenderedBatches

MOST_FACES = 20_000  # about 750 MB of crops of 112 pixels
_PER_SECOND = 4  # frames of a video that are nearer in time are nearly the same
_LABELS = "labels.csv"

# Mean AU presence of each crop, uint8 [N, S, S, 3] to float [N]: what is low for a face at rest.
Activity = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Extra:
    """Samples without AU labels.

    Attributes:
        data: all of them.
        rows: those to train on.
        batch: samples per step, over all processes.
        val: samples to choose weights by, labelled with a teacher's decisions, NaN for all others; None if labels alone
            decide.
    """

    data: FaceData
    rows: np.ndarray
    batch: int
    val: FaceData | None = None


# Opens them once the crop rule and the AUs of the labelled data are known.
OpenExtra = Callable[[CropSpec, tuple[str, ...]], Extra]


class MixedBatches:
    """Batches of labelled samples, each followed by a batch of others.

    Args:
        labelled, extra: the two sources.
    """

    def __init__(self, labelled: Batches | RenderedBatches, extra: Batches) -> None:
        self.labelled, self.extra = labelled, extra

    @property
    def per_epoch(self) -> int:
        """Number of batches that contain every labelled sample once."""
        return self.labelled.per_epoch

    @property
    def made(self) -> int:
        """Batches made so far."""
        return self.labelled.made

    @property
    def spent_s(self) -> float:
        """CPU time of making them."""
        return self.labelled.spent_s + self.extra.spent_s

    def start(self, step: int) -> Generator[Batch, None, None]:
        """Batches from ``step`` on, prepared in threads until the iterator is closed."""
        with closing(self.labelled.start(step)) as first, closing(self.extra.start(step)) as second:
            for one, other in zip(first, second, strict=False):
                yield joined(one, other)


def joined(one: Batch, other: Batch) -> Batch:
    """Both batches as one, in this order; without landmarks."""
    neutral = None
    if one.neutral is not None and other.neutral is not None:
        neutral = torch.cat([one.neutral, other.neutral])
    pairs = ((one.face, other.face), (one.intensity, other.intensity), (one.expression, other.expression))
    face, intensity, expression = (torch.cat(pair) for pair in pairs)
    return Batch(face, neutral, intensity, expression)


def unlabelled(batch: Batch) -> Tensor:
    """Which samples have no AU label at all: bool [N]."""
    return batch.intensity.isnan().all(dim=1)


def open_unlabelled(
    specs: Sequence[str], crop: CropSpec, aus: Sequence[str], activity: Activity
) -> tuple[FaceData, np.ndarray]:
    """Faces of videos, folders of pictures or videos, crop sets and .npz files. Labels are ignored.

    Faces in videos are tracked, four frames per second are kept, and a track's neutral is the one that the runtime's
    ``running`` policy has at the track's end. Faces in pictures have no neutral. At most 20,000 faces are kept, spread
    evenly.

    Args:
        specs: where to look.
        crop: the crop rule.
        aus: AUs of the labelled data, for the shape of the labels that are missing.
        activity: see Activity.

    Returns:
        The data, and the samples that are faces.

    Raises:
        InputError: a source that can't be read, or one without a face.
    """
    faces: list[np.ndarray] = []
    neutrals: list[np.ndarray | None] = []
    detector = default_detector()
    for spec in specs:
        before = len(faces)
        for video in _videos(spec):
            for track in _tracks(video, crop, detector):
                neutral = _calm(track, activity)
                faces += track
                neutrals += [neutral] * len(track)
        if not _is_video(spec) and (not Path(spec).is_dir() or _pictures(spec)):
            crops = read_crops(spec, crop, limit=MOST_FACES)
            faces += list(crops.faces)
            own = [None if np.array_equal(a, b) else b for a, b in zip(crops.faces, crops.neutrals, strict=True)]
            neutrals += own
        if len(faces) == before:
            raise InputError(f"unlabelled data {spec}", got="no face in it", expected="videos or pictures of faces")
    kept = spread(len(faces), MOST_FACES)
    chosen = [neutrals[i] for i in kept]
    return faces_without_labels([faces[i] for i in kept], aus, crop, tuple(specs), neutrals=chosen)


def open_photos(folder: Path, crop: CropSpec, aus: Sequence[str]) -> tuple[FaceData, np.ndarray]:
    """Pictures with one expression each: the face nearest the middle of each picture.

    Args:
        folder: with labels.csv (columns ``file`` and ``expression``), or one folder of pictures per expression.
        crop: the crop rule.
        aus: as for `open_unlabelled`.

    Returns:
        As `open_unlabelled`.

    Raises:
        InputError: neither layout, an unknown expression, or no face in any picture.
    """
    detector, faces, classes = default_detector(), [], []
    for file, expression in _labelled_pictures(folder):
        image = read_image(file)
        detections = detector.detect(image)
        if detections:
            points = nearest_middle(detections, image).points_xy
            faces.append(crop_face(image[:, :, ::-1], points, crop))
            classes.append(EXPRESSIONS.index(expression))
    if not faces:
        raise InputError(f"photos {folder}", got="no face in any of them", expected="pictures of faces")
    return faces_without_labels(faces, aus, crop, (str(folder),), expressions=classes)


def _labelled_pictures(folder: Path) -> list[tuple[Path, str]]:
    """Each picture with its expression."""
    what, layouts = f"photos {folder}", f"{_LABELS} with columns file and expression, or a folder per expression"
    if (folder / _LABELS).is_file():
        with (folder / _LABELS).open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        if not rows or not {"file", "expression"} <= set(rows[0]):
            raise InputError(what, got=f"{_LABELS} without these columns or rows", expected=layouts)
        pictures = [(folder / row["file"], row["expression"]) for row in rows]
    else:
        folders = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        pictures = [(file, own.name) for own in folders for file in _pictures(str(own))]
    if not pictures:
        raise InputError(what, got="no pictures" if folder.is_dir() else "no such folder", expected=layouts)
    unknown = sorted({expression for _, expression in pictures} - set(EXPRESSIONS))
    if unknown:
        raise InputError(what, got=f"expression {unknown[0]!r}", expected=", ".join(EXPRESSIONS))
    return pictures


def _is_video(spec: str) -> bool:
    return Path(spec).suffix.lower() in VIDEO_SUFFIXES


def _videos(spec: str) -> list[str]:
    """The video itself, or those anywhere in the folder."""
    if _is_video(spec):
        return [spec]
    return sorted(str(file) for file in Path(spec).rglob("*") if _is_video(str(file))) if Path(spec).is_dir() else []


def _pictures(folder: str) -> list[Path]:
    """Pictures or a crop set's index anywhere in a folder."""
    files = Path(folder).rglob("*")
    return sorted(f for f in files if f.suffix.lower() in IMAGE_SUFFIXES or f.name == "index.json")


def _tracks(video: str, crop: CropSpec, detector: Detector) -> Iterator[list[np.ndarray]]:
    """Crops of each face of a video, in order of time."""
    tracker, source = Tracker(), open_video(video)
    tracks: dict[int, list[np.ndarray]] = {}
    step = max(1, round(source.fps / _PER_SECOND))
    try:
        for number, _, image in source:
            detections = detector.detect(image)
            ids = tracker.update([detection.box_xyxy for detection in detections])
            if number % step == 0:
                for track, detection in zip(ids, detections, strict=True):
                    face = crop_face(image[:, :, ::-1], detection.points_xy, crop)
                    tracks.setdefault(track, []).append(face)
    finally:
        source.close()
    yield from tracks.values()


def _calm(track: Sequence[np.ndarray], activity: Activity) -> np.ndarray | None:
    """A track's neutral; None if it is too short for one."""
    reference = NeutralReference(NeutralSpec(policy="running"))
    for face, active in zip(track, activity(np.stack(track)), strict=True):
        reference.add(face, float(active))
    return reference.image


def faces_without_labels(
    faces: Sequence[np.ndarray] | np.ndarray,
    aus: Sequence[str],
    crop: CropSpec,
    origins: tuple[str, ...],
    *,
    neutrals: Sequence[np.ndarray | None] = (),
    expressions: Sequence[int] = (),
) -> tuple[FaceData, np.ndarray]:
    """Faces as training data whose AUs are unknown.

    Args:
        faces: uint8 [S, S, 3] each, RGB.
        aus: names of the unknown AUs.
        crop: the rule that made them.
        origins: where they come from.
        neutrals: one per face, None where unknown; empty if all are. The same array may serve several faces.
        expressions: one per face; empty if all are unknown.

    Returns:
        The data, in which each neutral is a further sample, and the samples that are the faces.
    """
    count = len(faces)
    rows: dict[int, tuple[int, np.ndarray]] = {}
    for image in neutrals:
        if image is not None and id(image) not in rows:
            rows[id(image)] = (count + len(rows), image)
    total = count + len(rows)
    neutral, expression = np.full(total, -1, np.int64), np.full(total, -1, np.int64)
    if len(neutrals):
        neutral[:count] = [-1 if image is None else rows[id(image)][0] for image in neutrals]
    if len(expressions):
        expression[:count] = expressions
    data = FaceData(
        shards=(Shard(np.stack([*faces, *(image for _, image in rows.values())]), 0),),
        shard_of=np.zeros(total, np.int32),
        neutral=neutral,
        aus=tuple(aus),
        intensity=np.full((total, len(aus)), np.nan, np.float32),
        expressions=EXPRESSIONS,
        expression=expression,
        subject=np.zeros(total, np.int32),
        subjects=("",),
        landmarks=None,
        crop=crop,
        origins=origins,
    )
    return data, np.arange(count)

"""Crop the faces of recordings into a crop set: in parallel, resumable, and with a list of the frames left out.

The folder is a crop set once it has its index, which is written last. Until then it can be completed by the same
command: each unit (a part of one person's recordings) leaves a JSON file when its shard is whole. Besides the shards:

    prepare.json      what is being prepared, so that a folder is never completed with something else
    skipped.csv       recording, frame and file of each labelled frame that has no crop, and the reason
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from .action_units import EXPRESSIONS
from .crop import crop_face
from .crop_set import CROP_SET, SHARDS, SKIPPED, Index, Shard, fit, is_crop_set, read_index, write_index, write_shard
from .detect import cache_folder, default_detector
from .detection import Detector
from .errors import EdgeauWarning, InputError
from .files import write_json, write_text
from .folders import claim_folder
from .leftovers import sweep
from .manifest import CropSpec
from .recording import Recording, column_union
from .recording_check import MISSING_SHARE
from .worker_process import begin_worker, map_in_processes

# Incremented when the same recordings would give other crops or labels than before.
GENERATION = 3
RECORD = "prepare.json"
# Frames of one shard: its crops are in memory together.
_SHARD_FRAMES = 4000
# Fewer frames than this are cropped sooner than processes start.
_WORTH_PROCESSES = 400
_TURNS = (0, 1, 3)  # quarters, counterclockwise
_NO_FACE, _NOT_DECODED, _NO_IMAGE = "no face", "not decoded", "no image"

MakeDetector = Callable[[], Detector]
# Called with the frames done so far, those to do, and those that have no crop.
Progress = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Source:
    """Where recordings come from: the word of a data specification, and the path after it.

    Attributes:
        present_from: lowest intensity that counts as present there; None where presence is all that is coded.
    """

    word: str
    root: Path
    present_from: Optional[float] = None


@dataclass(frozen=True)
class _Unit:
    """The recordings of one shard, all of one person; ``number`` distinguishes units."""

    number: int
    recordings: Tuple[Recording, ...]

    @property
    def shard(self) -> str:
        return f"s{self.number:05d}"

    @property
    def frames(self) -> int:
        return sum(len(recording.numbers) for recording in self.recordings)


@dataclass(frozen=True)
class _Job:
    folder: Path
    crop: CropSpec
    aus: Tuple[str, ...]
    expressions: Tuple[str, ...]
    make_detector: MakeDetector


def cached_crop_set(source: Source, recordings: Sequence[Recording], crop: CropSpec) -> Path:
    """The crop set of these recordings in edgeau's cache folder (EDGEAU_CACHE), made when it isn't there.

    Its name depends on the recordings, their labels, the crop rule and the detector, so that changed labels, or a
    better detector, are not answered with old crops.
    """
    key = _fingerprint(source, recordings, crop, default_detector().name)[:12]
    folder = cache_folder() / "crops" / f"{source.word}-{key}"
    if not is_crop_set(folder):
        workers = os.cpu_count() or 1
        prepare(source, recordings, folder, crop, workers=workers)
    return folder


def prepare(
    source: Source,
    recordings: Sequence[Recording],
    folder: Path,
    crop: CropSpec = CropSpec(),
    *,
    workers: int = 1,
    make_detector: Optional[MakeDetector] = None,
    progress: Optional[Progress] = None,
) -> Index:
    """Crop the largest face of every labelled frame.

    Args:
        source: of the recordings.
        recordings: in any order.
        folder: the crop set to write, or to complete.
        crop: the crop rule. Pictures that have exactly its size, or the default one, are taken as crops.
        workers: processes.
        make_detector: makes the detector of each process; the default detector with one thread if None.
        progress: called after each shard.

    Returns:
        The index that was written.

    Raises:
        InputError: the folder holds something else, too many images of a recording can't be decoded, or no frame has a
            face.
    """
    make = make_detector or _one_thread_detector
    detector = make().name
    fingerprint = _fingerprint(source, recordings, crop, detector)
    _claim(folder, source, fingerprint)
    expressions = {name for recording in recordings for name in recording.expressions if name} - set(EXPRESSIONS)
    job = _Job(folder, crop, column_union(recordings), (*EXPRESSIONS, *sorted(expressions)), make)
    units = _units(recordings)
    done = [_finished(folder, unit) for unit in units]
    missing = [unit for unit, value in zip(units, done) if value is None]
    counts = [value for value in done if value is not None]
    total = sum(unit.frames for unit in units)
    try:
        for value in _crop_all(job, missing, workers):
            counts.append(value)
            if progress is not None:
                skipped = sum(len(count["skipped"]) for count in counts)
                progress(skipped + sum(count["samples"] for count in counts), total, skipped)
    finally:
        sweep(folder / SHARDS)
    return _finish(job, source, units, detector)


def _one_thread_detector() -> Detector:
    return default_detector(threads=1)


def _units(recordings: Sequence[Recording]) -> List[_Unit]:
    ordered = sorted(recordings, key=lambda recording: (recording.subject, recording.name))
    units: List[_Unit] = []
    part: List[Recording] = []
    for recording in ordered:
        full = sum(len(r.numbers) for r in part) + len(recording.numbers) > _SHARD_FRAMES
        if part and (full or part[0].subject != recording.subject):
            units.append(_Unit(len(units), tuple(part)))
            part = []
        part.append(recording)
    return [*units, _Unit(len(units), tuple(part))] if part else units


def _claim(folder: Path, source: Source, fingerprint: str) -> None:
    """Make the folder, or take one in which the same was begun."""
    record = folder / RECORD
    if record.is_file():
        try:
            same = json.loads(record.read_text("utf-8"))["fingerprint"] == fingerprint
        except (ValueError, LookupError, TypeError):
            same = False
        if not same:
            got = "crops of other recordings, other labels or another detector"
            expected = f"those of {source.word}:{source.root}"
            raise InputError(f"folder {folder}", got=got, expected=expected, hint="choose another folder")
    elif folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"folder {folder}", got="a folder with something else in it", expected="a new folder")
    else:
        claim_folder(folder, CROP_SET)
        write_json(record, {"source": f"{source.word}:{source.root}", "fingerprint": fingerprint})
    (folder / SHARDS).mkdir(exist_ok=True)


def _finished(folder: Path, unit: _Unit) -> Optional[Dict[str, Any]]:
    """What the unit's JSON file says; None if its shard is not whole yet."""
    try:
        value: Dict[str, Any] = json.loads((folder / SHARDS / f"{unit.shard}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value


def _crop_all(job: _Job, units: Sequence[_Unit], workers: int) -> Iterator[Dict[str, Any]]:
    workers = min(workers, len(units))
    if workers <= 1 or sum(unit.frames for unit in units) < _WORTH_PROCESSES:
        detector = job.make_detector() if units else None
        for unit in units:
            assert detector is not None
            yield _crop_unit(job, unit, detector)
        return
    yield from map_in_processes(_work, units, workers, _start_worker, (job,))


_worker_job: Optional[_Job] = None
_worker_detector: Optional[Detector] = None


def _start_worker(job: _Job) -> None:
    global _worker_job
    begin_worker()
    _worker_job = job


def _work(unit: _Unit) -> Dict[str, Any]:
    global _worker_detector
    assert _worker_job is not None
    if _worker_detector is None:
        _worker_detector = _worker_job.make_detector()
    return _crop_unit(_worker_job, unit, _worker_detector)


def _crop_unit(job: _Job, unit: _Unit, detector: Detector) -> Dict[str, Any]:
    """Write one shard, unless no frame has a face, and then the unit's JSON file."""
    faces: List[np.ndarray] = []
    parts: List[Dict[str, np.ndarray]] = []
    skipped: List[List[Any]] = []
    for sequence, recording in enumerate(unit.recordings):
        rows, crops, reasons = _crop_recording(recording, job.crop, detector)
        skipped += [[recording.name, recording.numbers[row], _file_of(recording, row), reason]
                    for row, reason in reasons.items()]  # fmt: skip
        if rows:
            parts.append(_labels(job, recording, rows, sequence, len(faces)))
            faces += crops
    if faces:
        labels = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        write_shard(job.folder, unit.shard, np.stack(faces), labels)
    value = {"subject": unit.recordings[0].subject, "samples": len(faces), "skipped": skipped}
    write_json(job.folder / SHARDS / f"{unit.shard}.json", value)
    return value


def _crop_recording(
    recording: Recording, crop: CropSpec, detector: Detector
) -> Tuple[List[int], List[np.ndarray], Dict[int, str]]:
    """Rows that have a crop, their crops, and why the other rows have none."""
    reasons = dict.fromkeys(range(len(recording.numbers)), _NO_IMAGE)
    rows: List[int] = []
    crops: List[np.ndarray] = []
    turns: Sequence[int] = _TURNS if recording.may_be_turned else (0,)
    for row, image in recording.images():
        reasons[row] = _NOT_DECODED if image is None else _NO_FACE
        if image is None:
            continue
        if image.shape[:2] in _crop_shapes(crop):
            rows.append(row)
            crops.append(fit(image[None, :, :, ::-1], crop.size_px)[0])
            continue
        for turn in turns:
            upright = np.ascontiguousarray(np.rot90(image, turn))
            faces = detector.detect(upright)
            if faces:
                turns = (turn,)  # all frames of a video are turned the same way
                rows.append(row)
                crops.append(crop_face(upright[:, :, ::-1], faces[0].points_xy, crop))
                break
    cropped = set(rows)
    return rows, crops, {row: reason for row, reason in reasons.items() if row not in cropped}


def _crop_shapes(crop: CropSpec) -> Tuple[Tuple[int, int], ...]:
    """Pictures of these shapes are crops: the model's, and those of the default size, whatever model reads them."""
    return ((crop.size_px, crop.size_px), (CropSpec.size_px, CropSpec.size_px))


def _labels(job: _Job, recording: Recording, rows: Sequence[int], sequence: int, start: int) -> Dict[str, np.ndarray]:
    """Labels of a recording's rows that became crops; ``start`` is the first one's row in the shard."""
    intensity = np.full((len(rows), len(job.aus)), np.nan, np.float32)
    intensity[:, [job.aus.index(au) for au in recording.aus]] = recording.intensity[list(rows)]
    neutrals = _neutral_rows(recording, rows)
    expressions = recording.expressions or ("",) * len(recording.numbers)
    numbers = {name: number for number, name in enumerate(job.expressions)}
    return {
        "au": intensity,
        "neutral": np.full(len(rows), start + rows.index(neutrals[0]) if neutrals else -1),
        "is_neutral": np.isin(rows, neutrals),
        "expression": np.array([numbers.get(expressions[row], -1) for row in rows]),
        "sequence": np.full(len(rows), sequence),
        "frame": np.array(recording.numbers)[list(rows)],
    }


def _neutral_rows(recording: Recording, rows: Sequence[int]) -> List[int]:
    """Rows among these that are neutral: those that are known to be, else the one with the lowest intensities."""
    if recording.neutral_rows is not None:
        return [row for row in rows if row in set(recording.neutral_rows)]
    intensity = recording.intensity[list(rows)]
    if intensity.size == 0 or np.isnan(intensity).all():
        return []
    return [rows[int(np.nansum(intensity, axis=1).argmin())]]


def _file_of(recording: Recording, row: int) -> str:
    if isinstance(recording.frames, Path):
        return str(recording.frames)
    return str(recording.frames.get(recording.numbers[row], "no such image"))


def _finish(job: _Job, source: Source, units: Sequence[_Unit], detector: str) -> Index:
    values = [_finished(job.folder, unit) for unit in units]
    skipped = [row for value in values if value is not None for row in value["skipped"]]
    shards = tuple(
        Shard(unit.shard, str(value["subject"]), int(value["samples"]))
        for unit, value in zip(units, values)
        if value is not None and value["samples"]
    )
    total = sum(unit.frames for unit in units)
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerows([["recording", "frame", "file", "reason"], *skipped])
    write_text(job.folder / SKIPPED, buffer.getvalue())
    _require_decoded(job.folder, source, units, skipped)
    if not shards:
        raise InputError(f"data {source.word}:{source.root}", got=f"no face in any of {total} labelled images",
                         expected="the frames as well as the labels")  # fmt: skip
    generator = {"name": source.word, "detector": detector, "generation": GENERATION}
    size_px = job.crop.size_px
    index = Index(job.aus, shards, job.expressions, size_px, job.crop, generator, source.present_from)
    write_index(job.folder, index)
    _warn_of_skipped(job.folder, source, skipped, total, detector)
    return read_index(job.folder)


def _require_decoded(folder: Path, source: Source, units: Sequence[_Unit], skipped: Sequence[Sequence[Any]]) -> None:
    """Raise InputError where so many images of a recording can't be decoded that figures from it would be wrong."""
    broken: Dict[str, List[str]] = {}
    for name, _, file, reason in skipped:
        if reason == _NOT_DECODED:
            broken.setdefault(name, []).append(file)
    for recording in (recording for unit in units for recording in unit.recordings):
        files, count = broken.get(recording.name, []), len(recording.numbers)
        if len(files) > max(1, MISSING_SHARE * count) or len(files) == count > 0:
            got = f"{len(files)} of {count} images of {recording.name} that can't be decoded, such as {files[0]}"
            raise InputError(f"data {source.word}:{source.root}", got=got, expected="whole files",
                             hint=f"{folder / SKIPPED} names them all")  # fmt: skip


def _warn_of_skipped(folder: Path, source: Source, skipped: Sequence[Sequence[Any]], total: int, detector: str) -> None:
    faceless = sum(reason == _NO_FACE for *_, reason in skipped)
    broken = [file for *_, file, reason in skipped if reason == _NOT_DECODED]
    texts = [f"{detector} found no face in {faceless} of {total} labelled images"] if faceless else []
    texts += [f"{len(broken)} of {total} can't be decoded, such as {broken[0]}"] if broken else []
    if texts:
        text = f"{source.word}:{source.root}: {', and '.join(texts)}; {folder / SKIPPED} names them"
        warnings.warn(text, EdgeauWarning, stacklevel=3)


def _fingerprint(source: Source, recordings: Sequence[Recording], crop: CropSpec, detector: str) -> str:
    digest = hashlib.sha256(f"{GENERATION} {source.word} {source.root.resolve()} {crop} {detector}".encode())
    for recording in sorted(recordings, key=lambda r: (r.subject, r.name)):
        files = recording.frames if isinstance(recording.frames, Path) else sorted(recording.frames.items())
        known = (recording.subject, recording.name, recording.numbers, recording.aus, recording.neutral_rows,
                 recording.expressions, recording.first_number, str(files))  # fmt: skip
        digest.update(repr(known).encode("utf-8", "surrogateescape"))
        digest.update(np.ascontiguousarray(recording.intensity).tobytes())
        digest.update(repr(_states(recording)).encode())
    return digest.hexdigest()


def _states(recording: Recording) -> List[Tuple[int, int]]:
    """Size and time of every file, so that a replaced picture is noticed."""
    files = [recording.frames] if isinstance(recording.frames, Path) else list(recording.frames.values())
    states = [os.stat(file) for file in files if file.is_file()]
    return [(state.st_size, state.st_mtime_ns) for state in states]

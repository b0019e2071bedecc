"""Writes crop sets of rendered faces: one shard per subject, resumable, identical bytes for any number of workers."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.runtime.action_units import EXPRESSIONS, UNION
from edgeau.runtime.crop_set import CROP_SET, INDEX, SHARDS, Index, Shard, read_shard, write_index, write_shard
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import sha256_file, write_json
from edgeau.runtime.folders import claim_folder
from edgeau.runtime.leftovers import sweep
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.worker_process import begin_worker, map_in_processes
from edgeau.train.faces.base import Renderer
from edgeau.train.faces.plan.sequences import Sample, plan_subject
from edgeau.train.faces.renderers import make_renderer
from edgeau.train.faces.source import SyntheticOptions

# Incremented when the same options would give different images or labels than before.
GENERATION = 5
RECORD = "generator.json"


@dataclass(frozen=True)
class Job:
    """A crop set to write: what to draw and where to put it."""

    folder: Path
    options: SyntheticOptions
    crop: CropSpec

    @property
    def fingerprint(self) -> str:
        """A hash of everything that determines a shard's bytes. The number of subjects is excluded: a set can grow."""
        options = dataclasses.asdict(self.options)
        del options["subjects"]
        file = Path(self.options.face)
        content = sha256_file(file) if file.is_file() else None
        state = [GENERATION, options, dataclasses.asdict(self.crop), content]
        return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def shard_name(subject: int) -> str:
    """``s00012`` for subject 12."""
    return f"s{subject:05d}"


def write_set(job: Job, workers: int, progress: Callable[[int, int], None] | None = None) -> Index:
    """Write the missing shards of a set, then its index.

    Args:
        job: what to draw and where. If the folder holds part of the same set, its shards are kept.
        workers: number of processes that render; 1 renders in this process.
        progress: called with the number of subjects drawn so far and the number to draw.

    Returns:
        The index that was written.

    Raises:
        InputError: the folder holds another set, or the face model is not available.
        EdgeauError: a process that renders was killed.
    """
    _claim(job)
    (job.folder / SHARDS).mkdir(exist_ok=True)
    missing = [subject for subject in range(job.options.subjects) if not is_complete(job, subject)]
    try:
        for done, _ in enumerate(_render(job, missing, workers), start=1):
            if progress is not None:
                progress(done, len(missing))
    finally:
        _tidy(job)
    return _write_index(job)


def _tidy(job: Job) -> None:
    """Remove leftovers of an interrupted process, and the claim if no shard was written."""
    shards = job.folder / SHARDS
    sweep(shards)
    if not any(shards.iterdir()):
        shards.rmdir()
        (job.folder / RECORD).unlink()


def _claim(job: Job) -> None:
    """Record which set this folder holds. Raises InputError if it already holds something else."""
    record = job.folder / RECORD
    if record.is_file():
        try:
            existing = json.loads(record.read_text("utf-8"))
        except ValueError:
            existing = {}
        if existing.get("fingerprint") != job.fingerprint:
            raise InputError(
                f"folder {job.folder}",
                got=f"a set made with {_describe(existing.get('options', {}))}",
                expected=f"{_describe(dataclasses.asdict(job.options))} by this version of edgeau",
                hint="choose another --out, or remove the folder",
            )
    elif (job.folder / INDEX).exists() or any((job.folder / SHARDS).glob("s*")):
        raise InputError(
            f"folder {job.folder}", got="crops of another origin", expected="a new folder", hint="choose another --out"
        )
    else:
        claim_folder(job.folder, CROP_SET)
        record_value = {"fingerprint": job.fingerprint, "options": dataclasses.asdict(job.options)}
        write_json(record, {**record_value, "size_px": job.crop.size_px})


def _describe(options: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items() if name != "subjects") or "unreadable options"


def is_complete(job: Job, subject: int) -> bool:
    """Whether a subject's shard exists and holds all of its samples."""
    side = job.crop.size_px
    try:
        pixels, labels = read_shard(job.folder, shard_name(subject))
    except InputError:
        return False
    return pixels.shape == (job.options.frames, side, side, 3) and len(labels["au"]) == job.options.frames


def _render(job: Job, subjects: list[int], workers: int) -> Iterator[int]:
    if not subjects:
        return
    if workers <= 1 or len(subjects) == 1:
        renderer = make_renderer(job.options.face)
        with contextlib.closing(renderer):
            for subject in subjects:
                yield _write_shard(job, subject, renderer)
        return
    yield from map_in_processes(_work, subjects, min(workers, len(subjects)), _start_worker, (job,))


_worker_job: Job | None = None
_worker_renderer: Renderer | None = None


def _start_worker(job: Job) -> None:
    global _worker_job, _worker_renderer
    begin_worker()
    # An error here would break the pool, so the renderer is created with the first subject.
    _worker_job, _worker_renderer = job, None


def _work(subject: int) -> int:
    global _worker_renderer
    assert _worker_job is not None
    if _worker_renderer is None:
        _worker_renderer = make_renderer(_worker_job.options.face)
    return _write_shard(_worker_job, subject, _worker_renderer)


def _write_shard(job: Job, subject: int, renderer: Renderer) -> int:
    options = job.options
    plan = plan_subject(options.seed, subject, options.frames, options.labels, options.domain)
    drawn = [renderer.render(sample.spec, job.crop) for sample in plan]
    labels = _labels(plan)
    labels["landmarks"] = np.stack([picture.landmarks for picture in drawn])
    labels["visible"] = np.stack([picture.visible for picture in drawn])
    name = shard_name(subject)
    try:
        write_shard(job.folder, name, np.stack([picture.face for picture in drawn]), labels)
    except OSError as error:
        reason = f"could not be written ({error.strerror or error})"
        hint = "free some space and run the same command again"
        raise InputError(f"shard {job.folder / SHARDS / name}", got=reason, hint=hint) from error
    return subject


def _labels(plan: list[Sample]) -> dict[str, np.ndarray]:
    poses = [(sample.spec.yaw_deg, sample.spec.pitch_deg, sample.spec.roll_deg) for sample in plan]
    return {
        "au": np.stack([sample.au for sample in plan]),
        "neutral": np.array([sample.neutral for sample in plan]),
        "is_neutral": np.array([sample.is_neutral for sample in plan]),
        "expression": np.array([sample.expression for sample in plan]),
        "sequence": np.array([sample.sequence for sample in plan]),
        "frame": np.array([sample.frame for sample in plan]),
        "pose_deg": np.array(poses),
    }


def _write_index(job: Job) -> Index:
    subjects = range(job.options.subjects)
    index = Index(
        aus=UNION,
        shards=tuple(Shard(shard_name(subject), f"S{subject:05d}", job.options.frames) for subject in subjects),
        expressions=EXPRESSIONS,
        size_px=job.crop.size_px,
        crop=job.crop,
        generator={"name": "edgeau synth", "generation": GENERATION, **dataclasses.asdict(job.options)},
    )
    write_index(job.folder, index)
    return index

"""An endless stream of rendered subjects, drawn ahead by worker processes: ``render:faces=ict+builtin,seed=1``.

Subject ``n`` depends only on the options and on ``n``, so a resumed run sees the same faces as an uninterrupted one,
and none of them twice.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, fields
from types import TracebackType

import numpy as np

from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.worker_process import begin_worker, one_thread_each, results_of
from edgeau.train.faces.base import DOMAINS, Renderer
from edgeau.train.faces.plan.prototypes import RATES
from edgeau.train.faces.plan.sequences import Sample, plan_subject
from edgeau.train.faces.renderers import make_renderer

WORD = "render"


@dataclass(frozen=True)
class StreamOptions:
    """What to draw.

    Attributes:
        faces: face models as for ``make_renderer``; one is chosen at random per subject.
        frames: images per subject, some of them neutral.
        seed: a different seed gives different people.
        labels: name of the AU base rates, a key of RATES.
        domains: domains of light, camera and skin; one is chosen at random per subject.
        workers: number of processes that render.
    """

    faces: tuple[str, ...] = ("builtin",)
    frames: int = 16
    seed: int = 0
    labels: str = "mix"
    domains: tuple[str, ...] = ("train",)
    workers: int = 1

    def __post_init__(self) -> None:
        if self.frames < 4 or self.workers < 1 or self.seed < 0:
            got = f"frames={self.frames}, workers={self.workers}, seed={self.seed}"
            raise InputError("rendered faces", got=got, expected="at least 4 frames, 1 worker, and a seed from 0")
        if self.labels not in RATES:
            raise InputError("labels of rendered faces", got=self.labels, expected=" or ".join(sorted(RATES)))
        if not set(self.domains) <= set(DOMAINS):
            raise InputError("domains of rendered faces", got="+".join(self.domains), expected="+".join(DOMAINS))


def is_stream(spec: str) -> bool:
    """Whether a data specification asks for faces rendered during training."""
    return spec.partition(":")[0] == WORD


def parse_stream(spec: str, seed: int = 0) -> StreamOptions:
    """Parse ``render:faces=ict+builtin,frames=16,seed=1,labels=mix,domains=train,workers=1``; any may be left out.

    Args:
        seed: used if the specification does not set one.

    Raises:
        InputError: an unknown option or an invalid value.
    """
    values: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in spec.partition(":")[2].split(","))):
        key, equals, value = part.partition("=")
        if not equals or key not in {field.name for field in fields(StreamOptions)}:
            raise InputError(spec, got=part, expected="render:faces=ict+builtin,frames=16,seed=1,workers=1")
        values[key] = value
    default = StreamOptions()
    return StreamOptions(
        faces=tuple(values.get("faces", "builtin").split("+")),
        frames=_number(spec, values.get("frames", str(default.frames))),
        seed=_number(spec, values.get("seed", str(seed))),
        labels=values.get("labels", default.labels),
        domains=tuple(values.get("domains", "train").split("+")),
        workers=_number(spec, values.get("workers", str(default.workers))),
    )


def _number(spec: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(spec, got=repr(text), expected="a whole number") from None


@dataclass(frozen=True)
class DrawnSubject:
    """One subject's F images and their labels.

    Attributes:
        faces: uint8 [F, S, S, 3], RGB.
        samples: the planned sample behind each image.
        landmarks: float32 [F, 68, 2], crop pixels, NaN where hidden.
    """

    faces: np.ndarray
    samples: tuple[Sample, ...]
    landmarks: np.ndarray


def plan(options: StreamOptions, number: int) -> tuple[str, list[Sample]]:
    """Face model and planned samples of subject ``number``."""
    rng = np.random.default_rng(np.random.SeedSequence(options.seed, spawn_key=(number, 1)))
    face = options.faces[int(rng.integers(len(options.faces)))]
    domain = options.domains[int(rng.integers(len(options.domains)))]
    return face, plan_subject(options.seed, number, options.frames, options.labels, domain)


def draw_subject(options: StreamOptions, number: int, crop: CropSpec, renderers: dict[str, Renderer]) -> DrawnSubject:
    """Draw subject ``number``; ``renderers`` caches one renderer per face model, created on first use."""
    face, samples = plan(options, number)
    if face not in renderers:
        renderers[face] = make_renderer(face)
    pictures = [renderers[face].render(sample.spec, crop) for sample in samples]
    landmarks = np.stack([np.where(p.visible[:, None], p.landmarks, np.nan) for p in pictures])
    return DrawnSubject(np.stack([p.face for p in pictures]), tuple(samples), landmarks.astype(np.float32))


class SubjectStream:
    """Draws subjects by number in worker processes. Use as a context manager.

    Args:
        options: what to draw and in how many processes.
        crop: the crop rule and size.
    """

    def __init__(self, options: StreamOptions, crop: CropSpec) -> None:
        self.options, self.crop = options, crop
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> SubjectStream:
        with one_thread_each():
            self._pool = ProcessPoolExecutor(
                self.options.workers,
                multiprocessing.get_context("spawn"),  # a renderer's graphics context does not survive a fork
                initializer=_start_worker,
                initargs=(self.options, self.crop),
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._pool is not None
        self._pool.shutdown(wait=True, cancel_futures=True)

    def request(self, numbers: Sequence[int]) -> list[Future[DrawnSubject]]:
        """Queue subjects for drawing; returns immediately."""
        assert self._pool is not None
        with one_thread_each():  # the pool starts its processes at the first request
            return [self._pool.submit(_draw, number) for number in numbers]


def drawn(futures: Sequence[Future[DrawnSubject]]) -> list[DrawnSubject]:
    """Wait for requested subjects. Raises EdgeauError if a worker was killed."""
    return list(results_of(futures))


_worker: tuple[StreamOptions, CropSpec, dict[str, Renderer]] | None = None


def _start_worker(options: StreamOptions, crop: CropSpec) -> None:
    global _worker
    begin_worker()
    _worker = (options, crop, {})


def _draw(number: int) -> DrawnSubject:
    assert _worker is not None
    options, crop, renderers = _worker
    return draw_subject(options, number, crop, renderers)

"""Training batches of faces rendered during training; no face is repeated."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from edgeau.runtime.action_units import EXPRESSIONS, UNION
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.train.faces.stream import DrawnSubject, StreamOptions, SubjectStream, drawn, plan

from .batches import Batch, Batches, BatchOptions, ahead
from .data import FaceData, Shard

_BLOCKS_AHEAD = 1
_SUBJECTS_COUNTED = 400


@dataclass(frozen=True)
class Blocks:
    """How an endless stream is divided: block ``b`` holds subjects from ``b * subjects`` on, mixed among its batches.

    A block has as many subjects as a batch has samples, and so one batch per frame, whatever the batch size.
    """

    subjects: int
    frames: int

    def of_step(self, step: int) -> int:
        """The block that batch ``step`` is taken from."""
        return step // self.frames

    def numbers(self, block: int) -> range:
        """Subjects of a block."""
        return range(block * self.subjects, (block + 1) * self.subjects)


class RenderedBatches:
    """Like Batches, from rendered subjects: batch ``step`` depends only on the options and ``step``.

    Args:
        stream: what to draw.
        aus: AUs to learn, from UNION.
        options: see BatchOptions.
        seed: for order and augmentation.

    Raises:
        InputError: more than one process; each would render everything.
    """

    def __init__(self, stream: StreamOptions, aus: Sequence[str], options: BatchOptions, seed: int) -> None:
        if options.world > 1:
            raise InputError("rendering while training", got=f"{options.world} processes", expected="one")
        self.stream, self.aus, self.options, self.seed = stream, tuple(aus), options, seed
        self.blocks = Blocks(options.batch, stream.frames)
        self.made, self.spent_s = 0, 0.0
        self._lock = threading.Lock()
        self._pending: dict[int, list[Future[DrawnSubject]]] = {}
        self._ready: dict[int, Batches] = {}

    @property
    def per_epoch(self) -> int:
        """Raises InputError: a stream has no epochs."""
        raise InputError("--epochs", got="faces rendered while training, which never repeat", expected="--steps")

    def start(self, step: int) -> Generator[Batch, None, None]:
        """Batches from ``step`` on, prepared in threads until the iterator is closed."""
        crop = CropSpec(size_px=self.options.size_px)
        with SubjectStream(self.stream, crop) as subjects:

            def make(number: int) -> Batch:
                began = time.thread_time()
                batch = self._block(number, subjects).make(number)
                self.made, self.spent_s = self.made + 1, self.spent_s + time.thread_time() - began
                return batch

            yield from ahead(make, step, self.options)

    def _block(self, step: int, subjects: SubjectStream) -> Batches:
        """The block of a step. Requests the next ones and discards older ones."""
        block = self.blocks.of_step(step)
        with self._lock:
            for number in range(block, block + _BLOCKS_AHEAD + 1):
                if number not in self._pending and number not in self._ready:
                    self._pending[number] = subjects.request(self.blocks.numbers(number))
            if block not in self._ready:
                data = face_data(drawn(self._pending.pop(block)), self.blocks.numbers(block), self.aus, subjects.crop)
                self._ready = {n: b for n, b in self._ready.items() if n >= block - 1}
                self._ready[block] = Batches(data, np.arange(len(data)), self.options, self.seed)
            return self._ready[block]


def stream_intensity(options: StreamOptions, aus: Sequence[str]) -> np.ndarray:
    """Labels of some of a stream's subjects, for base rates: float32 [N, A]. Nothing is drawn."""
    samples = [sample for number in range(_SUBJECTS_COUNTED) for sample in plan(options, number)[1]]
    return np.stack([sample.au for sample in samples])[:, columns(aus)]


def columns(aus: Sequence[str]) -> list[int]:
    """Columns of these AUs in UNION. Raises InputError for an AU that rendered faces do not label."""
    missing = [au for au in aus if au not in UNION]
    if missing:
        raise InputError("AUs of rendered faces", got=", ".join(missing), expected=f"some of {', '.join(UNION)}")
    return [UNION.index(au) for au in aus]


def face_data(subjects: Sequence[DrawnSubject], numbers: Sequence[int], aus: Sequence[str], crop: CropSpec) -> FaceData:
    """Drawn subjects as FaceData, from which batches are built."""
    frames = [len(subject.faces) for subject in subjects]
    starts = np.concatenate([[0], np.cumsum(frames)]).astype(int)
    samples = [sample for subject in subjects for sample in subject.samples]
    return FaceData(
        shards=tuple(Shard(s.faces, int(start)) for s, start in zip(subjects, starts, strict=False)),
        shard_of=np.repeat(np.arange(len(subjects), dtype=np.int32), frames),
        neutral=np.repeat(starts[:-1], frames) + np.array([sample.neutral for sample in samples]),
        aus=tuple(aus),
        intensity=np.stack([sample.au for sample in samples])[:, columns(aus)].astype(np.float32),
        expressions=EXPRESSIONS,
        expression=np.array([sample.expression for sample in samples], np.int64),
        subject=np.repeat(np.arange(len(subjects), dtype=np.int32), frames),
        subjects=tuple(f"R{number:07d}" for number in numbers),
        landmarks=np.concatenate([subject.landmarks for subject in subjects]),
        crop=crop,
        origins=("render",),
    )

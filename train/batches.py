"""Training batches: augmented, prepared ahead of time, and reproducible across interruptions and processes.

Threads prepare them (OpenCV releases the GIL); each batch depends only on the seed and its own number.
"""

from __future__ import annotations

import itertools
import math
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from edgeau.runtime.crop_set import fit
from edgeau.runtime.errors import InputError

from .augment import Augmenter, AugmentOptions, Draw, draw, move_landmarks
from .data import FaceData


@dataclass
class Batch:
    """One batch of a model's inputs and labels.

    Attributes:
        face, neutral: uint8 [N, S, S, 3], RGB; ``neutral`` is None for models that take none.
        intensity: float32 [N, A], NaN where not labelled.
        expression: int64 [N], -1 where unknown.
        landmarks: float32 [N, 68, 2] in pixels of ``face``, NaN where hidden; None unless asked for.
    """

    face: Tensor
    neutral: Tensor | None
    intensity: Tensor
    expression: Tensor
    landmarks: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device, non_blocking=True)

        moved = [move(t) for t in (self.face, self.neutral, self.intensity, self.expression, self.landmarks)]
        return Batch(*moved)  # type: ignore[arg-type]


@dataclass(frozen=True)
class BatchOptions:
    """How batches are made.

    Attributes:
        size_px: side of the model's input.
        batch: samples per batch, over all processes.
        takes_neutral: whether to make neutrals.
        neutral_unknown: probability that the face replaces its neutral, as at run time before a neutral is known.
        landmarks: whether to include landmarks.
        augment: None leaves the crops unchanged.
        workers: threads; ``ahead``: batches prepared in advance.
        one_batch: repeat the first batch, to time steps without data or to check that a model can learn.
        rank, world: index and number of processes, which share each batch.
    """

    size_px: int
    batch: int
    takes_neutral: bool = False
    neutral_unknown: float = 0.25
    landmarks: bool = False
    augment: AugmentOptions | None = field(default_factory=AugmentOptions)
    workers: int = 1
    ahead: int = 3
    one_batch: bool = False
    rank: int = 0
    world: int = 1
    pin: bool = False


@dataclass
class Batches:
    """An endless, reproducible sequence of training batches: ``make(step)`` depends only on seed and step.

    Attributes:
        made, spent_s: batches made so far, and their CPU time.
    """

    data: FaceData
    rows: np.ndarray
    options: BatchOptions
    seed: int
    made: int = field(init=False, default=0)
    spent_s: float = field(init=False, default=0.0)
    _augmenter: Augmenter | None = field(init=False)
    _orders: dict[int, np.ndarray] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._augmenter = Augmenter(self.options.size_px) if self.options.augment is not None else None
        # Our threads make whole batches; OpenCV's own would compete with them and with torch's.
        cv2.setNumThreads(1)

    @property
    def per_epoch(self) -> int:
        """Number of batches that contain every sample once."""
        return max(1, math.ceil(len(self.rows) / self.options.batch))

    def start(self, step: int) -> Generator[Batch, None, None]:
        """Batches from ``step`` on, prepared in threads until the iterator is closed."""
        return ahead(self.make, step, self.options)

    def make(self, step: int) -> Batch:
        """This process's share of batch ``step``."""
        began = time.thread_time()
        batch = self._make(step)
        self.made, self.spent_s = self.made + 1, self.spent_s + time.thread_time() - began
        return batch

    def _make(self, step: int) -> Batch:
        options = self.options
        rng = np.random.default_rng((self.seed, step, 1))
        mine = slice(options.rank, None, options.world)
        samples = self._samples(step)
        unknown = rng.random(len(samples)) < options.neutral_unknown
        if options.augment is None:
            return self.gather(samples[mine], unknown[mine], None, mine)
        drawn = draw(self.data.source_px(samples), options.size_px, options.augment, rng)
        return self.gather(samples[mine], unknown[mine], drawn, mine)

    def _samples(self, step: int) -> np.ndarray:
        """Sample numbers of the whole batch; each epoch is a new permutation."""
        position = step * self.options.batch + np.arange(self.options.batch)
        epochs = position // len(self.rows)
        return np.array([self._order(int(e))[p % len(self.rows)] for e, p in zip(epochs, position, strict=True)])

    def _order(self, epoch: int) -> np.ndarray:
        order = self._orders.get(epoch)
        if order is None:
            order = np.random.default_rng((self.seed, epoch, 0)).permutation(self.rows)
            near = {e: o for e, o in self._orders.items() if abs(e - epoch) == 1}
            self._orders = {**near, epoch: order}
        return order

    def gather(self, samples: np.ndarray, unknown: np.ndarray, drawn: Draw | None, mine: slice) -> Batch:
        """The batch of these samples.

        Args:
            samples: sample numbers.
            unknown: bool, where the face replaces its neutral.
            drawn: how to alter the whole batch; None leaves the crops unchanged.
            mine: the rows of the whole batch that these samples occupy.
        """
        data, size = self.data, self.options.size_px
        shape = (len(samples), size, size, 3)
        faces = np.empty(shape, np.uint8)
        neutrals = np.empty(shape, np.uint8) if self.options.takes_neutral else None
        rows = range(self.options.batch)[mine]
        for i, (sample, row) in enumerate(zip(samples, rows, strict=True)):
            self._write(faces[i], data.pixels(sample), drawn, row, neutral=False)
            if neutrals is not None and (unknown[i] or data.neutral[sample] < 0):
                neutrals[i] = faces[i]
            elif neutrals is not None:
                self._write(neutrals[i], data.pixels(data.neutral[sample]), drawn, row, neutral=True)
        return Batch(
            face=self._tensor(faces),
            neutral=None if neutrals is None else self._tensor(neutrals),
            intensity=self._tensor(data.intensity[samples]),
            expression=self._tensor(data.expression[samples]),
            landmarks=self._landmarks(samples, drawn, rows) if self.options.landmarks else None,
        )

    def _write(self, out: np.ndarray, image: np.ndarray, drawn: Draw | None, row: int, *, neutral: bool) -> None:
        if drawn is None or self._augmenter is None:
            out[:] = fit(image[None], self.options.size_px)[0]
        elif neutral:
            self._augmenter.neutral(image, drawn, row, out)
        else:
            self._augmenter.face(image, drawn, row, out)

    def _landmarks(self, samples: np.ndarray, drawn: Draw | None, rows: Sequence[int]) -> Tensor:
        if self.data.landmarks is None:
            raise InputError(
                "training data", got="crops without landmarks", expected="68 points, as `edgeau synth` writes"
            )
        points = self.data.landmarks[samples]
        if drawn is None:
            ratio = self.options.size_px / self.data.source_px(samples)
            moved = (points + 0.5) * ratio[:, None, None] - 0.5
        else:
            placed = zip(points, drawn.face_matrix[rows], drawn.flip[rows], strict=True)
            moved = np.stack([move_landmarks(p, m, bool(f)) for p, m, f in placed])
        return self._tensor(moved.astype(np.float32))

    def _tensor(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory() if self.options.pin else tensor


def ahead(make: Callable[[int], Batch], step: int, options: BatchOptions) -> Generator[Batch, None, None]:
    """``make(step)``, ``make(step + 1)`` ..., prepared in threads until the iterator is closed."""
    if options.one_batch:
        yield from itertools.repeat(make(0))
    with ThreadPoolExecutor(options.workers, thread_name_prefix="batches") as pool:
        waiting: deque[Future[Batch]] = deque()
        try:
            while True:
                while len(waiting) < options.ahead:
                    waiting.append(pool.submit(make, step + len(waiting)))
                yield waiting.popleft().result()
                step += 1
        finally:
            for future in waiting:
                future.cancel()


def plain_batches(data: FaceData, rows: np.ndarray, options: BatchOptions) -> Iterator[Batch]:
    """Each of these samples once, in order, unaltered, with its neutral; the last batch may be smaller."""
    for start in range(0, len(rows), options.batch):
        part = rows[start : start + options.batch]
        plain = replace(options, batch=len(part), neutral_unknown=0.0, augment=None, rank=0, world=1)
        yield Batches(data, part, plain, 0).gather(part, np.zeros(len(part), bool), None, slice(None))


def default_workers() -> int:
    """Default number of threads that make batches: a quarter of the cores, at least one."""
    return max(1, (os.cpu_count() or 1) // 4)

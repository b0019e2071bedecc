"""Frames as an analyzer reads them from any source: with the time that each took, and how many may wait."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Iterable, Iterator, Optional, Union

import numpy as np

from .sources import Frame, Source, open_source

# Between two stages of a stream. Eight small frames even out that some are searched whole; large ones are few.
_MOST_WAITING, _WAITING_BYTES = 8, 16 << 20


@dataclass(frozen=True)
class ReadFrame:
    """A frame of a source, and the seconds that reading it took."""

    frame: Frame
    read_s: float


def open_any(source: Union[str, os.PathLike[str], int, Source, Iterable[np.ndarray]]) -> Source:
    """The source that an argument of `Analyzer.stream` names or is."""
    if isinstance(source, Source):
        return source
    if isinstance(source, int):
        return open_source(f"camera:{source}")
    if isinstance(source, (str, os.PathLike)):
        return open_source(os.fspath(source))
    return Source((Frame("", number, 0.0, image) for number, image in enumerate(source)), True, 0.0, 0)


def read_frames(frames: Iterator[Frame]) -> Iterator[ReadFrame]:
    """Frames with the time that reading them took."""
    try:
        while True:
            started = time.perf_counter()
            frame = next(frames, None)
            if frame is None:
                return
            yield ReadFrame(frame, time.perf_counter() - started)
    finally:
        close = getattr(frames, "close", None)
        if close is not None:
            close()


def rejoined(first: ReadFrame, reads: Iterator[ReadFrame]) -> Iterator[ReadFrame]:
    """A frame that was taken from an iterator, and the rest of it."""
    yield first
    yield from reads


def waiting_frames(image_bgr: Optional[np.ndarray]) -> int:
    """How many frames of this size may wait between two stages of a stream."""
    size = _WAITING_BYTES if image_bgr is None else image_bgr.nbytes
    return max(1, min(_MOST_WAITING, _WAITING_BYTES // size))

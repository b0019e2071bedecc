"""Frames per second from end to end on a clip: decoding, finding faces, and action units, as an application runs it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeau.runtime.analyzer import Analyzer
from edgeau.runtime.choose import load
from edgeau.runtime.errors import InputError

ROUNDS = 6


@dataclass(frozen=True)
class ClipSpeed:
    """The speed of `Analyzer.stream` on a clip.

    Attributes:
        clip: name of the file; ``frames`` of ``width`` by ``height`` pixels.
        package, variant, backend, detector: what ran.
        frames_per_s: of the whole clip, by round.
    """

    clip: str
    frames: int
    width: int
    height: int
    package: str
    variant: str
    backend: str
    detector: str
    frames_per_s: tuple[float, ...]


def measure_clip(
    package: str | Path, clip: Path, rounds: int = ROUNDS, progress: Callable[[str], None] = lambda _: None
) -> ClipSpeed:
    """Stream a whole clip once untimed, then ``rounds`` times.

    Raises:
        InputError: not a video, or nothing that can be read.
        EdgeauError: the package doesn't run here.
    """
    if not clip.is_file():
        raise InputError(f"clip {clip}", got="no such file", expected="a video")
    with load(package) as analyzer:
        progress(f"clip {clip.name}, untimed")
        frames, width, height = _stream(analyzer, clip)
        speeds = []
        for number in range(1, rounds + 1):
            progress(f"clip {clip.name}, round {number}")
            start = time.perf_counter()
            _stream(analyzer, clip)
            speeds.append(frames / (time.perf_counter() - start))
        return ClipSpeed(
            clip=clip.name,
            frames=frames,
            width=width,
            height=height,
            package=analyzer.manifest.name,
            variant=analyzer.choice.variant,
            backend=analyzer.choice.backend,
            detector=type(analyzer.detector).__name__,
            frames_per_s=tuple(speeds),
        )


def _stream(analyzer: Analyzer, clip: Path) -> tuple[int, int, int]:
    """Analyse all frames. Returns their number, width and height."""
    count = width = height = 0
    for frame, faces in analyzer.stream(clip):
        if frame.image_bgr is None or faces.error:
            raise InputError(f"clip {clip}", got=faces.error or "no image", expected="frames that can be read")
        count += 1
        height, width = frame.image_bgr.shape[:2]
    if count < 2:
        raise InputError(f"clip {clip}", got=f"frames: {count}", expected="a video of several frames")
    return count, width, height

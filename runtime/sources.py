"""What ``edgeau run`` reads: an image, a folder of images, a video, a camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import numpy as np

from .crop_source import IMAGE_SUFFIXES
from .errors import InputError
from .images import read_image
from .video import VIDEO_SUFFIXES, VideoSource


@dataclass(frozen=True)
class Frame:
    """One picture to analyse.

    Attributes:
        source: file name or camera.
        number, time_s: place in a video; the file's number in a folder.
        image_bgr: uint8 [H, W, 3].
    """

    source: str
    number: int
    time_s: float
    image_bgr: np.ndarray


@dataclass(frozen=True)
class Source:
    """Frames and what is known of them.

    Attributes:
        frames: to be read once.
        moving: True for videos and cameras, where faces are followed; False for stills.
        fps, count: 0 where unknown.
    """

    frames: Iterator[Frame]
    moving: bool
    fps: float
    count: int


def open_source(text: str) -> Source:
    """Open an image, a folder of images, a video, or ``camera:0``. Raises InputError for anything else."""
    if text.startswith("camera:"):
        return _camera(text)
    path = Path(text)
    if path.is_dir():
        return _folder(path)
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        image = read_image(path)
        return Source(iter([Frame(text, 0, 0.0, image)]), False, 0.0, 1)
    if not path.exists():
        raise InputError(f"source {text}", got="no such file", expected="an image, a folder, a video, or camera:0")
    if suffix in VIDEO_SUFFIXES:
        return _video(text)
    raise InputError(
        f"source {text}",
        got=f"suffix {suffix or 'none'}",
        expected="an image (" + " ".join(IMAGE_SUFFIXES) + ") or a video (" + " ".join(VIDEO_SUFFIXES) + ")",
    )


def _folder(path: Path) -> Source:
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise InputError(
            f"folder {path}", got="no images in it", expected="files ending in " + " ".join(IMAGE_SUFFIXES)
        )
    frames = (Frame(str(file), number, 0.0, read_image(file)) for number, file in enumerate(files))
    return Source(frames, False, 0.0, len(files))


def _video(text: str) -> Source:
    video = VideoSource(text)
    return Source(_frames(video, text), True, video.fps, video.frame_count)


def _camera(text: str) -> Source:
    number = text.partition(":")[2]
    if not number.isdigit():
        raise InputError(f"source {text}", expected="camera:0 or another number")
    video = VideoSource(int(number))
    return Source(_frames(video, text), True, video.fps, 0)


def _frames(video: VideoSource, name: str) -> Iterator[Frame]:
    try:
        for number, time_s, image in video:
            yield Frame(name, number, time_s, image)
    finally:
        video.close()

"""What ``edgeau run`` reads: images, videos, cameras, network streams, GStreamer pipelines."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Optional, Union
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from .crop_source import IMAGE_SUFFIXES
from .errors import InputError
from .gstreamer import (
    completed,
    hardware_pipeline,
    has_hardware_decoder,
    is_finite,
    is_pipeline,
    parse_csi,
    require_csi,
    require_gstreamer,
)
from .images import read_image
from .live import LiveSource
from .video import VIDEO_SUFFIXES, Capture, VideoSource, frame_count, frames_per_second, open_capture, open_video

STREAMS = ("rtsp", "rtsps", "http", "https")
KINDS = "an image, a folder, a video, camera:0, csi://0, rtsp://HOST/PATH, http://HOST/PATH or a GStreamer pipeline"


@dataclass(frozen=True)
class Frame:
    """One image to analyse.

    Attributes:
        source: file name, camera or address, without a password.
        number, time_s: position in a video; the file's index in a folder. Numbers of a camera or stream have gaps where
            frames were skipped.
        image_bgr: uint8 [H, W, 3]; None if the file can't be read.
        error: why it can't, in one line.
    """

    source: str
    number: int
    time_s: float
    image_bgr: Optional[np.ndarray]
    error: Optional[str] = None


@dataclass(frozen=True)
class Source:
    """Frames and their properties.

    Attributes:
        frames: an iterator, which can be read once.
        moving: True for videos and cameras, where faces are tracked; False for stills.
        fps, count: 0 if unknown.
        live: True for cameras and streams, which yield only the newest frame.
    """

    frames: Iterator[Frame]
    moving: bool
    fps: float
    count: int
    live: bool = False


def open_source(text: str) -> Source:
    """Open a source by its text.

    Args:
        text: an image, a folder of images, a video, ``camera:0``, ``csi://0`` (a Jetson's camera port, perhaps with
            ``?width=1920&height=1080&fps=30&flip=2``), an ``rtsp://`` or ``http(s)://`` address, a GStreamer pipeline.

    Raises:
        InputError: anything else, or it can't be opened.
    """
    scheme = text.partition("://")[0]
    if text.startswith("camera:"):
        return _camera(text)
    if scheme == "csi":
        return _csi(text)
    if is_pipeline(text):
        return _pipeline(text)
    if scheme in STREAMS:
        return _stream(text)
    path = Path(text)
    if path.is_dir():
        return _folder(path)
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        image = read_image(path)
        return Source(iter([Frame(text, 0, 0.0, image)]), False, 0.0, 1)
    if not path.exists():
        raise InputError(f"source {text}", got="no such file", expected=KINDS)
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
    return Source((_picture(file, number) for number, file in enumerate(files)), False, 0.0, len(files))


def _picture(file: Path, number: int) -> Frame:
    try:
        return Frame(str(file), number, 0.0, read_image(file))
    except InputError as error:
        return Frame(str(file), number, 0.0, None, str(error))


def _video(text: str) -> Source:
    video = open_video(text)
    return Source(_frames(video, text), True, video.fps, video.frame_count)


def _camera(text: str) -> Source:
    number = text.partition(":")[2]
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        raise InputError(f"source {text}", expected="camera:0 or another number")

    def connect() -> Capture:
        return open_capture(int(number), f"camera {number}", hint="check that it is connected and free")

    return _live(connect(), text, connect)


def _csi(text: str) -> Source:
    camera = parse_csi(text)
    require_csi(text)
    hint = "check the cable, and that no other program has it: sudo systemctl restart nvargus-daemon"

    def connect() -> Capture:
        return open_capture(camera.pipeline(), text, gstreamer=True, hint=hint)

    return _live(connect(), text, connect)


def _pipeline(text: str) -> Source:
    require_gstreamer(text)
    capture = open_capture(completed(text), text, gstreamer=True, hint="gst-launch-1.0 says what is wrong with it")
    if is_finite(text):
        video = VideoSource(capture, text)
        return Source(_frames(video, text), True, video.fps, 0)
    # A pipeline that ends is meant to, for example by num-buffers.
    return _live(capture, text)


def _stream(url: str) -> Source:
    name = without_password(url)

    def connect() -> Capture:
        if has_hardware_decoder():
            with contextlib.suppress(InputError):  # the hardware lacks the codec
                return open_capture(hardware_pipeline(url), name, gstreamer=True)
        return open_capture(url, name, hint="check the address: ffplay or gst-play-1.0 should show it")

    capture = connect()
    if frame_count(capture) > 0:  # a file at a URL
        video = VideoSource(capture, name)
        return Source(_frames(video, name), True, video.fps, video.frame_count)
    return _live(capture, name, connect)


def without_password(url: str) -> str:
    """A URL that is safe to show in messages and results: ``rtsp://user:secret@host/`` becomes ``rtsp://***@host/``."""
    parts = urlsplit(url)
    account, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"***@{host}")) if at and account else url


def _live(capture: Capture, name: str, connect: Optional[Callable[[], Capture]] = None) -> Source:
    frames = _frames(LiveSource(capture, name, connect), name)
    return Source(frames, True, frames_per_second(capture), 0, live=True)


def _frames(video: Union[VideoSource, LiveSource], name: str) -> Iterator[Frame]:
    try:
        for number, time_s, image in video:
            yield Frame(name, number, time_s, image)
    finally:
        video.close()

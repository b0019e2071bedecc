"""What ``edgeau run`` reads: images, folders, videos, cameras, network streams, GStreamer pipelines."""

from __future__ import annotations

import contextlib
import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence, Tuple, Union
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
KINDS = (
    "an image, a folder, a video, a pattern such as 'clips/*.mp4', camera:0, csi://0, rtsp://HOST/PATH, "
    "http://HOST/PATH or a GStreamer pipeline"
)


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
        name: file, folder, camera or address, without a password.
        files: the files of stills, in order; empty for anything else.
    """

    frames: Iterator[Frame]
    moving: bool
    fps: float
    count: int
    live: bool = False
    name: str = ""
    files: Tuple[Path, ...] = ()


@dataclass(frozen=True)
class Unopened:
    """A source that is there, and is opened when its turn comes.

    Attributes:
        text: as ``open_source`` takes it; the first file for pictures.
        pictures: image files that form one source; empty for anything else.
    """

    text: str
    pictures: Tuple[Path, ...] = ()

    def open(self) -> Source:
        """Open it. Raises InputError."""
        return _pictures(self.pictures, self.text) if len(self.pictures) > 1 else open_source(self.text)


def find_sources(texts: Sequence[str]) -> List[Unopened]:
    """The sources that a command line names, in order, none opened yet.

    Args:
        texts: files, cameras, addresses and pipelines; folders, whose images and videos are found in their subfolders
            too; and patterns such as ``clips/*.mp4`` or ``photos/**/*.jpg``. A number is a camera unless a file has
            that name. Images that follow one another form one source.

    Raises:
        InputError: a file doesn't exist or has another suffix, a folder or pattern has no images or videos, or there is
            a camera, stream or pipeline among several sources.
    """
    files = [file for text in texts for file in _expanded(text)]
    live = next((text for text in files if isinstance(text, str)), None)
    if live is not None and len(files) > 1:
        name = without_password(live)
        raise InputError(f"source {name}", got="several sources", expected="a camera, stream or pipeline by itself")
    sources: List[Unopened] = []
    for file in files:
        if isinstance(file, str) or file.suffix.lower() in VIDEO_SUFFIXES:
            sources.append(Unopened(str(file)))
        elif sources and sources[-1].pictures:
            sources[-1] = Unopened(sources[-1].text, (*sources[-1].pictures, file))
        else:
            sources.append(Unopened(str(file), (file,)))
    return sources


def _expanded(text: str) -> List[Union[str, Path]]:
    """The files that a text names; the text itself if it names no file."""
    if _is_camera_number(text):
        return [f"camera:{text}"]
    if text.startswith("camera:") or is_pipeline(text) or text.partition("://")[0] in ("csi", *STREAMS):
        return [text]
    path = Path(text)
    if path.is_dir():
        return list(_files_below(path))
    if not path.exists() and glob.has_magic(text):
        matches = [Path(name) for name in sorted(glob.glob(text, recursive=True))]
        usable = [path for path in matches if path.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)]
        if not usable:
            got = f"{len(matches)} files, none of them an image or a video" if matches else "no file of that name"
            raise InputError(f"pattern {text}", got=got, expected="images or videos")
        return list(usable)
    _check_file(text)
    return [path]


def _is_folder_or_pattern(text: str) -> bool:
    path = Path(text)
    return path.is_dir() or (glob.has_magic(text) and not path.exists())


def _is_camera_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and not Path(text).exists()


def _check_file(text: str) -> None:
    suffix = Path(text).suffix.lower()
    if not Path(text).exists():
        raise InputError(f"source {text}", got="no such file", expected=KINDS)
    if suffix not in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES):
        expected = "an image (" + " ".join(IMAGE_SUFFIXES) + ") or a video (" + " ".join(VIDEO_SUFFIXES) + ")"
        raise InputError(f"source {text}", got=f"suffix {suffix or 'none'}", expected=expected)


def _files_below(folder: Path) -> List[Path]:
    """Images and videos in a folder and its subfolders, sorted, each folder's own before its subfolders'.

    Hidden files and folders are left out, and links to folders are not followed.
    """
    files: List[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        own = sorted(name for name in names if not name.startswith("."))
        files += [Path(place, name) for name in own if Path(name).suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)]
    if not files:
        expected = "files ending in " + " ".join((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))
        raise InputError(f"folder {folder}", got="no images or videos in it", expected=expected)
    return files


def open_source(text: str) -> Source:
    """Open a source by its text.

    Args:
        text: an image, a folder of images, a video, ``camera:0`` or ``0``, ``csi://0`` (a Jetson's camera port, perhaps
            with ``?width=1920&height=1080&fps=30&flip=2``), an ``rtsp://`` or ``http(s)://`` address, a GStreamer
            pipeline.

    Raises:
        InputError: anything else, it can't be opened, or it is a folder or pattern with videos among several files.
    """
    scheme = text.partition("://")[0]
    if _is_camera_number(text):
        return _camera(f"camera:{text}")
    if text.startswith("camera:"):
        return _camera(text)
    if scheme == "csi":
        return _csi(text)
    if is_pipeline(text):
        return _pipeline(text)
    if scheme in STREAMS:
        return _stream(text)
    if not _is_folder_or_pattern(text):
        return _file(text)
    sources = find_sources([text])
    if len(sources) > 1:
        got, hint = f"{len(sources)} sources", "find_sources gives them one by one"
        raise InputError(f"source {text}", got=got, expected="images only, or one video", hint=hint)
    pictures = sources[0].pictures
    return _pictures(pictures, text) if pictures else sources[0].open()


def _file(text: str) -> Source:
    path = Path(text)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        image = read_image(path)
        return Source(iter([Frame(text, 0, 0.0, image)]), False, 0.0, 1, name=text, files=(path,))
    _check_file(text)
    video = open_video(text)
    return Source(_frames(video, text), True, video.fps, video.frame_count, name=text)


def _pictures(files: Sequence[Path], name: str) -> Source:
    frames = (_picture(file, number) for number, file in enumerate(files))
    return Source(frames, False, 0.0, len(files), name=name, files=tuple(files))


def _picture(file: Path, number: int) -> Frame:
    try:
        return Frame(str(file), number, 0.0, read_image(file))
    except InputError as error:
        return Frame(str(file), number, 0.0, None, str(error))


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
        return Source(_frames(video, text), True, video.fps, 0, name=text)
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
        return Source(_frames(video, name), True, video.fps, video.frame_count, name=name)
    return _live(capture, name, connect)


def without_password(url: str) -> str:
    """A URL that is safe to show in messages and results: ``rtsp://user:secret@host/`` becomes ``rtsp://***@host/``."""
    parts = urlsplit(url)
    account, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"***@{host}")) if at and account else url


def _live(capture: Capture, name: str, connect: Optional[Callable[[], Capture]] = None) -> Source:
    frames = _frames(LiveSource(capture, name, connect), name)
    return Source(frames, True, frames_per_second(capture), 0, live=True, name=name)


def _frames(video: Union[VideoSource, LiveSource], name: str) -> Iterator[Frame]:
    try:
        for number, time_s, image in video:
            yield Frame(name, number, time_s, image)
    finally:
        video.close()

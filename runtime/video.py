"""Read videos and write annotated ones, with OpenCV."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Iterator, List, Optional, Protocol, Tuple, Type, Union

import numpy as np

from .errors import InputError
from .files import atomic_path, utf8_path
from .opencv import quiet, video_backends

STREAM_TIMEOUT_MS = 5000
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
_FRAMES_PER_CHECK, _RESERVE_BYTES = 25, 4 << 20


class Capture(Protocol):
    """The part of ``cv2.VideoCapture`` that is used."""

    def read(self) -> Tuple[bool, np.ndarray]:
        """Whether there was a frame, and the frame, uint8 [H, W, 3] BGR."""
        ...

    def get(self, number: int) -> float:
        """A property such as ``cv2.CAP_PROP_FPS``; 0 or less if unknown."""
        ...

    def release(self) -> None:
        """Release the file, camera or connection."""
        ...


def open_capture(source: Union[str, int], name: str, *, gstreamer: bool = False, hint: Optional[str] = None) -> Capture:
    """Open a source with OpenCV.

    Args:
        source: a path, an address, a camera's number, or a pipeline.
        name: for messages.
        gstreamer: ``source`` is a GStreamer pipeline.
        hint: what to do if it can't be opened.

    Raises:
        InputError: it can't be opened.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    arguments: List[Any] = [source]
    if gstreamer:
        arguments.append(cv2.CAP_GSTREAMER)
    elif "://" in str(source) and "FFMPEG" in video_backends() and hasattr(cv2, "CAP_PROP_OPEN_TIMEOUT_MSEC"):
        # The default is to wait 30 s for a camera that does not answer.
        limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
        arguments += [cv2.CAP_FFMPEG, [value for limit in limits for value in (limit, STREAM_TIMEOUT_MS)]]
    with quiet():
        capture: Capture = cv2.VideoCapture(*arguments)
        opened = capture.isOpened()  # type: ignore[attr-defined]
    if not opened:
        raise InputError(name, got="nothing that OpenCV can open", expected="a whole video or a camera", hint=hint)
    return capture


def open_video(path: str) -> VideoSource:
    """Open a video file. Raises InputError if it can't be opened."""
    if not Path(path).is_file():
        raise InputError(f"video {path}", got="no such file", expected="a video file")
    return VideoSource(open_capture(utf8_path(path), path), path)


class VideoSource:
    """A video, frame by frame.

    Args:
        capture: from ``open_capture``.
        name: for messages.

    Attributes:
        fps: frames per second; 0 if unknown.
        frame_count: according to the file; 0 if unknown.
    """

    def __init__(self, capture: Capture, name: str) -> None:
        self.name, self._capture = name, capture
        self.fps = frames_per_second(capture)
        self.frame_count = frame_count(capture)

    def __iter__(self) -> Iterator[Tuple[int, float, np.ndarray]]:
        """Yield (frame number from 0, time_s, uint8 [H, W, 3] BGR). Raises InputError if no frame can be decoded."""
        number = 0
        while True:
            ok, frame = self._capture.read()
            if not ok:
                break
            yield number, (number / self.fps if self.fps else 0.0), frame
            number += 1
        if number == 0:
            raise InputError(self.name, got="no frame that decodes", expected="a whole video")

    def close(self) -> None:
        """Release the file."""
        self._capture.release()


def frames_per_second(capture: Capture) -> float:
    """Frame rate according to the source; 0 if unknown."""
    import cv2

    return max(0.0, float(capture.get(cv2.CAP_PROP_FPS) or 0))


def frame_count(capture: Capture) -> int:
    """Frame count according to the file; 0 for cameras and streams, which have no end."""
    import cv2

    return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT) or 0))


class VideoSink:
    """An annotated video. Use it with ``with``: at the end, even if interrupted, the video is closed and renamed to its
    final name, so that the frames written so far can be played.

    Args:
        path: ``.mp4`` (MPEG-4) or ``.avi`` (Motion JPEG).
        fps: frames per second.

    Raises:
        InputError: another suffix, or a name that OpenCV can't take.
        OSError: at the end, if the disk was too full for all frames; an older video is left unchanged.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() not in (".mp4", ".avi"):
            raise InputError(f"annotated video {path}", got=path.suffix or "no suffix", expected=".mp4 or .avi")
        # What a damaged file says of its rate may be anything.
        self._path, self._fps = path, fps if 1 <= fps <= 1000 else 25.0
        self._atomic = atomic_path(path)
        self._temporary = self._atomic.__enter__()
        self._writer: Any = None
        self._frames = 0

    def write(self, frame_bgr: np.ndarray) -> None:
        """Append a uint8 [H, W, 3] BGR frame; the first sets the size.

        Raises:
            InputError: it can't be encoded.
            OSError: the disk is nearly full.
        """
        import cv2

        if self._writer is None:
            code = "mp4v" if self._path.suffix.lower() == ".mp4" else "MJPG"
            size = (frame_bgr.shape[1], frame_bgr.shape[0])
            name = utf8_path(self._temporary)
            self._writer = cv2.VideoWriter(name, cv2.VideoWriter_fourcc(*code), self._fps, size)
            if not self._writer.isOpened():
                raise InputError(
                    f"annotated video {self._path}", got="no encoder or no room", expected="a writable file"
                )
        # OpenCV does not report a full disk. Closing the video in time keeps the frames written so far.
        if self._frames % _FRAMES_PER_CHECK == 0 and _free_bytes(self._temporary) < _RESERVE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._writer.write(frame_bgr)
        self._frames += 1

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._writer is not None:
            self._writer.release()
        if self._frames == 0:
            self._atomic.__exit__(kind or InputError, value or InputError("video"), trace)
            return
        try:
            self._check()
        except OSError as error:
            self._atomic.__exit__(type(error), error, error.__traceback__)
            raise
        self._atomic.__exit__(None, None, None)

    def _check(self) -> None:
        """Raise OSError if the video can't be opened or lacks frames, as after the disk became full."""
        import cv2

        with quiet():
            capture = cv2.VideoCapture(str(self._temporary))
        try:
            count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
            capture.set(cv2.CAP_PROP_POS_FRAMES, self._frames - 1)
            whole = count >= self._frames and capture.read()[0]
        finally:
            capture.release()
        if not whole:
            text = f"only {count} of {self._frames} frames could be written"
            raise OSError(errno.EIO, text, str(self._path))


def _free_bytes(file: Path) -> int:
    state = os.statvfs(file)
    return state.f_bavail * state.f_frsize

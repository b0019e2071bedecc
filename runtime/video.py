"""Videos and cameras in, annotated videos out, through OpenCV."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Iterator, Optional, Tuple, Type, Union

import numpy as np

from .errors import InputError
from .files import atomic_path
from .opencv import quiet

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")


class VideoSource:
    """A video file or a camera, frame by frame.

    Args:
        source: a path, or a camera's number.

    Attributes:
        fps: frames per second; 0 where unknown.
        frame_count: as the file says; 0 for cameras and where unknown.

    Raises:
        InputError: it can't be opened, or has no frame.
    """

    def __init__(self, source: Union[str, int]) -> None:
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        import cv2

        self.name = f"camera {source}" if isinstance(source, int) else str(source)
        if isinstance(source, str) and not Path(source).is_file():
            raise InputError(f"video {source}", got="no such file", expected="a video file")
        with quiet():
            self._capture = cv2.VideoCapture(source)
        if not self._capture.isOpened():
            hint = "check that it is connected and free" if isinstance(source, int) else None
            raise InputError(
                self.name, got="nothing that OpenCV can open", expected="a whole video or a camera", hint=hint
            )
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS) or 0)
        self.frame_count = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT) or 0))

    def __iter__(self) -> Iterator[Tuple[int, float, np.ndarray]]:
        """Yield (frame number from 0, time_s, uint8 [H, W, 3] BGR). Raises InputError where not one frame decodes."""
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
        """Release the file or camera."""
        self._capture.release()


class VideoSink:
    """An annotated video that takes its name when it is complete. Use it with ``with``.

    Args:
        path: ``.mp4`` (MPEG-4) or ``.avi`` (Motion JPEG).
        fps: frames per second.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() not in (".mp4", ".avi"):
            raise InputError(f"annotated video {path}", got=path.suffix or "no suffix", expected=".mp4 or .avi")
        self._path, self._fps = path, fps or 25.0
        self._atomic = atomic_path(path)
        self._temporary = self._atomic.__enter__()
        self._writer: Any = None

    def write(self, frame_bgr: np.ndarray) -> None:
        """Append a uint8 [H, W, 3] BGR frame; the first sets the size. Raises InputError where it can't be encoded."""
        import cv2

        if self._writer is None:
            code = "mp4v" if self._path.suffix.lower() == ".mp4" else "MJPG"
            size = (frame_bgr.shape[1], frame_bgr.shape[0])
            self._writer = cv2.VideoWriter(str(self._temporary), cv2.VideoWriter_fourcc(*code), self._fps, size)
            if not self._writer.isOpened():
                raise InputError(
                    f"annotated video {self._path}", got="no encoder or no room", expected="a writable file"
                )
        self._writer.write(frame_bgr)

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._writer is not None:
            self._writer.release()
        self._atomic.__exit__(kind, value, trace)

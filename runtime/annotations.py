"""Write the annotated images and videos of a run."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Callable, Iterator, Optional, Sequence, Set

import numpy as np

from .draw import Annotator, annotate
from .errors import InputError
from .files import write_bytes
from .results import Face
from .sources import Frame, Source
from .steady import Steady
from .video import VideoSink

Draw = Callable[[Frame, Sequence[Face]], None]


@contextlib.contextmanager
def open_annotations(target: Optional[Path], source: Source, aus: Sequence[str]) -> Iterator[Draw]:
    """Yield a function that draws a frame's faces into ``target``: a video, an image, or a folder of images.

    Raises:
        InputError: a suffix that OpenCV can't write.
        OSError: the disk is full.
    """
    if target is None:
        yield lambda _frame, _faces: None
    elif source.moving:
        with VideoSink(target, source.fps) as sink:
            yield _FrameWriter(sink, aus)
    else:
        folder = source.count > 1 or target.is_dir() or not target.suffix
        encode_image(np.zeros((8, 8, 3), np.uint8), ".png" if folder else target.suffix)
        yield _PictureWriter(target, folder, aus)


class _FrameWriter:
    def __init__(self, sink: VideoSink, aus: Sequence[str]) -> None:
        self._sink, self._annotator, self._steady = sink, Annotator(aus, moving=True), Steady()

    def __call__(self, frame: Frame, faces: Sequence[Face]) -> None:
        self._sink.write(self._annotator.draw(_image(frame), self._steady(faces, frame.time_s)))


class _PictureWriter:
    def __init__(self, target: Path, folder: bool, aus: Sequence[str]) -> None:
        self._target, self._folder, self._aus = target, folder, aus
        self._names: Set[str] = set()

    def __call__(self, frame: Frame, faces: Sequence[Face]) -> None:
        path = self._target / self._name(Path(frame.source)) if self._folder else self._target
        write_bytes(path, encode_image(annotate(_image(frame), faces, self._aus), path.suffix))

    def _name(self, source: Path) -> str:
        """``a-aus.png`` for ``a.jpg``; ``a.png-aus.png`` for an ``a.png`` beside it."""
        name = source.stem + "-aus.png"
        if name in self._names:
            name = source.name + "-aus.png"
        self._names.add(name)
        return name


def encode_image(image_bgr: np.ndarray, suffix: str) -> bytes:
    """The bytes of an image file. Raises InputError if OpenCV has no encoder for the suffix."""
    import cv2

    try:
        done, data = cv2.imencode(suffix, image_bgr)
    except cv2.error:
        done = False
    if not done:
        raise InputError("annotated picture", got=f"suffix {suffix}", expected=".png or .jpg")
    return data.tobytes()


def _image(frame: Frame) -> np.ndarray:
    assert frame.image_bgr is not None
    return frame.image_bgr

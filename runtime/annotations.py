"""Write the annotated images and videos of a run."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Callable, Dict, Iterator, Optional, Sequence

import numpy as np

from .draw import Annotator, annotate
from .errors import InputError
from .face import Face
from .files import write_bytes
from .sources import Frame, Source
from .steady import Steady
from .video import VideoSink

View = Callable[[Frame, Sequence[Face]], None]


@contextlib.contextmanager
def open_annotations(
    target: Path, source: Source, aus: Sequence[str], names: Optional[Dict[str, str]] = None
) -> Iterator[View]:
    """Yield a function that draws a frame's faces into ``target``: a video, an image, or a folder of these.

    Args:
        target: what to write.
        source: what is analysed.
        aus: the AUs to show.
        names: from ``output_names``, if the target is a folder for several sources.

    Raises:
        InputError: a suffix that OpenCV can't write.
        OSError: the disk is full.
    """
    if source.moving:
        path = target if names is None else target / f"{names[source.name]}-aus.mp4"
        with VideoSink(path, source.fps) as sink:
            yield _FrameWriter(sink, aus)
    else:
        folder = names is not None or len(source.files) > 1 or target.is_dir() or not target.suffix
        encode_image(np.zeros((8, 8, 3), np.uint8), ".png" if folder else target.suffix)
        own_names = output_names([str(file) for file in source.files]) if names is None else names
        yield _PictureWriter(target, own_names if folder else None, aus)


def output_names(files: Sequence[str]) -> Dict[str, str]:
    """A name without suffix for what is written for each file: its path below the folder that all files share.

    Where two files differ only in their suffix, the later one keeps it: ``a`` for ``a.jpg``, then ``a.png``.
    """
    paths = [os.path.abspath(file) for file in files]
    shared = os.path.commonpath([os.path.dirname(path) for path in paths])
    names: Dict[str, str] = {}
    for file, path in zip(files, paths):
        whole = os.path.relpath(path, shared)
        stem = os.path.splitext(whole)[0]
        names[file] = whole if stem in names.values() else stem
    return names


class _FrameWriter:
    def __init__(self, sink: VideoSink, aus: Sequence[str]) -> None:
        self._sink, self._annotator, self._steady = sink, Annotator(aus, moving=True), Steady()

    def __call__(self, frame: Frame, faces: Sequence[Face]) -> None:
        self._sink.write(self._annotator.draw(_image(frame), self._steady(faces, frame.time_s)))


class _PictureWriter:
    def __init__(self, target: Path, names: Optional[Dict[str, str]], aus: Sequence[str]) -> None:
        self._target, self._names, self._aus = target, names, aus

    def __call__(self, frame: Frame, faces: Sequence[Face]) -> None:
        path = self._target if self._names is None else self._target / f"{self._names[frame.source]}-aus.png"
        write_bytes(path, encode_image(annotate(_image(frame), faces, self._aus), path.suffix))


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

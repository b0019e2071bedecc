"""Labelled frames of one person as a data set stores them: pictures or a video, before faces are found and cropped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from .errors import InputError
from .files import utf8_path
from .images import read_image
from .video import Capture, frame_count, open_capture


@dataclass(frozen=True)
class Recording:
    """Labelled frames of one person: a video, a sequence, or stills that share a neutral.

    Attributes:
        subject: the person; "" if unknown. The same name in two data sets means the same person.
        name: of the recording, unique in the data set.
        frames: pictures by frame number, or one video.
        numbers: labelled frame numbers, ascending.
        aus: column names of ``intensity``: action units, or classes of other names.
        intensity: float32 [T, A], FACS 0..5, NaN where not coded.
        neutral_rows: rows known to be neutral; None to take the row with the lowest intensities.
        expressions: per row, "" where unknown; empty if no row has one.
        first_number: number of the first frame of a video.
        may_be_turned: whether the video may be turned by 90 degrees, as some clips of MMI are.
        labels: the file that the labels come from, for messages.
        remarks, defects: what its reader noticed: good to know, and what would make figures wrong.
    """

    subject: str
    name: str
    frames: Union[Mapping[int, Path], Path]
    numbers: Tuple[int, ...]
    aus: Tuple[str, ...]
    intensity: np.ndarray
    neutral_rows: Optional[Tuple[int, ...]] = None
    expressions: Tuple[str, ...] = ()
    first_number: int = 1
    may_be_turned: bool = False
    labels: Optional[Path] = None
    remarks: Tuple[str, ...] = ()
    defects: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.intensity.shape != (len(self.numbers), len(self.aus)):
            got = f"labels of shape {list(self.intensity.shape)}"
            raise InputError(self.title, got=got, expected=f"{len(self.numbers)} frames x {len(self.aus)} columns")
        known = self.intensity[~np.isnan(self.intensity)]
        if known.size and not (known.min() >= 0 and known.max() <= 5):
            raise InputError(self.title, got=f"a label {known.min():g} or {known.max():g}", expected="0 to 5")

    @property
    def title(self) -> str:
        """How messages name the recording: with the file of its labels."""
        return f"recording {self.name}" + (f" ({self.labels})" if self.labels else "")

    def images(self) -> Iterator[Tuple[int, Optional[np.ndarray]]]:
        """Yield the row of ``intensity`` and the image (uint8 [H, W, 3], BGR) of each labelled frame that exists.

        The image is None where it can't be decoded.
        """
        if isinstance(self.frames, Path):
            yield from self._video_images(self.frames)
            return
        for row, number in enumerate(self.numbers):
            if number in self.frames:
                yield row, _decoded(self.frames[number])

    def missing(self) -> Tuple[int, ...]:
        """Labelled frame numbers without an image. Videos are not decoded: their headers say how long they are."""
        if not isinstance(self.frames, Path):
            return tuple(number for number in self.numbers if number not in self.frames)
        count = frames_in(self.frames)
        return tuple(number for number in self.numbers if not 0 <= number - self.first_number < count)

    def _video_images(self, file: Path) -> Iterator[Tuple[int, Optional[np.ndarray]]]:
        rows = {number: row for row, number in enumerate(self.numbers)}
        last = max(self.numbers, default=self.first_number - 1)
        number = self.first_number
        for image in _video_frames(file):
            if number in rows:
                yield rows[number], image
            number += 1
            if number > last:
                return
        yield from ((row, None) for at, row in rows.items() if at >= number)


def _decoded(file: Path) -> Optional[np.ndarray]:
    try:
        return read_image(file)
    except InputError:
        return None


def _video_frames(file: Path) -> Iterator[np.ndarray]:
    """Frames of a video, uint8 [H, W, 3], up to the first that can't be decoded."""
    try:
        capture = _open(file)
    except InputError:
        return
    try:
        while True:
            read, image = capture.read()
            if not read:
                return
            yield image
    finally:
        capture.release()


def frames_in(file: Path) -> int:
    """Frames of a video by its header. Raises InputError if it can't be opened."""
    capture = _open(file)
    try:
        return frame_count(capture) or 0
    finally:
        capture.release()


def column_union(recordings: Sequence[Recording]) -> Tuple[str, ...]:
    """All columns of the recordings, sorted."""
    return tuple(sorted({name for recording in recordings for name in recording.aus}))


def _open(file: Path) -> Capture:
    if not file.is_file():
        raise InputError(f"video {file}", got="no such file", expected="a video")
    return open_capture(utf8_path(file), f"video {file}")

"""The files below a data set's folder, listed once, and what readers have in common."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from edgeau.runtime.errors import InputError
from edgeau.runtime.recording import Recording

IMAGES = (".jpg", ".jpeg", ".png", ".bmp")
# AU files of one recording may differ in this share of their frames, as published copies do; more is a defect.
DIFFERENT_SHARE = 0.01


@dataclass(frozen=True)
class Tree:
    """Files below a folder. A full-size data set has some 400,000; they are listed in one walk, and never opened."""

    root: Path

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Paths relative to the root, with forward slashes, sorted. Raises InputError if there is no such folder."""
        if not self.root.is_dir():
            raise InputError(f"data set {self.root}", got="no such folder", expected="the data set's folder")
        paths = []
        seen: set[tuple[int, int]] = set()
        # Links are followed, because large data sets are linked from other disks, but no folder is listed twice.
        for place, folders, names in os.walk(self.root, followlinks=True):
            state = os.stat(place)
            if (state.st_dev, state.st_ino) in seen:
                folders.clear()
                continue
            seen.add((state.st_dev, state.st_ino))
            folders[:] = sorted(name for name in folders if name != "__MACOSX")
            here = os.path.relpath(place, self.root).replace(os.sep, "/")
            # macOS adds a file ._NAME beside every NAME.
            paths += [name if here == "." else f"{here}/{name}" for name in names if not name.startswith("._")]
        return tuple(sorted(paths))

    def matching(self, pattern: str) -> dict[Path, re.Match[str]]:
        """Files whose relative path ends as the pattern says, with the match."""
        compiled = re.compile(rf"(?:.*/)?{pattern}")
        matches = ((path, compiled.fullmatch(path)) for path in self.files)
        return {self.root / path: match for path, match in matches if match}

    @cached_property
    def archives(self) -> tuple[str, ...]:
        """Archives that were not unpacked, or whose files were kept."""
        return tuple(path for path in self.files if path.lower().endswith((".zip", ".tar", ".gz", ".7z", ".rar")))

    def still_packed(self, subject: str) -> tuple[str, ...]:
        """A defect for a recording without images, if there is an archive of its subject."""
        named = [path for path in self.archives if subject in path.rpartition("/")[2]]
        return (f"unpack {named[0]}, which has its images",) if named else ()

    def labels(self, pattern: str, expected: str) -> dict[Path, re.Match[str]]:
        """Label files. Raises InputError if there are none."""
        files = self.matching(pattern)
        if not files:
            got = "none of its label files"
            hint = f"unpack {self.archives[0]} first" if self.archives else None
            raise InputError(f"data set {self.root}", got=got, expected=f"{expected} somewhere below it", hint=hint)
        return files

    def images(self, pattern: str) -> dict[tuple[str, ...], dict[int, Path]]:
        """Images by their groups in the pattern, but the last, which is the frame's number with or without zeros.

        Raises:
            InputError: two images of one frame, such as a copy with textures or with cropped faces.
        """
        by_key: dict[tuple[str, ...], dict[int, Path]] = defaultdict(dict)
        for path, match in self.matching(pattern).items():
            *key, number = match.groups()
            other = by_key[tuple(key)].setdefault(int(number), path)
            if other != path:
                raise InputError(f"image {path}", got=f"the same frame in {other}", expected="one image per frame",
                                 hint="take one of the copies away from the data set's folder")  # fmt: skip
        return by_key


def read_lines(file: Path) -> list[str]:
    """Lines of a text file. Raises InputError if it can't be read."""
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"label file {file}", got=f"unreadable ({error})", expected="a text file") from error


def intensity_lines(file: Path) -> dict[int, float]:
    """Intensities by frame number from lines such as ``17,3`` or ``017.jpg 3``; headers and comments are skipped.

    Raises:
        InputError: missing, without a label, or with a label that is no intensity.
    """
    if not file.is_file():
        raise InputError(f"label file {file}", got="no such file", expected="one file per action unit")
    labels: dict[int, float] = {}
    for number, line in enumerate(read_lines(file), start=1):
        match = re.fullmatch(r"\s*(?:\S*?)(\d+)(?:\.\w+)?[\s,;]+(\d+(?:\.\d+)?)\s*", line)
        if match is None:
            continue
        frame, value = int(match[1]), float(match[2])
        if not 0 <= value <= 5 or frame in labels:
            got = f"frame {frame} again" if frame in labels else f"intensity {match[2]}"
            raise InputError(f"{file}, line {number}", got=got, expected="one intensity from 0 to 5 per frame")
        labels[frame] = value
    if not labels:
        raise InputError(f"label file {file}", got="no line such as 17,3", expected="frame and intensity")
    return labels


@dataclass(frozen=True)
class Labels:
    """Intensities of several AUs on the frames that all of their files have.

    Attributes:
        intensity: float32 [T, A].
        remarks, defects: files that have other frames: few, and too many.
    """

    numbers: tuple[int, ...]
    intensity: np.ndarray
    remarks: tuple[str, ...]
    defects: tuple[str, ...]


def joined(files: Sequence[Path]) -> Labels:
    """The labels of one recording from one file per AU. Raises InputError, see `intensity_lines`."""
    columns = [intensity_lines(file) for file in files]
    common = set.intersection(*(set(column) for column in columns))
    numbers = tuple(sorted(common))
    remarks: list[str] = []
    defects: list[str] = []
    for file, column in zip(files, columns, strict=True):
        others = sorted(set(column) - common)
        if others:
            many = len(others) > max(1, DIFFERENT_SHARE * len(column))
            (defects if many else remarks).append(
                f"{file} labels {len(others)} frames that other files do not, such as {others[0]}"
            )
    table = np.array([[column[n] for column in columns] for n in numbers], np.float32).reshape(-1, len(files))
    return Labels(numbers, table, tuple(remarks), tuple(defects))


def not_understood(subject: str, name: str, labels: Path, error: InputError) -> Recording:
    """A recording whose labels can't be read: a defect, so that the checker names every such file and not the first."""
    return Recording(subject, name, {}, (), (), np.zeros((0, 0), np.float32), labels=labels, defects=(str(error),))


def counted_from_1(frames: Mapping[int, Path], numbers: Iterable[int]) -> dict[int, Path]:
    """Images renumbered from 1 where they are counted from 0 and the labels from 1."""
    ordered = sorted(numbers)
    shifted = bool(frames) and bool(ordered) and 0 in frames and ordered[0] == 1 and ordered[-1] not in frames
    return {number + 1: path for number, path in frames.items()} if shifted else dict(frames)

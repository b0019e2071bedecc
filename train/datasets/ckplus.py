"""CK+: 593 sequences of 123 people from rest (first frame) to a peak (last frame), which is FACS-coded.

    cohn-kanade-images/S005/001/S005_001_00000011.png
    FACS/S005/001/S005_001_00000011_facs.txt            lines of AU and intensity, in float notation
    Emotion/S005/001/S005_001_00000011_emotion.txt      327 sequences only; a missing file means no label

Layout: the data set's ReadMe. An intensity of 0 means present and not scored; it is stored as 3. AUs that the coders
did not list count as absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgeau.runtime.action_units import au_name
from edgeau.runtime.crop_set import PRESENT
from edgeau.runtime.errors import InputError
from edgeau.runtime.recording import Recording

from .data_set import DataSet
from .tree import Tree, read_lines

EMOTIONS = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
_LAST_AU = 29  # higher codes are head and eye positions


def read(tree: Tree) -> Iterator[Recording]:
    """One recording per sequence: its first frame and its peak. Subjects are named ``ckplus-S005``."""
    files = tree.labels(
        r"FACS/(S\d{3})/(\d{3})/S\d{3}_\d{3}_(\d+)_facs\.txt", "FACS/S005/001/S005_001_00000011_facs.txt"
    )
    coded = {file: _scores(file) for file in files}
    emotions = {
        match.groups(): file for file, match in tree.matching(r"Emotion/(S\d{3})/(\d{3})/.*_emotion\.txt").items()
    }
    images = tree.images(r"cohn-kanade-images/(S\d{3})/(\d{3})/\w*_(\d+)\.(?i:png|jpg|tiff?)")
    aus = tuple(sorted({au for scores in coded.values() for au in scores}))
    for file, match in files.items():
        subject, sequence = match[1], match[2]
        frames = images.get((subject, sequence), {})
        numbers: tuple[int, ...] = (min(frames, default=1), int(match[3]))
        intensity = np.zeros((2, len(aus)), np.float32)
        intensity[1] = [coded[file].get(au, 0.0) for au in aus]
        emotion = _emotion(emotions[(subject, sequence)]) if (subject, sequence) in emotions else ""
        if numbers[0] == numbers[1]:
            numbers, intensity = numbers[1:], intensity[1:]
        yield Recording(
            f"ckplus-{subject}", f"{subject}_{sequence}", frames, numbers, aus, intensity,
            neutral_rows=(0,) if len(numbers) == 2 else (), labels=file,
            expressions=("neutral" if emotion else "", emotion)[-len(numbers) :],
        )  # fmt: skip


def _scores(file: Path) -> dict[str, float]:
    scores: dict[str, float] = {}
    for line, text in enumerate(read_lines(file), start=1):
        cells = text.replace(",", " ").split()
        try:
            number, intensity = (float(cell) for cell in cells[:2]) if cells else (0.0, 0.0)
        except ValueError:
            raise InputError(f"{file}, line {line}", got=repr(text), expected="an AU and its intensity") from None
        if 0 < number <= _LAST_AU:
            scores[au_name(int(number))] = intensity or PRESENT
    return scores


def _emotion(file: Path) -> str:
    text = " ".join(read_lines(file)).strip()
    try:
        return EMOTIONS[int(float(text))]
    except (ValueError, IndexError):
        raise InputError(f"label file {file}", got=repr(text), expected="a number from 0 to 7") from None


DATA_SET = DataSet(
    word="ckplus", title="CK+", read=read, subjects=123, present_from=1.0,
    expected="FACS/S005/001/S005_001_00000011_facs.txt and cohn-kanade-images/S005/001/S005_001_00000011.png",
)  # fmt: skip

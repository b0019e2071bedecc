"""DISFA+: nine of DISFA's people, posed and spontaneous trials from rest to a peak and back, twelve AUs, intensities.

    Labels/SN001/A1_AU1_TrailNo_1/AU1.txt       lines 001.jpg 0, below up to two lines of header
    Images/SN001/A1_AU1_TrailNo_1/001.jpg

Layout: py-feat (feat/evaluation/datasets.py). "Trail" is the spelling on disk. Its AU files differ in a few frames;
those that all of them have are read. All people are in DISFA too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgeau.runtime.errors import InputError
from edgeau.runtime.recording import Recording

from .data_set import DataSet
from .disfa import AUS
from .tree import Tree, counted_from_1, joined, not_understood

_LABELS = r"Labels/(SN\d{3})/([^/]+)/AU\d+\.txt"
_IMAGES = r"Images/(SN\d{3})/([^/]+)/\D*(\d+)\.(?i:jpg|jpeg|png|bmp)"


def read(tree: Tree) -> Iterator[Recording]:
    """One recording per trial. Its neutral is a frame without any AU, else the first."""
    files = tree.labels(_LABELS, "Labels/SN001/TRIAL/AU1.txt")
    images = tree.images(_IMAGES)
    for folder, (subject, trial) in sorted({file.parent: match.groups() for file, match in files.items()}.items()):
        try:
            labels = joined([folder / f"AU{int(au[2:])}.txt" for au in AUS])
        except InputError as error:
            yield not_understood(subject, f"{subject}_{trial}", folder, error)
            continue
        calm = np.flatnonzero(labels.intensity.max(axis=1, initial=0) == 0)
        frames = counted_from_1(images.get((subject, trial), {}), labels.numbers)
        yield Recording(
            subject, f"{subject}_{trial}", frames, labels.numbers, AUS, labels.intensity,
            neutral_rows=tuple(int(row) for row in calm) or (0,), labels=folder,
            remarks=labels.remarks, defects=labels.defects,
        )  # fmt: skip


DATA_SET = DataSet(
    word="disfaplus", title="DISFA+", read=read, subjects=9, same_people="disfa", present_from=2.0,
    expected="Labels/SN001/TRIAL/AU1.txt and Images/SN001/TRIAL/001.jpg",
)  # fmt: skip

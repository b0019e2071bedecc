"""BP4D+: 140 people in ten tasks, of which T1, T6, T7 and T8 are coded; intensities of AU06, 10, 12, 14 and 17.

    2D+3D/F001/T1/0001.jpg              unpacked from 2D+3D/F001.zip; F001_T1_0001.jpg is read too
    AUCoding/AU_OCC/F001_T1.csv         presence, frames counted from 1, a part of each task
    AUCoding/AU_INT/AU06/F001_T1_AU06.csv   intensity

The layout was never seen: it is that of rPPG-Toolbox (dataset/data_loader/BP4DPlusLoader.py and
BP4DPlusBigSmallLoader.py), which reads pictures from the archives. Published copies have an entry F042 T11, which is no
task, and another number of frames than labels in F041 T7: labels without an image are left out there. Presence is what
AU_OCC says; where an intensity says otherwise, it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from edgeau.runtime.action_units import BP4D, au_name
from edgeau.runtime.errors import InputError
from edgeau.runtime.recording import Recording

from .bp4d import FLAT_IMAGES, IMAGES
from .data_set import DataSet
from .presence_table import read_column, read_presence
from .tree import Tree, not_understood

CODED_TASKS = ("T1", "T6", "T7", "T8")
_MISMATCHED = {("F041", "T7")}
_OCCURRENCE = r"AU_OCC/([FM]\d{3})_?(T\d+)\.csv"
_INTENSITY = r"AU_INT/AU(\d+)/([FM]\d{3})_?(T\d+)_AU\d+\.csv"


def read(tree: Tree) -> Iterator[Recording]:
    """The coded tasks. Subjects are named ``bp4dplus-F001``, because BP4D has other people of the same names."""
    files = tree.labels(_OCCURRENCE, "AU_OCC/F001_T1.csv")
    intensities = {(m[2], m[3], au_name(m[1])): file for file, m in tree.matching(_INTENSITY).items()}
    images = {**tree.images(FLAT_IMAGES), **tree.images(IMAGES)}
    for file, match in files.items():
        key = (match[1], match[2])
        if key[1] not in CODED_TASKS:
            continue
        disagreements = 0
        try:
            numbers, aus, table = read_presence(file, BP4D)
            for column, au in enumerate(aus):
                file_of_au = intensities.get((key[0], key[1], au))
                if file_of_au is not None:
                    disagreements += _fill(table[:, column], numbers, read_column(file_of_au))
        except InputError as error:
            yield not_understood(f"bp4dplus-{key[0]}", "_".join(key), file, error)
            continue
        frames: Mapping[int, Path] = images.get(key, {})
        if key in _MISMATCHED and frames:
            present = [row for row, number in enumerate(numbers) if number in frames]
            numbers, table = tuple(numbers[row] for row in present), table[present]
        packed = () if frames else tree.still_packed(key[0])
        remarks = (f"{disagreements} intensities contradict AU_OCC and are left out",) if disagreements else ()
        yield Recording(
            f"bp4dplus-{key[0]}", "_".join(key), frames, numbers, aus, table,
            labels=file, remarks=remarks, defects=packed,
        )  # fmt: skip


def _fill(column: np.ndarray, numbers: tuple[int, ...], intensity: Mapping[int, float]) -> int:
    """Replace presence by intensity where that is coded and says the same; returns the number of contradictions."""
    contradictions = 0
    for row, number in enumerate(numbers):
        if number not in intensity or np.isnan(column[row]):
            continue
        if (intensity[number] > 0) == (column[row] > 0):
            column[row] = intensity[number]
        else:
            contradictions += 1
    return contradictions


DATA_SET = DataSet(
    word="bp4dplus", title="BP4D+", read=read, expected="AUCoding/AU_OCC/F001_T1.csv and 2D+3D/F001/T1/1.jpg",
    subjects=140, present_from=1.0,
)  # fmt: skip

"""BP4D: spontaneous expressions of 41 people in eight tasks, presence of AUs on part of each task.

    AUCoding/AU_OCC/F001_T1.csv         presence
    F001/T1/2440.jpg, or F001_T1_2440.jpg, in any folder and with any number of leading zeros

Layout: ME-GraphAU (tool/BP4D_image_label_process.py), JAA-Net and AU-Net.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgeau.runtime.action_units import BP4D
from edgeau.runtime.errors import InputError
from edgeau.runtime.recording import Recording

from .data_set import DataSet
from .presence_table import read_presence
from .tree import Tree, not_understood

_LABELS = r"AU_OCC/([FM]\d{3})_(T\d+)\.csv"
IMAGES = r"([FM]\d{3})/(T\d+)/(\d+)\.(?i:jpg|jpeg|png)"
FLAT_IMAGES = r"([FM]\d{3})_(T\d+)_(\d+)\.(?i:jpg|jpeg|png)"
# Percent of 146,847 frames.
_PERCENT = (21.14, 17.10, 20.26, 46.09, 54.90, 59.43, 56.20, 46.56, 16.94, 34.33, 16.54, 15.14)


def read(tree: Tree) -> Iterator[Recording]:
    """The coded tasks. The neutral of a task is its frame with the fewest AUs."""
    files = tree.labels(_LABELS, "AU_OCC/F001_T1.csv")
    images = {**tree.images(FLAT_IMAGES), **tree.images(IMAGES)}
    for file, match in files.items():
        key = (match[1], match[2])
        try:
            numbers, aus, intensity = read_presence(file, BP4D)
        except InputError as error:
            yield not_understood(key[0], "_".join(key), file, error)
            continue
        frames = images.get(key, {})
        packed = () if frames else tree.still_packed(key[0])
        yield Recording(key[0], "_".join(key), frames, numbers, aus, intensity, labels=file, defects=packed)


DATA_SET = DataSet(
    word="bp4d", title="BP4D", read=read, expected="AUCoding/AU_OCC/F001_T1.csv and F001/T1/2440.jpg", subjects=41,
    frames=146_847, rates=dict(zip(BP4D, _PERCENT, strict=True)),
    source="computed from the public label lists of MDHR (CVPR 2024)",
)  # fmt: skip

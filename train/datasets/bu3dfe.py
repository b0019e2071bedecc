"""BU-3DFE: 100 people, a neutral and six expressions at four levels each, without AUs. The 2D pictures are read.

    F0001/F0001_AN01WH_F2D.bmp          person, expression and level, race; NE00 is the neutral

Layout: momoComeOn/BU3DFE (processing/pytorch/BU3DFE.txt).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgeau.runtime.recording import Recording

from .data_set import DataSet
from .tree import Tree

EXPRESSION_OF = {
    "NE": "neutral", "AN": "anger", "DI": "disgust", "FE": "fear", "HA": "happiness", "SA": "sadness", "SU": "surprise",
}  # fmt: skip
PICTURES = 25
_IMAGE = r"([FM]\d{4})_(AN|DI|FE|HA|SA|SU|NE)(0[0-4])[A-Z]{2}_F2D\.(?i:bmp|png|jpg)"


def read(tree: Tree) -> Iterator[Recording]:
    """One recording per person, the neutral first. Subjects are named ``bu3dfe-F0001``."""
    people: dict[str, dict[str, Path]] = defaultdict(dict)
    for file, match in tree.labels(_IMAGE, "F0001/F0001_AN01WH_F2D.bmp").items():
        people[match[1]][match[2] + match[3]] = file
    for person, pictures in people.items():
        codes = sorted(pictures, key=lambda code: (not code.startswith("NE"), code))
        missing = PICTURES - len(codes)
        yield Recording(
            subject=f"bu3dfe-{person}",
            name=person,
            frames={number: pictures[code] for number, code in enumerate(codes)},
            numbers=tuple(range(len(codes))),
            aus=(),
            intensity=np.zeros((len(codes), 0), np.float32),
            neutral_rows=(0,) if codes[0].startswith("NE") else (),
            expressions=tuple(EXPRESSION_OF[code[:2]] for code in codes),
            labels=pictures[codes[0]].parent,
            remarks=(f"{missing} of {PICTURES} pictures are missing",) if missing > 0 else (),
        )


DATA_SET = DataSet(word="bu3dfe", title="BU-3DFE", read=read, expected="F0001/F0001_AN01WH_F2D.bmp", subjects=100)

"""The faces of one call of a model, each beside its neutral."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence

import numpy as np

from .detection import Detection
from .neutral import NeutralReference
from .people import Person


@dataclass(frozen=True)
class Subject:
    """One face of the image in hand.

    Attributes:
        detection: where it is.
        crop: uint8 [S, S, 3], RGB.
        person: whose it is; their neutral learns from this crop.
    """

    detection: Detection
    crop: np.ndarray
    person: Person

    @property
    def reference(self) -> NeutralReference:
        return self.person.reference


@dataclass(frozen=True)
class FaceBatch:
    """One call of a model on difference images.

    Attributes:
        faces, neutrals: uint8 [N + probes, S, S, 3], RGB; the first N rows are the subjects.
        probe_rows: per subject, the row that compares its crop with itself, which measures how calm the face is; None
            if its reference doesn't ask for that now.
    """

    faces: np.ndarray
    neutrals: np.ndarray
    probe_rows: Sequence[Optional[int]]


def make_batch(subjects: Sequence[Subject]) -> FaceBatch:
    """Pair every crop with its neutral, and with itself where the reference wants to know how calm it is.

    Until a reference has an image, a crop is compared with itself anyway, so that its own row is the probe.
    """
    faces, neutrals = [], []
    for subject in subjects:
        faces.append(subject.crop)
        neutrals.append(subject.crop if subject.reference.image is None else subject.reference.image)
    probe_rows: List[Optional[int]] = []
    for row, subject in enumerate(subjects):
        if not subject.reference.wants_probe:
            probe_rows.append(None)
        elif subject.reference.image is None:
            probe_rows.append(row)
        else:
            probe_rows.append(len(faces))
            faces.append(subject.crop)
            neutrals.append(subject.crop)
    return FaceBatch(np.stack(faces), np.stack(neutrals), probe_rows)

"""What is wrong with recordings before any image is decoded: what would give a wrong figure is found here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Sequence

import numpy as np

from .crop_set import presence_of
from .errors import InputError
from .recording import Recording, column_union

# Labels of a recording may lack this share of their images: published copies have such gaps at the ends of videos.
MISSING_SHARE = 0.01


@dataclass(frozen=True)
class Problem:
    """Something wrong with a data set.

    Attributes:
        where: the recording, with the file of its labels, or the data set.
        what: what is wrong.
        blocks: whether figures from this data set would be wrong; otherwise it is only good to know.
    """

    where: str
    what: str
    blocks: bool


def problems_of(recordings: Sequence[Recording]) -> List[Problem]:
    """Problems of a data set's recordings, those that block first. Images are looked for, not decoded."""
    found = [problem for recording in recordings for problem in _images_of(recording)]
    found += _names(recordings)
    found += _subjects(recordings)
    found += _never_present(recordings)
    return sorted(found, key=lambda problem: not problem.blocks)


def require_whole(title: str, recordings: Sequence[Recording]) -> None:
    """Raise InputError for problems that would give wrong figures; it names the first and counts the others."""
    blocking = [problem for problem in problems_of(recordings) if problem.blocks]
    if blocking:
        first, others = blocking[0], len(blocking) - 1
        more = f", and {others} more problem{'s' * (others > 1)}" if others else ""
        raise InputError(title, got=f"{first.where}: {first.what}{more}", expected="a whole data set",
                         hint="`edgeau data check` lists what is missing")  # fmt: skip


def rates_of(recordings: Sequence[Recording], present_from: float) -> Dict[str, float]:
    """Share of labelled frames in which each AU is present; AUs without a label are left out."""
    present: Dict[str, int] = {}
    labelled: Dict[str, int] = {}
    for recording in recordings:
        presence = presence_of(recording.intensity, present_from)
        for column, au in enumerate(recording.aus):
            present[au] = present.get(au, 0) + int(np.nansum(presence[:, column]))
            labelled[au] = labelled.get(au, 0) + int((~np.isnan(presence[:, column])).sum())
    return {au: present[au] / labelled[au] for au in column_union(recordings) if labelled[au]}


def _images_of(recording: Recording) -> Iterator[Problem]:
    yield from (Problem(recording.title, text, blocks=True) for text in recording.defects)
    yield from (Problem(recording.title, text, blocks=False) for text in recording.remarks)
    if not recording.numbers and recording.defects:
        return
    if not recording.numbers:
        yield Problem(recording.title, "no labelled frame", blocks=True)
        return
    try:
        missing = recording.missing()
    except InputError as error:
        yield Problem(recording.title, str(error), blocks=True)
        return
    count = len(recording.numbers)
    if len(missing) == count:
        place = f" in {recording.frames}" if isinstance(recording.frames, Path) else ""
        yield Problem(recording.title, f"none of its {count} labelled frames has an image{place}", blocks=True)
    elif missing:
        shown = ", ".join(map(str, missing[:3])) + (", ..." if len(missing) > 3 else "")
        what = f"{len(missing)} of {count} labelled frames have no image: {shown}"
        yield Problem(recording.title, what, blocks=len(missing) > max(1, MISSING_SHARE * count))


def _names(recordings: Sequence[Recording]) -> Iterator[Problem]:
    seen: Dict[str, Recording] = {}
    for recording in recordings:
        if recording.name in seen:
            yield Problem(recording.title, f"also labelled by {seen[recording.name].labels}", blocks=True)
        seen[recording.name] = recording


def _subjects(recordings: Sequence[Recording]) -> Iterator[Problem]:
    spellings: Dict[str, str] = {}
    for subject in sorted({recording.subject for recording in recordings}):
        other = spellings.setdefault(subject.casefold(), subject)
        if other != subject:
            what = f"{other} and {subject} differ in case only: one person would be in training and in the test"
            yield Problem("subjects", what, blocks=True)


def _never_present(recordings: Sequence[Recording]) -> Iterator[Problem]:
    for au, rate in rates_of(recordings, 1.0).items():
        if rate == 0:
            yield Problem("labels", f"{au} is labelled and never present, so it has no F1", blocks=False)

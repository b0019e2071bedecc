"""What is known of a data set, and what its reader gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from edgeau.runtime.recording import Recording

from .tree import Tree


@dataclass(frozen=True)
class DataSet:
    """A data set that can be read.

    Attributes:
        word: what users type before the colon.
        title: its name.
        read: its recordings in a folder; raises InputError without label files, or where one can't be understood. Large
            data sets name such files as a recording's defects instead, so that all of them are known.
        expected: what the folder should hold, for messages.
        subjects: people in the published data set.
        same_people: the other data set with the same people under the same names.
        frames: labelled frames in the published protocol; None where unknown.
        rates: share of these frames in which an AU is present, in percent.
        source: of ``frames`` and ``rates``.
        present_from: lowest intensity that counts as present there; None where presence is all that is coded.
    """

    word: str
    title: str
    read: Callable[[Tree], Iterator[Recording]]
    expected: str
    subjects: int
    same_people: str | None = None
    frames: int | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    present_from: float | None = None

"""What a data set has and lacks, from lists and labels alone: `edgeau data check`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgeau.runtime.crop_set import PRESENT_FROM
from edgeau.runtime.errors import InputError
from edgeau.runtime.recording import Recording
from edgeau.runtime.recording_check import Problem, problems_of, rates_of

from .datasets import DATA_SETS
from .protocols import PROTOCOLS

# A base rate this far from the published one, in percentage points, is pointed out.
RATE_TOLERANCE = 2.0


@dataclass(frozen=True)
class CheckReport:
    """Figures of one data set.

    Attributes:
        spec: as the user gave it.
        frames: labelled frames; ``missing`` of them have no image.
        rates: percent of labelled frames in which an AU is present, by AU.
        published: the published rates, and their source.
        expected: what the folder should hold.
        problems: those that block training first.
        unassigned: subjects that the protocol's parts don't name; absent: subjects of the parts that are not here.
    """

    spec: str
    title: str
    subjects: int
    published_subjects: int | None
    recordings: int
    frames: int
    missing: int
    published_frames: int | None
    rates: dict[str, float]
    published: dict[str, float]
    source: str
    expected: str
    unassigned: tuple[str, ...]
    absent: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def usable(self) -> bool:
        """Whether training on it would give right figures."""
        return not any(problem.blocks for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "usable": self.usable}


def check(spec: str, word: str, recordings: Sequence[Recording]) -> CheckReport:
    """Examine the recordings of a data set, or of a folder of your own. Nothing is decoded."""
    known = DATA_SETS.get(word)
    people = sorted({recording.subject for recording in recordings})
    named = {name for part in PROTOCOLS[word].parts.values() for name in part} if word in PROTOCOLS else set()
    problems = problems_of(recordings)
    rates = rates_of(recordings, (known.present_from if known else None) or PRESENT_FROM)
    return CheckReport(
        spec=spec,
        title=known.title if known else "your own faces",
        subjects=len(people),
        published_subjects=known.subjects if known else None,
        recordings=len(recordings),
        frames=sum(len(recording.numbers) for recording in recordings),
        missing=sum(_missing(recording) for recording in recordings),
        published_frames=known.frames if known else None,
        rates={au: 100 * rate for au, rate in rates.items()},
        published=dict(known.rates) if known else {},
        source=known.source if known else "",
        expected=known.expected if known else "",
        unassigned=tuple(name for name in people if named and name not in named),
        absent=tuple(sorted(named - set(people))),
        problems=tuple(problems),
    )


def _missing(recording: Recording) -> int:
    try:
        return len(recording.missing())
    except InputError:
        return len(recording.numbers)


def report_lines(report: CheckReport) -> list[str]:
    """The report as text."""
    of = f" of {report.published_subjects}" if report.published_subjects else ""
    lines = [
        f"{report.spec}: {report.title}, {report.subjects}{of} subjects, {report.recordings} recordings, "
        f"{report.frames:,} labelled frames, {report.missing:,} of them without an image"
    ]
    if report.missing and report.expected:
        lines.append(f"looked for, anywhere below the folder: {report.expected}")
    if report.published_frames:
        lines.append(f"the published protocol has {report.published_frames:,} frames")
    if report.absent:
        lines.append(f"subjects of the protocol that are not here: {' '.join(report.absent)}")
    if report.unassigned:
        lines.append(f"subjects that no part of the protocol has, only ever trained on: {' '.join(report.unassigned)}")
    lines += [f"{'PROBLEM' if each.blocks else 'note'}: {each.where}: {each.what}" for each in report.problems]
    lines += _rate_lines(report)
    ready = "ready to train on" if report.rates else "ready to train on, beside data that has AU labels"
    lines.append(ready if report.usable else "NOT ready: training on it would give wrong figures")
    return lines


def _rate_lines(report: CheckReport) -> list[str]:
    if not report.rates:
        return ["no AU labels"]
    if not report.published:
        return ["present, % of labelled frames: " + "  ".join(f"{au} {rate:.1f}" for au, rate in report.rates.items())]
    lines = [f"{'AU':<6}{'present %':>10}{'published':>11}"]
    for au in sorted({*report.rates, *report.published}):
        here, there = report.rates.get(au), report.published.get(au)
        far = here is not None and there is not None and abs(here - there) > RATE_TOLERANCE
        lines.append(f"{au:<6}{_percent(here):>10}{_percent(there):>11}{'  differs' if far else ''}")
    return [*lines, f"published: {report.source}"]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"

"""MMI: sessions of one clip or one still each, AUs with their onset, apex and offset, some with an emotion.

    Sessions/16/session.xml
    Sessions/16/S001-006.avi                    person and clip; or stills
    Sessions/16/S001-006.xml                    Metatag Name="Emotion" Value="4"
    Sessions/16/S001-006-oao_aucs.xml           ActionUnit Number="12", inside it Marker Frame="31" Type="1"

The layout was never seen: it is that of five public scripts (with the functions get_labels, read_view, parse_Emotion,
framesToAuDic and get_label_mmi); emotions are numbered as one of them does. A marker's type holds from its frame to the
next marker: 0 rest, 1 onset, 2 apex, 3 offset. Frames are counted from 1. Some clips are turned by 90 degrees, and some
show two views side by side; faces are searched for in all turns. AUs that a session does not list count as absent where
it has AU markers, and as not coded elsewhere.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgeau.runtime.action_units import EXPRESSIONS, au_name
from edgeau.runtime.crop_set import PRESENT
from edgeau.runtime.errors import InputError
from edgeau.runtime.recording import Recording, frames_in
from edgeau.runtime.video import VIDEO_SUFFIXES

from .data_set import DataSet
from .tree import IMAGES, Tree

_LAST_AU = 46
_REST, _APEX = 0, 2
_EMOTION_OF = dict(zip("123456", ("anger", "disgust", "fear", "happiness", "sadness", "surprise"), strict=True))
_NO_SUBJECT = "neither session.xml nor the name of a clip (S001-006.avi) tells the subject: people can't be held out"
_CLIP = re.compile(r"S(\d+)-\d+")


@dataclass
class _Session:
    folder: Path
    files: list[Path] = field(default_factory=list)
    markers: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    coded: Path | None = None
    emotion: str = ""
    subject: str = ""


def read(tree: Tree) -> Iterator[Recording]:
    """One recording per session with AUs or an emotion. Subjects are named ``mmi-S001``, after clip or session.xml."""
    tree.labels(r"Sessions/[^/]+/session\.xml", "Sessions/16/session.xml")
    by_folder: dict[Path, _Session] = {}
    for file in tree.matching(r"Sessions/[^/]+/[^/]+"):
        by_folder.setdefault(file.parent, _Session(file.parent)).files.append(file)
    sessions = [_annotated(session) for session in by_folder.values()]
    aus = tuple(sorted({au for session in sessions for au in session.markers}))
    for session in sessions:
        if session.coded is not None or session.emotion:
            yield _recording(session, aus)


def _annotated(session: _Session) -> _Session:
    for file in sorted(session.files):
        if file.suffix.lower() != ".xml":
            continue
        root = _parse(file)
        if file.name.endswith("-oao_aucs.xml"):
            session.coded = file
            session.markers.update(_markers(file, root))
        session.subject = session.subject or _subject(root)
        session.emotion = session.emotion or _emotion(root)
    clips = (_CLIP.match(file.stem) for file in sorted(session.files))
    session.subject = next((f"S{int(clip[1]):03d}" for clip in clips if clip), session.subject)
    return session


def _parse(file: Path) -> ElementTree.Element:
    try:
        data = file.read_bytes()
        if b"<!ENTITY" in data:
            raise InputError(f"label file {file}", got="XML with entities", expected="a session or its annotation")
        return ElementTree.fromstring(data)
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(
            f"label file {file}", got=f"no whole XML ({error})", expected="a session's annotation"
        ) from error


def _markers(file: Path, root: ElementTree.Element) -> dict[str, list[tuple[int, int]]]:
    markers: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for unit in root.iter("ActionUnit"):
        digits = re.search(r"\d+", unit.get("Number", ""))
        if digits is None or not 0 < int(digits[0]) <= _LAST_AU:
            continue
        for marker in unit.iter("Marker"):
            try:
                place = (int(marker.get("Frame", "")), int(marker.get("Type", "")))
            except ValueError:
                raise InputError(
                    f"label file {file}", got=f"a marker {marker.attrib}", expected="Frame and Type"
                ) from None
            markers[au_name(digits[0])].append(place)
    return {au: sorted(places) for au, places in markers.items()}


def _subject(root: ElementTree.Element) -> str:
    """What an element or attribute called subject says."""
    for element in root.iter():
        if element.tag.lower().endswith("subject"):
            name = element.get("ID") or element.get("Id") or element.get("id") or (element.text or "")
            if name.strip():
                return _numbered(name.strip())
        for key, value in element.attrib.items():
            if key.lower() in ("subject", "subjectid") and value.strip():
                return _numbered(value.strip())
    return ""


def _numbered(name: str) -> str:
    """A subject as clips name it: 1 and S1 are S001, so that one person does not get two names."""
    number = re.fullmatch(r"[Ss]?(\d+)", name)
    return f"S{int(number[1]):03d}" if number else name


def _emotion(root: ElementTree.Element) -> str:
    """The emotion in Metatag Emotion, by number or name; numbers above 6 are none of the six."""
    same = {"happy": "happiness", "sad": "sadness", "angry": "anger", **_EMOTION_OF}
    for tag in root.iter("Metatag"):
        name = tag.get("Value", "").strip().lower()
        if tag.get("Name") == "Emotion" and name and (name in same or not name.isdigit()):
            return same.get(name, name)
    return ""


def _recording(session: _Session, aus: tuple[str, ...]) -> Recording:
    frames, numbers = _frames(session)
    intensity = np.full((len(numbers), len(aus)), 0.0 if session.coded else np.nan, np.float32)
    apex = np.zeros(len(numbers), bool)
    for au, markers in session.markers.items():
        phase = np.array([_phase(markers, number) for number in numbers], int)
        intensity[:, aus.index(au)] = np.where(phase > _REST, PRESENT, 0.0)
        apex |= phase == _APEX
    if not apex.any() and len(numbers):
        apex[len(numbers) // 2] = True
    calm = tuple(int(row) for row in np.flatnonzero(np.nan_to_num(intensity).max(axis=1, initial=0) == 0))
    shown = session.emotion if session.emotion in (*EXPRESSIONS, "contempt") else ""
    return Recording(
        subject=f"mmi-{session.subject}",
        name=session.folder.name,
        frames=frames,
        numbers=numbers,
        aus=aus,
        intensity=intensity,
        neutral_rows=calm[:1],
        expressions=tuple(shown if here else "" for here in apex) if shown else (),
        may_be_turned=True,
        labels=session.coded or session.folder,
        defects=() if session.subject else (_NO_SUBJECT,),
    )


def _frames(session: _Session) -> tuple[Mapping[int, Path] | Path, tuple[int, ...]]:
    videos = [file for file in session.files if file.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        return videos[0], tuple(range(1, frames_in(videos[0]) + 1))
    stills = dict(enumerate(sorted(file for file in session.files if file.suffix.lower() in IMAGES), start=1))
    last = max((frame for markers in session.markers.values() for frame, _ in markers), default=1)
    return stills, tuple(stills) or (last,)


def _phase(markers: list[tuple[int, int]], number: int) -> int:
    before = [kind for frame, kind in markers if frame <= number]
    return before[-1] if before else _REST


DATA_SET = DataSet(
    word="mmi", title="MMI", read=read, expected="Sessions/16/session.xml and S001-006-oao_aucs.xml beside a clip",
    subjects=75,
)  # fmt: skip

"""Your own labelled faces: a folder of pictures or videos, and CSV files that say what each shows.

    own/labels.csv            file,subject,AU01,AU12,expression
                              anna/001.jpg,anna,0,3,happiness
    own/labels.csv            file,subject,frame,AU01,AU12        rows of a video, frames counted from 1
    own/interview.csv         frame,success,AU01_r,AU12_c         as OpenFace writes beside interview.mp4

docs/data.md describes the columns. Nothing is guessed from pixels, and a row that can't be understood is an error that
names its line.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .action_units import au_name
from .crop_set import PRESENT
from .errors import InputError
from .label_table import decimal, number, read_header, read_table
from .named_files import NamedFiles, name_key
from .recording import Recording
from .video import VIDEO_SUFFIXES

WORD = "own"
LABELS, SUBJECTS = "labels.csv", "subjects.csv"
# Stills of unknown people share no neutral; they are divided so that a shard fits into memory.
_STILLS_PER_RECORDING = 2000

# Names of columns, in lower case: ours, pandas users', py-feat's (input), and those of `edgeau run` (source).
_FILE = ("file", "filename", "file_name", "image", "path", "input", "source")
_SUBJECT = ("subject", "subject_id", "person")
_EXPRESSION = ("expression", "emotion")
_FRAME, _NEUTRAL, _SUCCESS = "frame", "neutral", "success"
# Columns of 0 and 1 that say something about the row, not about the face.
_NOT_A_CLASS = {_FRAME, _NEUTRAL, _SUCCESS, "face_id", "face", "track_id", "neutral_ready", "confidence", "index"}
_KNOWN = {*_FILE, *_SUBJECT, *_EXPRESSION, *_NOT_A_CLASS}
_ZERO_OR_ONE = {"0", "1", "0.0", "1.0"}
_PY_FEAT = "FaceRectX"  # a column by which py-feat's tables are known
_AU = re.compile(r"AU0*(\d{1,2})(_r|_c)?", re.IGNORECASE)
_EMPTY = ("", "nan", "na", "n/a", "none", "null")
_SAME_EXPRESSION = {
    "happy": "happiness", "happyness": "happiness", "joy": "happiness", "sad": "sadness", "surprised": "surprise",
    "afraid": "fear", "fearful": "fear", "disgusted": "disgust", "angry": "anger",
}  # fmt: skip


def is_own(path: Path) -> bool:
    """Whether a path is a CSV file of labels, or a folder with one."""
    return bool(label_files(path))


def label_files(path: Path) -> List[Path]:
    """The CSV files with labels: the path itself, its ``labels.csv``, or all of its CSV files that have AU columns."""
    if path.suffix.lower() == ".csv" and path.is_file():
        return [path]
    if not path.is_dir():
        return []
    if (path / LABELS).is_file():
        return [path / LABELS]
    return [file for file in sorted(path.glob("*.csv")) if file.name != SUBJECTS and _has_aus(file)]


def read_own(path: Path) -> List[Recording]:
    """The recordings of a folder of your own, or of a CSV file of labels.

    Raises:
        InputError: no labels, none of the files that they name, or a cell that can't be understood; with file, line
            and column.
    """
    files = label_files(path)
    if not files:
        got = "no CSV file with AU columns in it" if path.is_dir() else "no such folder or CSV file"
        raise InputError(f"own faces {path}", got=got, expected=f"{LABELS} with the columns file, subject, AU01, ...",
                         hint="docs/data.md describes it")  # fmt: skip
    people = _people(files[0].parent / SUBJECTS)
    named = NamedFiles(files[0].parent)
    tables = [_Table.read(file, named) for file in files]
    sources: Dict[Path, _Source] = {}
    for table in tables:
        for row in table.rows:
            file = table.file_of(row)
            source = sources.setdefault(file, _Source(file, table))
            source.rows.append((table, row))
    _require_any_file(list(sources), path)
    videos = [s for s in sources.values() if s.is_video]
    stills = [s for s in sources.values() if not s.is_video]
    recordings = [_video(source, people) for source in videos]
    return recordings + list(_stills(stills, people))


@dataclass
class _Row:
    """A row: the number of its line, and the cells of the columns that are used."""

    line: int
    cells: Mapping[str, str]


@dataclass
class _Table:
    """One CSV file.

    Attributes:
        files: those that the rows name.
        aus: columns of labels by the name that they are for: the column and how it is coded, of ``_CODINGS``.
    """

    path: Path
    columns: Tuple[str, ...]
    rows: List[_Row]
    files: NamedFiles
    aus: Dict[str, Tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, files: NamedFiles) -> _Table:
        header, lines = read_table(path)
        used = [i for i, name in enumerate(header) if _may_be_used(name, lines[0][1][i])]
        columns = tuple(header[i] for i in used)
        twice = [name for name in columns if columns.count(name) > 1]
        if twice:
            raise InputError(f"{path}: columns", got=f"{twice[0]} twice", expected="distinct names")
        rows = [_Row(line, {header[i]: cells[i] for i in used}) for line, cells in lines]
        table = cls(path, columns, rows, files)
        table.rows = [row for row in rows if table.cell(row, (_SUCCESS,)) not in ("0", "0.0")]
        table.aus = _coded_columns(table)
        if not table.aus and table._column(_EXPRESSION) is None:
            raise InputError(f"{path}: columns", got=", ".join(header[:8]), expected="AU columns such as AU12",
                             hint="docs/data.md describes the format")  # fmt: skip
        return table

    @cached_property
    def own_video(self) -> Optional[Path]:
        """The video with the name of the CSV file, as OpenFace names its output."""
        videos = (self.files.find(self.path.stem + suffix) for suffix in VIDEO_SUFFIXES)
        return next((video for video in videos if video.is_file()), None)

    @cached_property
    def _by_name(self) -> Dict[str, str]:
        """Columns by their name in lower case; the first of those that differ in case only."""
        return {column.lower(): column for column in reversed(self.columns)}

    @cached_property
    def counts_from_0(self) -> bool:
        """Whether frames are counted from 0: py-feat's are, and those of any file in which a frame 0 occurs."""
        return _PY_FEAT in self.columns or any(number(self.cell(row, (_FRAME,)) or "") == 0 for row in self.rows)

    def _column(self, names: Sequence[str]) -> Optional[str]:
        return next((self._by_name[name] for name in names if name in self._by_name), None)

    def cell(self, row: _Row, names: Sequence[str]) -> Optional[str]:
        """A row's cell in the first of these columns that the table has; None if it has none of them."""
        column = self._column(names)
        return None if column is None else row.cells[column]

    def at(self, row: _Row, column: str) -> str:
        return f"{self.path}, line {row.line}, column {column}"

    def file_of(self, row: _Row) -> Path:
        """The row's picture or video. Without such a column it is the video with the name of the CSV file."""
        text = self.cell(row, _FILE)
        if text:
            return self.files.find(text)
        if text is not None:
            raise InputError(f"{self.path}, line {row.line}", got="no file", expected="a picture or a video")
        if self.own_video is None:
            expected = f"a column file, or a video {self.path.stem}{VIDEO_SUFFIXES[0]} beside it"
            raise InputError(f"{self.path}: columns", got="none called file", expected=expected)
        return self.own_video

    def frame_of(self, row: _Row) -> int:
        text = self.cell(row, (_FRAME,))
        value = number(text or "")
        if value is None or value != int(value) or value < 0:
            raise InputError(self.at(row, _FRAME), got=repr(text), expected="the number of a video's frame")
        return int(value)

    def subject_of(self, row: _Row, people: Mapping[str, str]) -> str:
        name = self.cell(row, _SUBJECT)
        if name is None:
            file = self.file_of(row)
            name = people.get(name_key(file.name), people.get(name_key(file.stem), ""))
        return name

    def expression_of(self, row: _Row) -> str:
        name = (self.cell(row, _EXPRESSION) or "").lower()
        return "" if name in _EMPTY else _SAME_EXPRESSION.get(name, name)

    def is_neutral(self, row: _Row) -> Optional[bool]:
        """What the column ``neutral`` says; None if there is none."""
        text = self.cell(row, (_NEUTRAL,))
        return None if text is None else text in ("1", "1.0", "true", "True", "yes")

    def intensity_of(self, row: _Row, names: Sequence[str]) -> List[float]:
        return [self._intensity(row, *self.aus[name]) if name in self.aus else math.nan for name in names]

    def _intensity(self, row: _Row, column: str, coding: str) -> float:
        text = row.cells[column]
        if text.lower() in _EMPTY:
            return math.nan
        value = decimal(text)
        most = 5.0 if coding == "intensity" else 1.0
        if value is None or not 0 <= value <= most:
            raise InputError(self.at(row, column), got=repr(text), expected=f"0 to {most:g}, or empty",
                             hint="leave cells empty that were not coded")  # fmt: skip
        if coding == "intensity":
            return value
        return PRESENT if value >= 0.5 else 0.0


@dataclass
class _Source:
    """A picture or a video, and the rows about it."""

    file: Path
    table: _Table
    rows: List[Tuple[_Table, _Row]] = field(default_factory=list)

    @property
    def is_video(self) -> bool:
        return self.file.suffix.lower() in VIDEO_SUFFIXES


def _coded_columns(table: _Table) -> Dict[str, Tuple[str, str]]:
    """Columns of labels by name.

    ``_r`` columns are intensities and ``_c`` columns presence, as in OpenFace; the intensity is taken where a file has
    both. In other AU columns, values above 1 anywhere make all of them intensities; otherwise they are presence, or
    probabilities of it (py-feat's), which count from 0.5.
    """
    kinds: Dict[str, Dict[str, str]] = {}
    for column in table.columns:
        match = _AU.fullmatch(column)
        if match and int(match.group(1)):
            kinds.setdefault(au_name(match.group(1)), {})[(match.group(2) or "").lower()] = column
    plain = [columns[""] for columns in kinds.values() if "" in columns]
    values = (decimal(row.cells[column]) for row in table.rows for column in plain)
    coding = "intensity" if any(value is not None and value > 1 for value in values) else "presence"
    coded: Dict[str, Tuple[str, str]] = {}
    for au, columns in kinds.items():
        if "" in columns:
            coded[au] = (columns[""], coding)
        else:
            coded[au] = (columns["_r"], "intensity") if "_r" in columns else (columns["_c"], "presence")
    coded.update({column: (column, "presence") for column in _class_columns(table)})
    return coded


def _class_columns(table: _Table) -> Iterator[str]:
    """Columns of other names whose cells are all 0, 1 or empty: classes of the user's own."""
    for column in table.columns:
        if column.lower() in _KNOWN or _AU.match(column):
            continue
        cells = {row.cells[column].lower() for row in table.rows} - set(_EMPTY)
        if cells and cells <= _ZERO_OR_ONE:
            yield column


def _may_be_used(column: str, first_cell: str) -> bool:
    """Whether a column has labels, says whose they are, or may be a class. OpenFace writes 700 that do none of it."""
    if not column or column.lower() in _KNOWN or _AU.match(column) or column == _PY_FEAT:
        return bool(column)
    return first_cell.lower() in _ZERO_OR_ONE or first_cell.lower() in _EMPTY


def _video(source: _Source, people: Mapping[str, str]) -> Recording:
    table, rows = source.table, [row for _, row in source.rows]
    if any(other is not table for other, _ in source.rows):
        raise InputError(f"video {source.file}", got="rows in several CSV files", expected="one file for each video")
    numbered = sorted((table.frame_of(row), row.line, row) for row in rows)
    for (frame, _, _), (following, _, row) in zip(numbered, numbered[1:]):
        if frame == following:
            raise InputError(f"{table.path}, line {row.line}", got=f"frame {frame} of {source.file.name} again",
                             expected="one row per frame", hint="keep one face per frame")  # fmt: skip
    subjects = {table.subject_of(row, people) for row in rows}
    if len(subjects) > 1:
        got = f"subjects {', '.join(sorted(subjects))}"
        raise InputError(f"video {source.file} in {table.path}", got=got, expected="one person per video")
    ordered = [row for _, _, row in numbered]
    names = tuple(sorted(table.aus))
    intensity = np.array([table.intensity_of(row, names) for row in ordered], np.float32)
    return Recording(
        subject=subjects.pop(),
        name=_name(source.file, table),
        frames=source.file,
        numbers=tuple(frame for frame, _, _ in numbered),
        aus=names,
        intensity=intensity.reshape(len(ordered), len(names)),
        neutral_rows=_neutral_rows(table, ordered),
        expressions=tuple(table.expression_of(row) for row in ordered),
        first_number=0 if table.counts_from_0 else 1,
        labels=table.path,
    )


def _stills(sources: Sequence[_Source], people: Mapping[str, str]) -> Iterator[Recording]:
    """One recording per person, because a person's stills share a neutral."""
    by_subject: Dict[str, List[Tuple[Path, _Table, _Row]]] = {}
    for source in sources:
        (table, row), *others = source.rows
        if others:
            again, second = others[0]
            raise InputError(f"{again.path}, line {second.line}", got=f"{source.file.name} again",
                             expected="one row per picture")  # fmt: skip
        by_subject.setdefault(table.subject_of(row, people), []).append((source.file, table, row))
    for subject, pictures in by_subject.items():
        step = len(pictures) if subject else _STILLS_PER_RECORDING
        for start in range(0, len(pictures), step):
            yield _album(subject, pictures[start : start + step])


def _album(subject: str, pictures: Sequence[Tuple[Path, _Table, _Row]]) -> Recording:
    names = tuple(sorted({name for _, table, _ in pictures for name in table.aus}))
    rows = [table.intensity_of(row, names) for _, table, row in pictures]
    intensity = np.array(rows, np.float32).reshape(len(rows), len(names))
    marked = [table.is_neutral(row) for _, table, row in pictures]
    first = pictures[0]
    missing = {file: None for file, _, _ in pictures if not file.is_file()}
    return Recording(
        subject=subject,
        name=f"stills of {subject or 'unknown people'} from {_name(first[0], first[1])}",
        frames={row: file for row, (file, _, _) in enumerate(pictures) if file not in missing},
        numbers=tuple(range(len(pictures))),
        aus=names,
        intensity=intensity,
        neutral_rows=_neutral_stills(intensity, marked) if subject else (),
        expressions=tuple(table.expression_of(row) for _, table, row in pictures),
        labels=first[1].path,
        defects=tuple(f"no such file: {_name(file, first[1])}" for file in missing),
    )


def _neutral_rows(table: _Table, rows: Sequence[_Row]) -> Optional[Tuple[int, ...]]:
    marked = tuple(i for i, row in enumerate(rows) if table.is_neutral(row))
    return marked or None


def _neutral_stills(intensity: np.ndarray, marked: Sequence[Optional[bool]]) -> Tuple[int, ...]:
    """The pictures that are marked as neutral; without marks, those whose labels are all below 1."""
    if any(marked):
        return tuple(row for row, mark in enumerate(marked) if mark)
    labelled = ~np.isnan(intensity).all(axis=1)
    calm = np.nan_to_num(intensity).max(axis=1, initial=0) < 1
    return tuple(int(row) for row in np.flatnonzero(labelled & calm))


def _name(file: Path, table: _Table) -> str:
    try:
        return file.relative_to(table.path.parent).as_posix()
    except ValueError:
        return file.as_posix()


def _require_any_file(files: Sequence[Path], path: Path) -> None:
    """Refuse labels none of whose files is there: their folder is elsewhere."""
    if not any(file.is_file() for file in files):
        got = f"{len(files)} of {len(files)} files missing, such as {files[0]}"
        raise InputError(f"own faces {path}", got=got, expected="files that the labels name, relative to their folder")


def _people(file: Path) -> Dict[str, str]:
    """Subjects by file name, for labels without a column of them."""
    if not file.is_file():
        return {}
    header, lines = read_table(file)
    names = [name.lower() for name in header]
    if not {"file", "subject"} <= set(names):
        raise InputError(f"{file}: columns", got=", ".join(names), expected="file and subject")
    at_file, at_subject = names.index("file"), names.index("subject")
    return {name_key(cells[at_file]): cells[at_subject] for _, cells in lines}


def _has_aus(file: Path) -> bool:
    return any(_AU.fullmatch(name) for name in read_header(file))

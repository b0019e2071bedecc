"""Write rows to a file or standard output, one frame at a time, as soon as they are known.

Results therefore survive an interruption, a kill and a full disk. A JSON document is complete after every frame: its
closing bracket is written with the rows, and the next rows overwrite it.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ContextManager, Dict, Iterator, List, Optional, Protocol, Sequence, Tuple, Type

from .errors import InputError
from .files import STANDARD_OUTPUT, is_replaceable
from .openface import openface_columns, openface_line
from .parquet_file import ParquetFile
from .records import VIDEO_TABLE, Row, TableColumns, csv_line, json_line, plain_cell, rows_of, table_header, table_line
from .terminal import printable

FORMATS = ("table", "csv", "json", "jsonl", "parquet", "openface")
RESUMABLE = ("csv", "jsonl")
_CLOSING = b"\n]\n"
# How a file of each format begins, so that nothing else is overwritten.
_BEGINNINGS = {
    "table": rb"(file\s+|\s*)(frame\s+time_s|face\s+neutral)\s",
    "csv": rb"source,frame,time_s,success,",
    "json": rb"\[\s*(\]|\{\s*\"source\":)",
    "jsonl": rb"\{\"source\":",
    "openface": rb"frame,face_id,timestamp,confidence,success,",
}


@dataclass(frozen=True)
class Layout:
    """The layout of a file of rows.

    Attributes:
        format: one of FORMATS.
        aus, expressions: names in the columns.
        intensity: whether there are columns for intensities.
        table: what the table for people begins with.
    """

    format: str
    aus: Tuple[str, ...]
    expressions: Tuple[str, ...] = ()
    intensity: bool = False
    table: TableColumns = VIDEO_TABLE

    @property
    def columns(self) -> Tuple[str, ...]:
        """Column names, in order."""
        if self.format == "openface":
            return openface_columns(self.aus, intensity=self.intensity)
        return tuple(rows_of("", 0, 0.0, (), self.aus, self.expressions, intensity=self.intensity)[0])

    def header(self) -> str:
        """The text before the first row, with its newline; "" if the format has none."""
        if self.format in ("csv", "openface"):
            return csv_line(self.columns) + "\n"
        return table_header(self.aus, self.table) + "\n" if self.format == "table" else ""

    def text(self, rows: Sequence[Row]) -> str:
        """Rows as text, each with its newline; those of JSON have commas between them instead."""
        if self.format == "csv":
            return "".join(csv_line([row[name] for name in self.columns]) + "\n" for row in rows)
        if self.format == "table":
            return "".join(table_line(row, self.aus, self.table) + "\n" for row in rows)
        if self.format == "openface":
            return "".join(openface_line(row, self.aus, intensity=self.intensity) + "\n" for row in rows)
        if self.format == "json":
            return ",\n".join("  " + json_line(row) for row in rows)
        return "".join(json_line(row) + "\n" for row in rows)


class Rows(Protocol):
    """A file of rows that is being written."""

    @property
    def continued(self) -> bool:
        """Whether the file already had rows."""
        ...

    def last(self, source: str, /) -> Optional[Written]:
        """The last frame of a source that is already in the file; None if there was none."""
        ...

    def tracks(self, source: str, /) -> int:
        """One more than the largest track number of a source that is already in the file; 0 if there is none."""
        ...

    def write(self, rows: Sequence[Row], /) -> None:
        """Write the rows of one frame."""
        ...


def open_rows(path: Optional[Path], layout: Layout, *, resume: bool = False) -> ContextManager[Rows]:
    """Open the file that a layout's format needs; arguments and exceptions as for `RowFile` and `ParquetFile`."""
    if layout.format == "parquet":
        return ParquetFile(path, layout.columns)
    return RowFile(path, layout, resume=resume)


class RowFile:
    """Rows on standard output or in a file. Use it with ``with``.

    An existing file is left alone until the first rows are written, and then replaced; with ``resume`` it is
    continued.

    Args:
        path: None and ``-`` are standard output.
        layout: what is written.
        resume: continue an existing file.

    Attributes:
        layout: what is written.

    Raises:
        InputError: the file holds something other than rows of this layout, or can't be written.
    """

    def __init__(self, path: Optional[Path], layout: Layout, *, resume: bool = False) -> None:
        self._path = None if path is None or os.fspath(path) == STANDARD_OUTPUT else path
        self.layout = layout
        self._handle: Optional[int] = None
        self._size, self._frames = 0, 0
        self._rewritable = self._path is not None and is_replaceable(self._path)
        self._done: Dict[str, Written] = {}
        self._tracks: Dict[str, int] = {}
        if self._path is not None and self._rewritable and self._path.exists():
            _refuse_others(self._path, layout.format)
            if resume:
                self._continue(self._path)

    @property
    def continued(self) -> bool:
        """Whether the file already had rows."""
        return bool(self._done)

    def last(self, source: str) -> Optional[Written]:
        """The last frame of a source that is already in the file; None if there was none."""
        return self._done.get(self._name(source))

    def tracks(self, source: str) -> int:
        """One more than the largest track number of a source that is already in the file; 0 if there is none."""
        return self._tracks.get(self._name(source), 0)

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows of one frame. Raises OSError if the disk is full; earlier rows are kept."""
        text = self.layout.text(rows)
        if self.layout.format == "json":
            text = ("[\n" if self._frames == 0 else ",\n") + text
        elif self._frames == 0:
            text = self.layout.header() + text
        self._frames += 1
        if self._path is None:
            _print(text)
        else:
            self._append(self._path, text.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """End the document."""
        if self.layout.format == "json" and self._frames == 0:
            self._frames = 1
            text = "[\n]\n"
            _print(text) if self._path is None else self._append(self._path, text.encode(), closed=True)
        elif self.layout.format == "json" and not self._rewritable:
            _print(_CLOSING.decode()) if self._path is None else self._append(self._path, _CLOSING)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> RowFile:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if kind is not BrokenPipeError:
            self.close()

    def _name(self, source: str) -> str:
        """A source's name as the file has it."""
        if self.layout.format != "csv":
            return source
        return plain_cell(source.encode("utf-8", "backslashreplace").decode("utf-8"))

    def _append(self, path: Path, data: bytes, *, closed: bool = False) -> None:
        if self._handle is None:
            self._handle = self._open(path)
        if not self._rewritable:
            _write_all(self._handle, data)
            return
        tail = _CLOSING if self.layout.format == "json" and not closed else b""
        try:
            os.lseek(self._handle, self._size, os.SEEK_SET)
            _write_all(self._handle, data + tail)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self._size)
                os.lseek(self._handle, self._size, os.SEEK_SET)
                _write_all(self._handle, tail if self._size else b"")
            raise
        self._size += len(data)

    def _open(self, path: Path) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not self._rewritable:
            return os.open(path, os.O_WRONLY | os.O_APPEND)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            got = "a file that another `edgeau run` is writing"
            raise InputError(f"output {path}", got=got, expected="another name") from None
        except OSError:  # a file system without locks
            pass
        os.ftruncate(handle, self._size)
        return handle

    def _continue(self, path: Path) -> None:
        """Read the existing rows, and continue after the last complete frame."""
        rows, torn = _read_rows(path, self.layout)
        if torn and rows:
            last = rows[-1].source, rows[-1].frame
            rows = [row for row in rows if (row.source, row.frame) != last]
        for row in rows:
            self._done[row.source] = row
            self._tracks[row.source] = max(self._tracks.get(row.source, 0), row.track + 1)
        self._size = rows[-1].end if rows else 0
        self._frames = len(rows)


def _refuse_others(path: Path, kind: str) -> None:
    with open(path, "rb") as stream:
        head = stream.read(4096)
    if head and not re.match(_BEGINNINGS[kind], head):
        expected = f"a new name, or rows of `edgeau run` as {kind}"
        raise InputError(f"output {path}", got="a file with other content", expected=expected)


@dataclass(frozen=True)
class Written:
    """A row in a file: the offset at which it ends, and what is needed to continue after it; track -1 for no face."""

    end: int
    source: str
    frame: int
    time_s: float
    track: int


def _read_rows(path: Path, layout: Layout) -> Tuple[List[Written], bool]:
    """The complete rows, and whether an incomplete one follows."""
    rows: List[Written] = []
    try:
        for number, (end, text) in enumerate(_records(path.read_bytes(), layout.format)):
            if end < 0:
                return rows, True
            values = _values(text, layout)
            if tuple(values) != layout.columns or (layout.format == "csv" and number == 0 and text != _header(layout)):
                raise InputError(f"output {path}", got="rows with other columns", expected="the columns of this run")
            if layout.format == "csv" and number == 0:
                continue
            track = values["track_id"]
            place = int(values["frame"]), float(values["time_s"])
            rows.append(Written(end, str(values["source"]), *place, -1 if track in ("", None) else int(track)))
    except (ValueError, TypeError, RecursionError, csv.Error) as error:
        raise InputError(f"output {path}", got=f"rows that can't be read ({error})", expected="whole rows") from error
    return rows, False


def _records(data: bytes, kind: str) -> Iterator[Tuple[int, str]]:
    """Each record's end and text; the end is -1 for a last record without a newline. Quoted cells may hold newlines."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        while kind == "csv" and end >= 0 and data.count(b'"', start, end) % 2:
            end = data.find(b"\n", end + 1)
        yield (end + 1 if end >= 0 else -1), data[start : end if end >= 0 else len(data)].decode("utf-8")
        if end < 0:
            return
        start = end + 1


def _values(text: str, layout: Layout) -> Dict[str, Any]:
    if layout.format != "csv":
        return dict(json.loads(text))
    cells = next(csv.reader([text], strict=True))
    return dict(zip(layout.columns, cells)) if len(cells) == len(layout.columns) else {}


def _header(layout: Layout) -> str:
    return csv_line(layout.columns)


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    if sys.stdout.isatty():  # a file gets names as they are
        text = printable(text)
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()

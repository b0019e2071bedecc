"""Tables of labels as spreadsheets and other tools write them: separators, encodings, and cells as text.

A spreadsheet writes semicolons and decimal commas in many countries, and the system's own encoding instead of UTF-8.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

from .errors import InputError

SEPARATORS = ",;\t"
_HEADER_BYTES = 1 << 20
_SEPARATOR_LINE = re.compile(r"sep=([,;\t])\s*\r?\n")  # what Excel reads and writes before the header


def read_table(file: Path) -> Tuple[List[str], List[Tuple[int, List[str]]]]:
    """Header and rows, each with the number of its line, of a CSV file; cells are stripped, empty lines left out.

    Raises:
        InputError: unreadable, a row with more or fewer cells than the header, or no row.
    """
    rows = list(_rows(file, _text(file)))
    if len(rows) < 2:
        raise InputError(f"labels {file}", got=f"{len(rows)} lines", expected="a header and at least one row")
    header = rows[0][1]
    for line, cells in rows:
        if len(cells) != len(header):
            got = f"{len(cells)} cells"
            raise InputError(f"{file}, line {line}", got=got, expected=f"{len(header)}, as in the header")
    return header, rows[1:]


def read_header(file: Path) -> List[str]:
    """The cells of a CSV file's header; empty if it has none."""
    try:
        return next(_rows(file, _text(file, _HEADER_BYTES)), (0, []))[1]
    except InputError:
        return []


def _rows(file: Path, text: str) -> Iterator[Tuple[int, List[str]]]:
    declared = _SEPARATOR_LINE.match(text)
    table = text[declared.end() :] if declared else text
    separator = declared[1] if declared else max(SEPARATORS, key=table.lstrip().partition("\n")[0].count)
    reader = csv.reader(io.StringIO(table, newline=""), delimiter=separator, strict=True)
    above = 1 if declared else 0
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num + above, [cell.strip() for cell in cells]
    except csv.Error as error:
        where = f"{file}, line {reader.line_num + above}"
        raise InputError(where, got=f"unreadable ({error})", expected="a CSV file") from error


def number(text: str) -> Optional[float]:
    """A finite number; None for other text."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def decimal(text: str) -> Optional[float]:
    """As `number`, also with a decimal comma."""
    return number(text.replace(",", ".", 1))


def _text(file: Path, limit: int = -1) -> str:
    """The file's text, of its first ``limit`` bytes: UTF-8, UTF-16 with its mark, or Western Europe's on Windows."""
    try:
        with file.open("rb") as stream:
            data = stream.read(limit)
    except OSError as error:
        raise InputError(f"labels {file}", got=f"unreadable ({error})", expected="a CSV file") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")

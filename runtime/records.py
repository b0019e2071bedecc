"""Results as rows: one per face, and one with success 0 for a frame without a face or that could not be analysed."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .results import Face

Row = Dict[str, Any]

# A spreadsheet runs a cell that begins with one of these as a formula (OWASP, "CSV Injection").
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_CELL = 6  # columns of the table; wider for longer names of classes
_NO_FACE: Tuple[Optional[Face], ...] = (None,)


def rows_of(
    source: str,
    frame: int,
    time_s: float,
    faces: Sequence[Face],
    aus: Sequence[str],
    expressions: Sequence[str] = (),
    error: Optional[str] = None,
) -> List[Row]:
    """Flat rows of one frame, every row with the same columns in the same order.

    Args:
        source, frame, time_s: where the frame comes from.
        faces: the faces in it; empty with an ``error``.
        aus, expressions: names of the columns.
        error: why the frame could not be analysed; None if it was.
    """
    return [_row(source, frame, time_s, face, aus, expressions, error) for face in faces or _NO_FACE]


def _row(
    source: str,
    frame: int,
    time_s: float,
    face: Optional[Face],
    aus: Sequence[str],
    expressions: Sequence[str],
    error: Optional[str],
) -> Row:
    row: Row = {"source": source, "frame": frame, "time_s": round(time_s, 3), "success": int(face is not None)}
    box = [round(v, 1) for v in face.box_xyxy] if face else [None] * 4
    row["track_id"] = face.track_id if face else None
    row.update(zip(("left", "top", "right", "bottom"), box))
    row["score"] = round(face.score, 3) if face else None
    row["neutral_ready"] = int(face.neutral_ready) if face else None
    for au in aus:
        row[au] = round(face.au[au], 4) if face else None
    for au in aus:
        row[f"{au}_present"] = int(face.present[au]) if face else None
    for name in expressions:
        row[f"expression_{name}"] = round(face.expression[name], 4) if face else None
    row["error"] = error
    return row


def table_header(aus: Sequence[str]) -> str:
    """The header of the table printed for people."""
    return f"{'frame':>6} {'time_s':>8} {'face':>4} {'neutral':>7} " + " ".join(au.rjust(_CELL) for au in aus)


def table_line(row: Row, aus: Sequence[str]) -> str:
    """A row as aligned columns: probabilities, with a star after those that are present."""
    start = f"{row['frame']:>6} {row['time_s']:>8.2f} "
    if not row["success"]:
        return start + f"   - {'no face' if row['error'] is None else 'not analysed'}"
    neutral = "yes" if row["neutral_ready"] else "not yet"
    cells = (f"{row[au]:.2f}{'*' if row[au + '_present'] else ' '}".rjust(max(_CELL, len(au))) for au in aus)
    return start + f"{row['track_id']:>4} {neutral:>7} " + " ".join(cells)


def csv_line(values: Sequence[Any]) -> str:
    """Cells as a CSV line, without the newline. None becomes empty; no cell is a formula."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([plain_cell(v) if isinstance(v, str) else v for v in values])
    return buffer.getvalue()[:-1]


def plain_cell(text: str) -> str:
    """Text that no spreadsheet runs as a formula: what would be one is prefixed with an apostrophe."""
    return "'" + text if text.startswith(_FORMULA_STARTS) else text


def json_line(row: Row) -> str:
    """One row as a line of JSON, ASCII only."""
    return json.dumps(row, ensure_ascii=True)

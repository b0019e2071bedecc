"""Results as rows: one per face, and one with success 0 for a frame without a face or that could not be analysed."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .face import Face

Row = Dict[str, Any]

# A spreadsheet runs a cell that begins with one of these as a formula (OWASP, "CSV Injection").
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_CELL = 6  # columns of the table; wider for longer names of classes
ANGLES = ("yaw_deg", "pitch_deg", "roll_deg")
_NAME_WIDTH = 28
_NO_FACE: Tuple[Optional[Face], ...] = (None,)


def rows_of(
    source: str,
    frame: int,
    time_s: float,
    faces: Sequence[Face],
    aus: Sequence[str],
    expressions: Sequence[str] = (),
    error: Optional[str] = None,
    *,
    moving: bool = True,
    intensity: bool = False,
) -> List[Row]:
    """Flat rows of one frame, every row with the same columns in the same order.

    Args:
        source, frame, time_s: where the frame comes from.
        faces: the faces in it; empty with an ``error``.
        aus, expressions: names of the columns.
        error: why the frame could not be analysed; None if it was.
        moving: the frame is a video's. In a still a neutral that is not given can't be found either, so its
            ``neutral_ready`` is empty instead of 0.
        intensity: whether the model has intensities, and the rows columns for them.
    """
    start: Row = {"source": source, "frame": frame, "time_s": round(time_s, 3)}
    rows = [_row(start, face, aus, expressions, error, intensity) for face in faces or _NO_FACE]
    for row in rows:
        row["neutral_ready"] = row["neutral_ready"] or (0 if moving and row["success"] else None)
    return rows


def _row(
    start: Row,
    face: Optional[Face],
    aus: Sequence[str],
    expressions: Sequence[str],
    error: Optional[str],
    intensity: bool,
) -> Row:
    row: Row = {**start, "success": int(face is not None)}
    box = [round(v, 1) for v in face.box_xyxy] if face else [None] * 4
    row["track_id"] = face.track_id if face else None
    row.update(zip(("left", "top", "right", "bottom"), box))
    row["score"] = round(face.score, 3) if face else None
    angles = face.pose.to_dict() if face else {}
    for name in ANGLES:
        row[name] = round(angles[name], 1) if face else None
    row["neutral_ready"] = int(face.neutral_ready) if face else None
    for au in aus:
        row[au] = round(face.au[au], 4) if face else None
    for au in aus:
        row[f"{au}_present"] = int(face.present[au]) if face else None
    for au in aus if intensity else ():
        row[f"{au}_intensity"] = round(face.intensity[au], 3) if face else None
    for name in expressions:
        row[f"expression_{name}"] = round(face.expression[name], 4) if face else None
    row["error"] = error
    return row


@dataclass(frozen=True)
class TableColumns:
    """What the table for people begins with.

    Attributes:
        source: the name of the file, which a folder or several sources need.
        time: number and time of the frame, which pictures don't have.
    """

    source: bool = False
    time: bool = True


VIDEO_TABLE = TableColumns()


def table_header(aus: Sequence[str], columns: TableColumns = VIDEO_TABLE) -> str:
    """The header of the table printed for people."""
    start = f"{'file':<{_NAME_WIDTH}} " if columns.source else ""
    start += f"{'frame':>6} {'time_s':>8} " if columns.time else ""
    return start + f"{'face':>4} {'neutral':>7} " + " ".join(au.rjust(_CELL) for au in aus)


def table_line(row: Row, aus: Sequence[str], columns: TableColumns = VIDEO_TABLE) -> str:
    """A row as aligned columns: probabilities, with a star after those that are present."""
    start = f"{_short(row['source']):<{_NAME_WIDTH}} " if columns.source else ""
    start += f"{row['frame']:>6} {row['time_s']:>8.2f} " if columns.time else ""
    if not row["success"]:
        return start + f"   - {'no face' if row['error'] is None else 'not analysed'}"
    neutral = {1: "yes", 0: "not yet", None: "none"}[row["neutral_ready"]]
    cells = (f"{row[au]:.2f}{'*' if row[au + '_present'] else ' '}".rjust(max(_CELL, len(au))) for au in aus)
    return start + f"{row['track_id']:>4} {neutral:>7} " + " ".join(cells)


def _short(source: str) -> str:
    """The end of a path, with ``...`` where it is cut."""
    name = source if len(source) <= _NAME_WIDTH else os.path.basename(source)
    return name if len(name) <= _NAME_WIDTH else "..." + name[3 - _NAME_WIDTH :]


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

"""Results as rows: one per face, and one with success 0 for a frame without a face."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Dict, List, Sequence

from .analyzer import Face


def rows_of(source: str, frame: int, time_s: float, faces: Sequence[Face], aus: Sequence[str]) -> List[Dict[str, Any]]:
    """Flat rows of one frame, every row with the same columns in the same order."""
    if not faces:
        return [_row(source, frame, time_s, None, aus)]
    return [_row(source, frame, time_s, face, aus) for face in faces]


def _row(source: str, frame: int, time_s: float, face: Face | None, aus: Sequence[str]) -> Dict[str, Any]:
    row: Dict[str, Any] = {
        "source": source,
        "frame": frame,
        "time_s": round(time_s, 3),
        "success": int(face is not None),
    }
    box = [round(v, 1) for v in face.box_xyxy] if face else [None] * 4
    row["track_id"] = face.track_id if face else None
    row.update(zip(("left", "top", "right", "bottom"), box))
    row["score"] = round(face.score, 3) if face else None
    row["neutral_ready"] = int(face.neutral_ready) if face else None
    for au in aus:
        row[au] = round(face.au[au], 4) if face else None
    for au in aus:
        row[f"{au}_present"] = int(face.present[au]) if face else None
    if face:
        row.update((f"expression_{name}", round(value, 4)) for name, value in face.expression.items())
    return row


class TableWriter:
    """Aligned columns for a person: probabilities as they are, a star behind those that are present."""

    def __init__(self, aus: Sequence[str]) -> None:
        self._aus = aus

    def header(self) -> str:
        """The first line."""
        return f"{'frame':>6} {'time_s':>8} {'face':>4} {'neutral':>7} " + " ".join(f"{au:>6}" for au in self._aus)

    def line(self, row: Dict[str, Any]) -> str:
        """One row as text."""
        start = f"{row['frame']:>6} {row['time_s']:>8.2f} "
        if not row["success"]:
            return start + "   - no face"
        neutral = "yes" if row["neutral_ready"] else "not yet"
        cells = (f"{row[au]:.2f}{'*' if row[au + '_present'] else ' '}".rjust(6) for au in self._aus)
        return start + f"{row['track_id']:>4} {neutral:>7} " + " ".join(cells)


class CsvWriter:
    """Comma-separated values with a header; missing values are empty."""

    def __init__(self) -> None:
        self._columns: List[str] = []

    def lines(self, row: Dict[str, Any]) -> str:
        """The text for one row, the header before the first; ends without a newline."""
        buffer = io.StringIO()
        first = not self._columns
        self._columns = self._columns or list(row)
        writer = csv.DictWriter(buffer, self._columns, extrasaction="ignore", restval="", lineterminator="\n")
        if first:
            writer.writeheader()
        writer.writerow(row)
        return buffer.getvalue().rstrip("\n")


def json_line(row: Dict[str, Any]) -> str:
    """One row as a line of JSON, ASCII only."""
    return json.dumps(row, ensure_ascii=True)

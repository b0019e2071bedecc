"""AU_OCC tables of BP4D and BP4D+: a header of AU numbers, then one row per frame with 0, 1, or 9 for not coded."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from edgeau.runtime.action_units import au_name
from edgeau.runtime.crop_set import PRESENT
from edgeau.runtime.errors import InputError

from .tree import read_lines

NOT_CODED = 9.0


def read_presence(file: Path, aus: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[str, ...], np.ndarray]:
    """Frame numbers, those of the AUs that the table has, and intensity float32 [T, A] with PRESENT, 0 or NaN.

    Raises:
        InputError: no header, a short row, a frame twice, or a label other than 0, 1 and 9.
    """
    rows = [row for row in csv.reader(read_lines(file)) if any(cell.strip() for cell in row)]
    header = [cell.strip() for cell in rows[0]] if rows else []
    named = {au_name(name): i for i, name in enumerate(header) if i > 0 and name.isdigit() and int(name)}
    if len(set(named)) < 2 or len(named) < len(header) - 1:
        got = ",".join(header[:6]) or "nothing"
        raise InputError(f"{file}, line 1", got=got, expected="a header with the numbers of the AUs, such as 0,1,2,4")
    chosen = tuple(au for au in aus if au in named)
    numbers, table = [], []
    for line, row in enumerate(rows[1:], start=2):
        if len(row) < len(header):
            raise InputError(f"{file}, line {line}", got=f"{len(row)} cells", expected=f"{len(header)}, as in line 1")
        numbers.append(_frame(file, line, row[0]))
        table.append([_label(file, line, row[named[au]]) for au in chosen])
    if len(set(numbers)) != len(numbers):
        twice = next(n for n in numbers if numbers.count(n) > 1)
        raise InputError(f"label file {file}", got=f"frame {twice} twice", expected="one row per frame")
    return tuple(numbers), chosen, np.array(table, np.float32).reshape(len(numbers), len(chosen))


def read_column(file: Path) -> dict[int, float]:
    """Intensities by frame number of one AU's table, without those that were not coded; a header is skipped."""
    values: dict[int, float] = {}
    for line, row in enumerate(csv.reader(read_lines(file)), start=1):
        if len(row) >= 2 and row[0].strip().isdigit():
            value = row[1].strip()
            if value not in ("0", "1", "2", "3", "4", "5", "9"):
                raise InputError(f"{file}, line {line}", got=repr(value), expected="an intensity from 0 to 5, or 9")
            if value != "9":
                values[int(row[0])] = float(value)
    return values


def _frame(file: Path, line: int, text: str) -> int:
    try:
        return int(float(text))
    except ValueError:
        raise InputError(f"{file}, line {line}", got=repr(text), expected="a frame number first") from None


def _label(file: Path, line: int, text: str) -> float:
    value = text.strip()
    if value in ("9", "9.0"):
        return float("nan")
    if value not in ("0", "1", "0.0", "1.0"):
        raise InputError(f"{file}, line {line}", got=repr(value), expected="0, 1, or 9 for not coded")
    return PRESENT if value.startswith("1") else 0.0

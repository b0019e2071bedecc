"""What a person looks at in a crop set: ``index.csv``, ``contact-sheet.png``, and how often each unit occurs."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeau.runtime.crops import read_shard, spread
from edgeau.runtime.files import atomic_path, write_text

CAPTION_PX = 16


def base_rates(folder: Path, index: dict[str, Any], present_from: float = 2.0) -> dict[str, float]:
    """The part of all samples in which each unit has at least this intensity."""
    counts, total = np.zeros(len(index["aus"])), 0
    for shard in index["shards"]:
        _, labels = read_shard(folder, shard["name"])
        counts += (labels["au"] >= present_from).sum(axis=0)
        total += len(labels["au"])
    return {au: float(count / total) for au, count in zip(index["aus"], counts, strict=True)}


def write_csv(folder: Path, index: dict[str, Any]) -> None:
    """``index.csv``: one line a picture, in the order of the shards."""
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["shard", "row", "subject", "sequence", "frame", "neutral_row", "expression", *index["aus"]])
    for shard in index["shards"]:
        _, labels = read_shard(folder, shard["name"])
        for row in range(len(labels["au"])):
            number = int(labels["expression"][row])
            name = index["expressions"][number] if number >= 0 else ""
            place = [
                shard["name"],
                row,
                shard["subject"],
                *(int(labels[key][row]) for key in ("sequence", "frame", "neutral")),
            ]
            table.writerow([*place, name, *(f"{float(value):.1f}" for value in labels["au"][row])])
    write_text(folder / "index.csv", buffer.getvalue())


def caption(intensity: np.ndarray, aus: list[str]) -> str:
    """``6+12+25`` for the units at intensity 2 or more; ``-`` for none."""
    return "+".join(str(int(au[2:])) for au, value in zip(aus, intensity, strict=True) if value >= 2) or "-"


def write_contact_sheet(folder: Path, index: dict[str, Any], rows: int = 12, columns: int = 10) -> Path:
    """``contact-sheet.png``: a row for each of some subjects, a neutral image first, captions with the units shown."""
    lines = []
    shards = index["shards"]
    for at in spread(len(shards), rows):
        pixels, labels = read_shard(folder, shards[int(at)]["name"])
        neutral = int(labels["neutral"][-1])
        others = [row for row in range(len(pixels)) if not labels["is_neutral"][row]]
        chosen = [neutral, *(others[int(i)] for i in spread(len(others), columns - 1))]
        cells = [_cell(np.asarray(pixels[row]), caption(labels["au"][row], index["aus"])) for row in chosen]
        cells += [np.full_like(cells[0], 255)] * (columns - len(cells))
        lines.append(np.hstack(cells))
    file = folder / "contact-sheet.png"
    with atomic_path(file) as temporary:
        if not cv2.imwrite(str(temporary), np.vstack(lines)[..., ::-1]):
            raise OSError(f"could not write {file}")
    return file


def _cell(face: np.ndarray, text: str) -> np.ndarray:
    band = np.full((CAPTION_PX, face.shape[1], 3), 255, np.uint8)
    scale = min(0.38, 0.38 * face.shape[1] / max(1, cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.38, 1)[0][0]))
    cv2.putText(band, text, (2, CAPTION_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([face, band])

"""Human-readable overviews of a crop set: ``index.csv``, ``contact-sheet.png`` and AU co-occurrence."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgeau.runtime.action_units import is_au
from edgeau.runtime.crop_set import Index, read_shard, spread
from edgeau.runtime.files import atomic_path, write_text

CAPTION_PX = 16


def together(folder: Path, index: Index, present_from: float = 2.0) -> np.ndarray:
    """Fraction of samples in which each pair of AUs is present; the diagonal holds the base rates.

    Returns:
        float64 [A, A].
    """
    counts, total = np.zeros((len(index.aus),) * 2), 0
    for shard in index.shards:
        _, labels = read_shard(folder, shard.name)
        present = (labels["au"] >= present_from).astype(np.float64)
        counts += present.T @ present
        total += len(present)
    return counts / max(total, 1)


def write_cooccurrence(folder: Path, index: Index, joint: np.ndarray) -> None:
    """Write ``cooccurrence.csv``: one row per AU, with its base rate and the probability of each other AU given it."""
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["given", "rate", *index.aus])
    for row, au in enumerate(index.aus):
        rate = joint[row, row]
        conditional = joint[row] / rate if rate > 0 else np.zeros(len(joint))
        table.writerow([au, f"{rate:.3f}", *(f"{value:.3f}" for value in conditional)])
    write_text(folder / "cooccurrence.csv", buffer.getvalue())


def write_csv(folder: Path, index: Index) -> None:
    """Write ``index.csv``: one line per image, in shard order."""
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["shard", "row", "subject", "sequence", "frame", "neutral_row", "expression", *index.aus])
    for shard in index.shards:
        _, labels = read_shard(folder, shard.name)
        for row in range(len(labels["au"])):
            number = int(labels["expression"][row])
            name = index.expressions[number] if number >= 0 else ""
            place = [
                shard.name,
                row,
                shard.subject,
                *(int(labels[key][row]) for key in ("sequence", "frame", "neutral")),
            ]
            table.writerow([*place, name, *(f"{float(value):.1f}" for value in labels["au"][row])])
    write_text(folder / "index.csv", buffer.getvalue())


def caption(intensity: np.ndarray, aus: Sequence[str]) -> str:
    """List the AUs at intensity 2 or more, as in ``6+12+25``; ``-`` if there are none."""
    shown = (au for au, value in zip(aus, intensity, strict=True) if value >= 2)
    return "+".join(str(int(au[2:])) if is_au(au) else au for au in shown) or "-"


def write_contact_sheet(folder: Path, index: Index, rows: int = 12, columns: int = 10) -> Path:
    """Write ``contact-sheet.png``: one row per sampled subject, neutral image first, captioned with the AUs shown."""
    lines = []
    shards = index.shards
    for at in spread(len(shards), rows):
        pixels, labels = read_shard(folder, shards[int(at)].name)
        neutral = int(labels["neutral"][-1])
        others = [row for row in range(len(pixels)) if not labels["is_neutral"][row]]
        first = [neutral] if neutral >= 0 else []
        chosen = [*first, *(others[int(i)] for i in spread(len(others), columns - len(first)))]
        cells = [_cell(np.asarray(pixels[row]), caption(labels["au"][row], index.aus)) for row in chosen]
        cells += [np.full_like(cells[0], 255)] * (columns - len(cells))
        lines.append(np.hstack(cells))
    file = folder / "contact-sheet.png"
    with atomic_path(file) as temporary:
        if not cv2.imwrite(str(temporary), np.vstack(lines)[..., ::-1]):
            raise OSError(f"could not write {file}")
    return file


def _cell(face: np.ndarray, text: str) -> np.ndarray:
    band = np.full((CAPTION_PX, face.shape[1], 3), 255, np.uint8)
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)[0][0]
    scale = min(0.38, (face.shape[1] - 6) / width)
    cv2.putText(band, text, (2, CAPTION_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([face, band])

"""Small imitations of data sets in their published layouts, with generated pictures and labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgeau.runtime.action_units import BP4D
from edgeau.train.protocols import PROTOCOLS

DISFA_AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
SIDE = 112  # that of a crop, so that no face has to be detected
FRAMES = 6  # of each person in `write_bp4d` and `write_disfa`


def picture(file: Path, grey: int) -> Path:
    """A grey square of exactly a crop's size."""
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), np.full((SIDE, SIDE, 3), grey, np.uint8))
    return file


def video(file: Path, frames: int) -> Path:
    """Grey squares, each brighter by 20."""
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (SIDE, SIDE))
    for number in range(frames):
        writer.write(np.full((SIDE, SIDE, 3), 30 + 20 * number, np.uint8))
    writer.release()
    return file


def text(file: Path, *lines: str) -> Path:
    """A text file of these lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")
    return file


def occurrence(file: Path, rows: dict[int, dict[int, int]]) -> Path:
    """An AU_OCC table of AUs 1 to 28, with labels by frame and AU, and 0 otherwise."""
    table = [[number, *(labels.get(au, 0) for au in range(1, 29))] for number, labels in rows.items()]
    return text(file, ",".join(map(str, range(29))), *(",".join(map(str, row)) for row in table))


def disfa_labels(root: Path, subject: str, levels: dict[int, Sequence[int]], frames: int, first: int = 1) -> None:
    """One file per AU with its intensities, or 0, and frames numbered from ``first``."""
    for au in DISFA_AUS:
        values = levels.get(au, [0] * frames)
        lines = [f"{number},{level}" for number, level in enumerate(values, start=first)]
        text(root / "ActionUnit_Labels" / subject / f"{subject}_au{au}.txt", *lines)


def synthetic_face(file: Path, rng: np.random.Generator, active: set[int]) -> None:
    """Noise with a bright bar per AU, so that a small network can learn it."""
    image = rng.integers(60, 120, (SIDE, SIDE, 3), np.uint8)
    for au in active:
        image[4 * (au % 28) : 4 * (au % 28) + 4, 20:90] = 250
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), image)


def write_bp4d(root: Path, people: int = 2) -> Path:
    """BP4D with so many people of each of its three parts, and synthetic faces."""
    rng = np.random.default_rng(0)
    numbers = [int(au[2:]) for au in BP4D]
    for part in PROTOCOLS["bp4d"].parts.values():
        for subject in part[:people]:
            rows = {}
            for k in range(FRAMES):
                active = {au for i, au in enumerate(numbers) if i % 3 == k % 3 and k}
                rows[100 + k] = dict.fromkeys(active, 1)
                synthetic_face(root / "img" / subject / "T1" / f"{100 + k:04d}.jpg", rng, active)
            occurrence(root / "AUCoding" / "AU_OCC" / f"{subject}_T1.csv", rows)
    return root


def write_disfa(root: Path, people: int = 2) -> Path:
    """DISFA with so many people of each of its three parts, and synthetic faces, as frames counted from 0."""
    rng = np.random.default_rng(1)
    for part in PROTOCOLS["disfa"].parts.values():
        for subject in part[:people]:
            levels = {au: [4 * (k > 0 and i % 3 == k % 3) for k in range(FRAMES)] for i, au in enumerate(DISFA_AUS)}
            disfa_labels(root, subject, levels, FRAMES)
            for k in range(FRAMES):
                synthetic_face(root / "Images" / subject / f"{k}.png", rng, {au for au in DISFA_AUS if levels[au][k]})
    return root

"""Skin creases that action units form on the built-in head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from edgeau.train.faces.builtin.complexion import place
from edgeau.train.faces.builtin.head import ATLAS_H, ATLAS_W, SKIN_H

# Lines in x and y of the head at rest for the subject's left side (mirrored for the right), width in atlas pixels,
# and how much each darkens the skin at intensity 5.
_CREASES: dict[str, list[tuple[list[tuple[float, float]], int, float]]] = {
    "AU01": [
        ([(0.0, 0.62), (0.22, 0.63), (0.42, 0.60)], 4, 0.42),
        ([(0.0, 0.76), (0.25, 0.77), (0.45, 0.74)], 4, 0.42),
        ([(0.0, 0.90), (0.22, 0.90), (0.40, 0.87)], 4, 0.32),
    ],
    "AU02": [
        ([(0.42, 0.64), (0.62, 0.66), (0.84, 0.60)], 4, 0.42),
        ([(0.42, 0.78), (0.62, 0.80), (0.84, 0.73)], 4, 0.38),
        ([(0.4, 0.91), (0.6, 0.92), (0.78, 0.86)], 4, 0.28),
    ],
    "AU04": [
        ([(0.09, 0.18), (0.075, 0.34), (0.11, 0.50)], 5, 0.62),
        ([(0.0, 0.22), (0.0, 0.40)], 3, 0.22),
        ([(0.14, 0.20), (0.32, 0.19), (0.55, 0.24)], 9, 0.30),
    ],
    "AU06": [
        ([(0.80, -0.02), (0.95, 0.02)], 4, 0.45),
        ([(0.79, -0.08), (0.95, -0.11)], 4, 0.45),
        ([(0.77, -0.13), (0.91, -0.22)], 4, 0.4),
        ([(0.28, -0.15), (0.50, -0.20), (0.74, -0.13)], 6, 0.42),
    ],
    "AU07": [([(0.30, -0.10), (0.50, -0.125), (0.70, -0.09)], 5, 0.40)],
    "AU09": [
        ([(0.0, 0.0), (0.10, 0.03), (0.16, 0.10)], 4, 0.5),
        ([(0.0, -0.09), (0.10, -0.07), (0.19, 0.0)], 4, 0.5),
        ([(0.09, -0.20), (0.17, -0.12), (0.24, -0.10)], 4, 0.42),
        ([(0.30, -0.50), (0.36, -0.64), (0.42, -0.80)], 6, 0.42),
    ],
    "AU10": [
        ([(0.28, -0.56), (0.38, -0.70), (0.44, -0.86)], 7, 0.55),
        ([(0.26, -0.20), (0.45, -0.26), (0.62, -0.22)], 5, 0.15),
    ],
    "AU12": [
        ([(0.30, -0.60), (0.44, -0.76), (0.55, -0.96), (0.58, -1.08)], 5, 0.45),
        ([(0.48, -1.02), (0.53, -1.10), (0.52, -1.18)], 5, 0.38),
    ],
    "AU14": [([(0.45, -1.02), (0.50, -1.13), (0.47, -1.24)], 6, 0.75), ([(0.40, -1.14), (0.46, -1.14)], 6, 0.4)],
    "AU15": [([(0.42, -1.17), (0.47, -1.30), (0.46, -1.42)], 6, 0.55), ([(0.15, -1.42), (0.32, -1.38)], 5, 0.22)],
    "AU17": [
        ([(0.0, -1.41), (0.14, -1.42), (0.28, -1.48)], 6, 0.45),
        ([(0.03, -1.55), (0.09, -1.58)], 6, 0.42),
        ([(0.12, -1.52), (0.19, -1.55)], 6, 0.42),
        ([(0.04, -1.66), (0.12, -1.68)], 6, 0.42),
        ([(0.17, -1.63), (0.22, -1.66)], 5, 0.36),
    ],
    "AU20": [([(0.60, -0.98), (0.66, -1.14), (0.64, -1.30)], 6, 0.40), ([(0.58, -1.4), (0.68, -1.3)], 5, 0.15)],
    "AU23": [
        ([(0.10, -0.97), (0.09, -1.06)], 3, 0.26),
        ([(0.22, -1.0), (0.20, -1.08)], 3, 0.26),
        ([(0.08, -1.18), (0.09, -1.28)], 3, 0.26),
        ([(0.2, -1.17), (0.22, -1.26)], 3, 0.26),
    ],
    "AU24": [
        ([(0.0, -1.37), (0.2, -1.355), (0.33, -1.30)], 5, 0.38),
        ([(0.03, -0.93), (0.2, -0.95), (0.36, -1.02)], 4, 0.22),
        ([(0.43, -1.10), (0.45, -1.19)], 4, 0.30),
    ],
}


@dataclass(frozen=True)
class Crease:
    """How one action unit darkens one side of the skin: float32 ``change`` at these atlas rows and columns."""

    rows: slice
    columns: slice
    change: np.ndarray


@lru_cache(maxsize=1)
def creases() -> dict[str, tuple[Crease, Crease]]:
    """The creases (right, left) of each action unit that has any, at intensity 5."""
    return {au: (_crease(strokes, -1), _crease(strokes, 1)) for au, strokes in _CREASES.items()}


def _crease(strokes: list[tuple[list[tuple[float, float]], int, float]], side: int) -> Crease:
    paths = [place(_resample(np.array(line)) * (side, 1)) for line, _, _ in strokes]
    margin = 6 * max(width for _, width, _ in strokes)
    every = np.concatenate(paths)
    low = np.maximum(every.min(axis=0).astype(int) - margin, 0)
    high = np.minimum(every.max(axis=0).astype(int) + margin, (ATLAS_W, SKIN_H))
    total = np.zeros((high[1] - low[1], high[0] - low[0]), np.float32)
    for path, (_, width, depth) in zip(paths, strokes, strict=True):
        groove = np.zeros_like(total)
        cv2.polylines(groove, [np.round((path - low) * 16).astype(np.int32)], False, 1.0, width, cv2.LINE_AA, 4)
        groove = cv2.GaussianBlur(groove, (0, 0), 0.55 * width)
        fold = cv2.GaussianBlur(groove, (0, 0), 1.3 * width)
        total += depth * (0.55 * np.roll(fold, width + 2, axis=0) - groove - 0.35 * fold)
    return Crease(slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])), total)


def _resample(knots: np.ndarray, count: int = 24) -> np.ndarray:
    """Points [count, 2] along a line through knots [K, 2]."""
    at, knot_at = np.linspace(0, 1, count), np.linspace(0, 1, len(knots))
    return np.stack([np.interp(at, knot_at, knots[:, axis]) for axis in (0, 1)], -1)


def crease_gain(au: dict[str, tuple[float, float]], depth: float) -> np.ndarray:
    """Factor on the light from creases at these intensities: float32 [ATLAS_H, ATLAS_W], 1 on smooth skin."""
    gain = np.ones((ATLAS_H, ATLAS_W), np.float32)
    for name, sides in creases().items():
        for crease, intensity in zip(sides, au.get(name, (0.0, 0.0)), strict=True):
            if intensity > 0:
                gain[crease.rows, crease.columns] += crease.change * (intensity / 5 * depth)
    return np.maximum(gain, 0.15, out=gain)

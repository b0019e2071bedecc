"""Furrows that deepen with action units: where they run, and their strength per vertex.

One texture holds all furrows, without overlap between AUs. How strongly it shows is a number per vertex, so each region
and each side of the face follows its own AUs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from .skin import SIZE_PX, SkinMap, encode

Line = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Furrows:
    """One region's furrows.

    Attributes:
        centre, radius: of the region on the subject's left, in centimetres; mirrored on the right.
        aus: how strongly each AU deepens the furrows at intensity 5.
        lines: polylines (x, y), drawn on both sides.
        width_cm, depth_cm: size of a furrow.
    """

    centre: tuple[float, float]
    radius: tuple[float, float]
    aus: Mapping[str, float]
    lines: tuple[Line, ...]
    width_cm: float
    depth_cm: float


def _chin_dimples() -> tuple[Line, ...]:
    rng = np.random.default_rng(7)
    places = rng.uniform([0.0, -7.2], [1.7, -5.5], (22, 2))
    ends = places + rng.normal(0, 0.16, (22, 2))
    return tuple(((float(a[0]), float(a[1])), (float(b[0]), float(b[1]))) for a, b in zip(places, ends, strict=True))


FURROWS = (
    Furrows((1.2, 7.6), (1.7, 1.9), {"AU01": 1.0, "AU02": 0.25},
            (((0, 6.9), (1.2, 7.05), (2.6, 7.0)), ((0, 7.75), (1.3, 7.95), (2.8, 7.85)),
             ((0.2, 8.65), (1.4, 8.8), (2.6, 8.6))),
            0.16, 0.10),
    Furrows((4.0, 7.4), (1.7, 1.7), {"AU02": 1.0, "AU01": 0.1},
            (((2.4, 7.0), (3.6, 7.15), (5.0, 6.75)), ((2.6, 7.85), (3.8, 7.95), (5.2, 7.5)),
             ((2.8, 8.65), (3.9, 8.65), (4.9, 8.3))),
            0.16, 0.09),
    Furrows((5.6, 3.3), (1.1, 1.5), {"AU06": 1.0, "AU12": 0.15},
            (((4.9, 3.7), (5.5, 4.05), (6.1, 4.5)), ((4.95, 3.4), (5.6, 3.45), (6.3, 3.55)),
             ((4.9, 3.1), (5.5, 2.85), (6.1, 2.55)), ((4.8, 2.85), (5.3, 2.4), (5.7, 1.9))),
            0.11, 0.07),
    Furrows((2.7, -1.0), (1.3, 1.6), {"AU12": 0.6, "AU10": 0.75, "AU09": 0.6, "AU11": 0.9, "AU14": 0.2, "AU20": 0.3},
            (((1.65, 0.05), (2.1, -0.5), (2.7, -1.3), (3.2, -2.1), (3.5, -2.8)),),
            0.34, 0.14),
    Furrows((0.8, -6.2), (1.3, 1.0), {"AU17": 1.0, "AU15": 0.2, "AU24": 0.15}, _chin_dimples(), 0.16, 0.07),
    Furrows((1.2, -5.1), (1.4, 0.45), {"AU17": 0.9, "AU15": 0.4},
            (((0, -5.15), (0.8, -5.2), (1.5, -5.45)),), 0.22, 0.08),
    Furrows((0.7, 5.6), (1.0, 1.7), {"AU04": 1.0, "AU09": 0.3},
            (((0.62, 4.75), (0.72, 5.5), (0.68, 6.4), (0.8, 7.0)), ((1.15, 5.9), (1.3, 6.6), (1.4, 7.2))), 0.26, 0.12),
    Furrows((0.6, 3.7), (1.0, 0.7), {"AU09": 0.9, "AU04": 0.45},
            (((0, 4.05), (0.7, 3.95)), ((0, 3.55), (0.75, 3.5))), 0.2, 0.08),
    Furrows((0.9, 2.3), (0.8, 1.1), {"AU09": 1.0},
            (((0.35, 3.05), (0.9, 2.6), (1.35, 2.0)), ((0.3, 2.5), (0.8, 2.1), (1.25, 1.5)),
             ((0.45, 3.4), (1.0, 3.1), (1.5, 2.6))),
            0.18, 0.08),
    Furrows((3.2, 2.2), (1.7, 0.7), {"AU06": 0.9, "AU07": 0.7, "AU09": 0.4},
            (((1.9, 2.75), (2.7, 2.45), (3.7, 2.4), (4.5, 2.6)), ((1.8, 2.35), (2.7, 1.95), (3.8, 1.85), (4.6, 2.1))),
            0.13, 0.08),
    Furrows((3.15, -3.25), (0.7, 0.8), {"AU14": 1.0, "AU12": 0.35, "AU20": 0.4, "AU24": 0.25},
            (((2.95, -2.5), (3.12, -3.1), (3.1, -3.7), (2.9, -4.2)),), 0.30, 0.11),
    Furrows((2.9, -4.7), (0.8, 1.0), {"AU15": 1.0, "AU17": 0.25, "AU20": 0.2},
            (((2.8, -4.05), (2.9, -4.5), (2.95, -5.0), (2.8, -5.6)), ((2.25, -4.5), (2.0, -4.8))),
            0.28, 0.11),
)  # fmt: skip


def texture(skin: SkinMap) -> np.ndarray:
    """Texture of the furrows, uint8 [N, N, 4]: normal offset and darkness."""
    height = np.zeros((SIZE_PX, SIZE_PX), np.float32)
    darkness = np.zeros_like(height)
    scale = SIZE_PX / 19.0  # texels per centimetre, approximately, in the middle of the face
    for furrow in FURROWS:
        drawn = np.zeros_like(height)
        thickness = max(1, round(furrow.width_cm * scale * 0.5))
        for line in furrow.lines:
            for side in (-1, 1):
                texels = skin.texels(_resample(line) * [side, 1])
                cv2.polylines(drawn, [(texels * 16).astype(np.int32)], False, 1.0, thickness, cv2.LINE_AA, 4)
        groove = cv2.GaussianBlur(drawn, (0, 0), furrow.width_cm * scale * 0.55)
        bank = cv2.GaussianBlur(drawn, (0, 0), furrow.width_cm * scale * 1.6)
        peak = max(float(groove.max()), 1e-6)
        height += furrow.depth_cm * (0.8 * bank - groove) / peak
        darkness = np.maximum(darkness, groove / peak * min(furrow.depth_cm / 0.14, 1))
    return encode(np.clip(skin.relief(height), -1, 1), darkness)


def _resample(line: Line) -> np.ndarray:
    points = np.array(line)
    steps = np.linspace(0, len(points) - 1, 6 * len(points))
    return np.stack([np.interp(steps, np.arange(len(points)), points[:, k]) for k in (0, 1)], axis=1)


class WrinkleStrength:
    """Strength of the furrows at each vertex.

    Args:
        neutral: float32 [V, 3].
    """

    def __init__(self, neutral: np.ndarray) -> None:
        x, y = np.abs(neutral[:, 0]), neutral[:, 1]
        masks = np.stack(
            [
                np.exp(-(np.abs((x - f.centre[0]) / f.radius[0]) ** 4 + np.abs((y - f.centre[1]) / f.radius[1]) ** 4))
                for f in FURROWS
            ]
        ).astype(np.float32)
        left = np.clip(neutral[:, 0] / 0.8 + 0.5, 0, 1).astype(np.float32)
        self._masks = np.concatenate([masks * (1 - left), masks * left])

    def at(self, au: Mapping[str, tuple[float, float]], resting: float) -> np.ndarray:
        """float32 [V]: from 0 (smooth) to 1 (deep), at most 1.2. ``resting`` is the strength without any AU."""
        strength = [
            sum(gain * au[name][side] / 5 for name, gain in f.aus.items() if name in au)
            for side in (0, 1)
            for f in FURROWS
        ]
        total: np.ndarray = np.minimum(np.array(strength, np.float32) @ self._masks + np.float32(resting), 1.2)
        return total

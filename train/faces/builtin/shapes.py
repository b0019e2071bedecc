"""How the built-in head varies: identity shapes, and one shape per action unit.

Shapes are displacements at FACS intensity 5, in interpupillary distances, modelled by hand after the descriptions in
the FACS manual (Ekman, Friesen and Hager, 2002): which skin moves, where to, and what it covers or uncovers. Each is
split into the subject's right and left half.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from edgeau.train.faces.builtin.head import IDENTITY_SIZE, Mesh, head
from edgeau.train.faces.builtin.head_layout import EYE_X, MOUTH_HALF, MOUTH_Y, blob, ramp

Push = tuple[tuple[float, float], tuple[float, float], tuple[float, float, float]]


class _Canvas:
    """Masks over the head's vertices, and Gaussian pushes, which are mirrored: x points away from the midline."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.rest = mesh.rest.astype(np.float64)
        self.plane = np.stack([np.abs(self.rest[:, 0]), self.rest[:, 1]], -1)
        self.sign = np.sign(self.rest[:, 0])
        self.skin = np.zeros(len(self.rest))
        self.skin[mesh.groups["skin"]] = ramp(self.rest[mesh.groups["skin"], 2], -1.1, -0.7)
        height = mesh.layout[:, 1].astype(np.float64)
        self.below_mouth = np.where(height < MOUTH_Y, 1.0, 0.0) * self.skin
        self.above_mouth = self.skin - self.below_mouth
        self.below_eye = np.where(height < 0, 1.0, 0.0) * self.skin
        self.above_eye = self.skin - self.below_eye

    def push(self, pushes: list[Push], mask: np.ndarray | None = None) -> np.ndarray:
        """Sum of pushes (centre, size, displacement) within a mask, by default the skin: float64 [V, 3]."""
        total = np.zeros_like(self.rest)
        for centre, size, move in pushes:
            weight = blob(self.plane, centre, size) * (self.skin if mask is None else mask)
            total += weight[:, None] * np.array(move)[None]
        total[:, 0] *= self.sign
        return total

    def lids(self, upper: float, lower: float) -> np.ndarray:
        """Lower the lid margins, and the skin near them, by these fractions of the eye opening."""
        moved = np.zeros_like(self.rest)
        across = np.clip(1 - ((self.plane[:, 0] - EYE_X) / 0.26) ** 2, 0, 1) ** 0.6
        height = self.rest[:, 1]
        near_upper = across * self.above_eye * np.exp(-np.clip(height - 0.10, 0, 1) / 0.06)
        near_lower = across * self.below_eye * np.exp(-np.clip(-0.08 - height, 0, 1) / 0.07)
        moved[:, 1] = -0.155 * (upper * near_upper + lower * near_lower)
        moved[:, 2] = 0.03 * np.abs(upper) * near_upper
        return moved

    def lip_body(self, upper: bool) -> np.ndarray:
        """Mask of one lip: 1 on the red of the lip, fading out around it."""
        mask = self.above_mouth if upper else self.below_mouth
        across = np.clip(1 - (self.plane[:, 0] / (MOUTH_HALF * 1.03)) ** 2, 0, 1) ** 0.7
        away = np.abs(self.rest[:, 1] - MOUTH_Y)
        return mask * across * np.exp(-((np.clip(away - 0.08, 0, 1) / 0.14) ** 2))


def _jaw(c: _Canvas, degrees: float) -> np.ndarray:
    """Rotate the lower face about the jaw joints; the upper lip stays, so the lips part."""
    pivot = np.array([0.0, -0.35, -0.95])
    angle = np.deg2rad(degrees)
    relative = c.rest - pivot
    turned = relative.copy()
    turned[:, 1] = relative[:, 1] * np.cos(angle) - relative[:, 2] * np.sin(angle)
    turned[:, 2] = relative[:, 1] * np.sin(angle) + relative[:, 2] * np.cos(angle)
    weight = c.below_mouth * ramp(c.plane[:, 0], 1.2, 0.35)
    weight = np.maximum(weight, c.skin * ramp(c.rest[:, 1], -0.75, -1.6) * ramp(c.plane[:, 0], 0.3, 0.7))
    inner = c.mesh.groups["lip_inner"][1]
    fade = np.clip(1 - (c.plane[:, 0] / MOUTH_HALF) ** 2, 0, 1) ** 0.5
    near_mouth = np.exp(-((np.clip(np.abs(c.rest[:, 1] - MOUTH_Y) - 0.02, 0, 1) / 0.25) ** 2))
    weight = weight * (1 - near_mouth * (1 - np.maximum(fade, 0.45)))
    weight[inner] *= fade[inner] ** 0.3
    for name, follow in (("teeth_lower", 1.0), ("tongue", 0.9), ("neck", 0.0)):
        weight[c.mesh.groups[name]] = follow
    return (turned - relative) * weight[:, None]


def _thin_lips(c: _Canvas, upper: float, lower: float) -> np.ndarray:
    """Roll the red of the lips inwards, towards the mouth line."""
    moved = np.zeros_like(c.rest)
    toward = MOUTH_Y - c.rest[:, 1]
    for amount, on_upper in ((upper, True), (lower, False)):
        body = c.lip_body(on_upper) * np.exp(-((np.clip(np.abs(toward) - 0.15, 0, 1) / 0.05) ** 2))
        moved[:, 1] += amount * body * toward
        moved[:, 2] -= 0.05 * amount * body
    return moved


def _corner(x: float, y: float, z: float, size: tuple[float, float] = (0.17, 0.15)) -> Push:
    return ((MOUTH_HALF, MOUTH_Y), size, (x, y, z))


def _lip_line(c: _Canvas, upper: float, lower: float) -> np.ndarray:
    """Raise (or, if negative, lower) each lip, most in the middle."""
    moved = np.zeros_like(c.rest)
    moved[:, 1] = upper * c.lip_body(True) + lower * c.lip_body(False)
    return moved


_SHAPES: dict[str, Callable[[_Canvas], np.ndarray]] = {
    "AU01": lambda c: c.push(
        [((0.17, 0.38), (0.20, 0.17), (0.0, 0.21, 0.0)), ((0.2, 0.75), (0.3, 0.25), (0, 0.07, 0.03))], c.above_eye
    ),
    "AU02": lambda c: c.push(
        [
            ((0.80, 0.40), (0.24, 0.18), (0.0, 0.21, 0.0)),
            ((0.7, 0.75), (0.3, 0.25), (0, 0.07, 0.03)),
            ((0.62, 0.16), (0.16, 0.06), (0, 0.05, 0)),
        ],
        c.above_eye,
    ),
    "AU04": lambda c: c.push(
        [
            ((0.22, 0.32), (0.26, 0.17), (-0.10, -0.15, 0.04)),
            ((0.55, 0.36), (0.22, 0.16), (-0.03, -0.10, 0.03)),
            ((0.5, 0.15), (0.2, 0.05), (0, -0.04, 0.02)),
        ],
        c.above_eye,
    ),
    "AU05": lambda c: c.lids(-0.42, 0.0),
    "AU06": lambda c: (
        c.push(
            [
                ((0.62, -0.36), (0.27, 0.19), (0.0, 0.13, 0.09)),
                ((0.55, -0.14), (0.22, 0.07), (0.0, 0.06, 0.03)),
                ((0.90, 0.0), (0.12, 0.2), (-0.05, 0.0, 0.0)),
            ],
            c.below_eye,
        )
        + c.lids(0.06, -0.20)
    ),
    "AU07": lambda c: c.lids(0.24, -0.36) + c.push([((0.5, -0.13), (0.2, 0.05), (0, 0.02, 0.02))], c.below_eye),
    "AU09": lambda c: (
        c.push(
            [
                ((0.22, -0.62), (0.14, 0.14), (0.02, 0.12, 0.03)),
                ((0.12, -0.1), (0.16, 0.2), (0, 0.05, 0.04)),
                ((0.16, 0.30), (0.2, 0.12), (-0.05, -0.09, 0.02)),
                ((0.25, -0.95), (0.2, 0.10), (0, 0.08, 0.0)),
            ],
            c.above_mouth,
        )
        + c.lids(0.05, -0.10)
    ),
    "AU10": lambda c: c.push(
        [
            ((0.20, -0.98), (0.19, 0.11), (0.0, 0.15, 0.03)),
            ((0.20, -1.13), (0.17, 0.07), (0.0, 0.01, 0.0)),
            ((0.33, -0.72), (0.15, 0.15), (0.02, 0.09, 0.05)),
        ],
        c.above_mouth,
    ),
    "AU12": lambda c: c.push(
        [
            _corner(0.145, 0.17, -0.12, (0.18, 0.16)),
            ((0.60, -0.62), (0.22, 0.2), (0.04, 0.11, 0.09)),
            ((0.25, -1.0), (0.2, 0.1), (0.04, 0.03, -0.05)),
            ((0.25, -1.28), (0.22, 0.12), (0.05, 0.02, -0.05)),
        ]
    ),
    "AU14": lambda c: c.push(
        [_corner(0.06, 0.035, -0.13, (0.11, 0.12)), ((0.55, -1.12), (0.07, 0.13), (-0.07, 0.0, 0.08))]
    ),
    "AU15": lambda c: c.push(
        [_corner(0.05, -0.19, -0.02, (0.15, 0.13)), ((0.45, -1.38), (0.14, 0.12), (0.02, -0.05, 0.04))]
    ),
    "AU17": lambda c: (
        c.push(
            [((0.0, -1.60), (0.26, 0.16), (0.0, 0.13, 0.08)), ((0.0, -1.26), (0.27, 0.10), (0.0, 0.09, 0.06))],
            c.below_mouth,
        )
        + c.push([((0.0, -1.06), (0.24, 0.08), (0.0, 0.075, 0.02))], c.above_mouth)
    ),
    "AU20": lambda c: (
        c.push([_corner(0.19, -0.02, -0.09, (0.21, 0.16)), ((0.62, -1.15), (0.15, 0.2), (0.06, 0.0, 0.05))])
        + _thin_lips(c, 0.18, 0.22)
    ),
    "AU23": lambda c: (
        _thin_lips(c, 0.40, 0.42)
        + c.push([_corner(-0.09, 0.0, 0.03, (0.14, 0.12)), ((0.1, -1.2), (0.18, 0.14), (-0.01, 0.0, 0.05))])
    ),
    "AU24": lambda c: (
        _thin_lips(c, 0.66, 0.66)
        + c.push(
            [
                _corner(0.01, 0.01, -0.04, (0.10, 0.08)),
                ((0.0, -1.42), (0.25, 0.07), (0, 0.02, 0.07)),
                ((0.0, -0.92), (0.22, 0.07), (0, 0.0, 0.06)),
            ]
        )
    ),
    "AU25": lambda c: _lip_line(c, 0.045, -0.14),
    "AU26": lambda c: _jaw(c, 13.0),
    "blink": lambda c: c.lids(0.94, -0.10),
}
SIDED = tuple(_SHAPES)


@lru_cache(maxsize=1)
def expression_basis() -> np.ndarray:
    """Displacements float32 [2 * len(SIDED), V, 3]: for each shape, the subject's right half, then the left half."""
    mesh = head()
    canvas = _Canvas(mesh)
    shapes = np.stack([make(canvas) for make in _SHAPES.values()])
    left = ramp(mesh.rest[:, 0].astype(np.float64), -0.16, 0.16)[None, :, None]
    return np.stack([shapes * (1 - left), shapes * left], axis=1).reshape(-1, *mesh.rest.shape).astype(np.float32)


@lru_cache(maxsize=1)
def identity_basis() -> np.ndarray:
    """Displacements float32 [IDENTITY_SIZE, V, 3] at one standard deviation."""
    mesh = head()
    rest = mesh.rest.astype(np.float64)
    x, y = rest[:, 0], rest[:, 1]
    plane = np.stack([np.abs(x), y], -1)
    moves = np.zeros((IDENTITY_SIZE, *rest.shape))
    lower, upper = ramp(y, 0.1, -1.5), ramp(y, 0.2, 1.2)
    eye, nose = blob(plane, (EYE_X, 0), (0.3, 0.2)), blob(plane, (0, -0.5), (0.26, 0.3))
    mouth = blob(plane, (0, MOUTH_Y), (0.5, 0.24))
    moves[0, :, 0] = 0.05 * x  # breadth of the head
    moves[1, :, 0] = 0.09 * x * lower  # breadth of the jaw
    moves[2, :, 1] = -0.08 * lower  # length of the lower face
    moves[3, :, 1] = -0.07 * ramp(y, -1.2, -1.75)  # length of the chin
    moves[4, :, 1] = 0.08 * upper  # height of the forehead
    moves[5, :, 1] = 0.12 * y * eye  # opening of the eyes
    moves[6, :, 0] = 0.02 * np.sign(x) * blob(plane, (EYE_X, 0.1), (0.35, 0.3))  # distance of the eyes
    moves[7, :, 1] = 0.05 * (plane[:, 0] - EYE_X) * eye  # tilt of the eyes
    moves[8, :, 2] = -0.055 * blob(plane, (EYE_X, 0.02), (0.28, 0.18))  # depth of the eyes
    moves[9, :, 0] = 0.13 * x * nose  # breadth of the nose
    moves[10, :, 2] = 0.06 * nose  # projection of the nose
    moves[11, :, 1] = -0.05 * blob(plane, (0, -0.66), (0.3, 0.18))  # length of the nose
    moves[12, :, 0] = 0.08 * x * mouth  # breadth of the mouth
    moves[13, :, 1] = 0.16 * (y - MOUTH_Y) * mouth * np.where(y > MOUTH_Y, 1, 0)  # upper lip's height
    moves[14, :, 1] = 0.16 * (y - MOUTH_Y) * mouth * np.where(y < MOUTH_Y, 1, 0)  # lower lip's height
    moves[15, :, 1] = 0.035 * blob(plane, (0.5, 0.36), (0.5, 0.12))  # height of the brows
    moves[16, :, 1] = 0.06 * (plane[:, 0] - 0.5) * blob(plane, (0.5, 0.36), (0.5, 0.12))  # tilt of the brows
    moves[17, :, 2] = 0.05 * blob(plane, (0.65, -0.42), (0.28, 0.25))  # cheeks
    moves[18, :, 2] = 0.05 * blob(plane, (0.4, 0.25), (0.5, 0.12))  # brow ridge
    moves[19, :, 2] = 0.05 * blob(plane, (0, -1.6), (0.3, 0.2))  # chin
    skin = np.ones(len(rest))
    for name in ("neck", "curtain", "ear"):
        skin[mesh.groups[name]] = 0.0
    moves[1:] *= skin[None, :, None]
    for name, rows in mesh.groups.items():
        if name in ("eye_r", "eye_l", "teeth_upper", "teeth_lower", "tongue", "cavity"):
            moves[:, rows] = moves[:, rows].mean(axis=1, keepdims=True)
            moves[[0, 5, 7, 9, 12, 13, 14]][:, rows] = 0.0
    return moves.astype(np.float32)


def close_gaps(points: np.ndarray) -> None:
    """Where a lid or lip has passed its counterpart, move both to the height midway between. In place, float [V, 3]."""
    groups = head().groups
    for name in ("lid_r", "lid_l", "lip_inner"):
        upper, lower = groups[name]
        gap = points[upper, 1] - points[lower, 1]
        over = np.minimum(gap, 0) * 0.5
        points[upper, 1] -= over
        points[lower, 1] += over


def weights(au: dict[str, tuple[float, float]], blink: float) -> np.ndarray:
    """Coefficients of ``expression_basis`` for AU intensities 0..5 as (right, left) and a blink 0..1."""
    pairs = np.zeros((len(SIDED), 2), np.float32)
    for name, sides in au.items():
        if name in SIDED:
            pairs[SIDED.index(name)] = np.asarray(sides, np.float32) / 5
    pairs[SIDED.index("blink")] = blink
    return pairs.reshape(-1)

"""A subject's complexion on the built-in head: a painted texture atlas, hair and glasses."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgeau.train.faces.builtin.head import ATLAS_H, ATLAS_W, SKIN_H, TILE, head, skin_uv
from edgeau.train.faces.builtin.head_layout import angle_of

# Skin tones from light to dark, sRGB. Our choice, covering the range seen in photos.
_TONES = np.array(
    [
        (244, 214, 196),
        (233, 193, 168),
        (218, 172, 142),
        (196, 147, 114),
        (168, 119, 88),
        (132, 90, 64),
        (98, 65, 47),
        (70, 47, 36),
    ],
    np.float32,
)
_HAIR = np.array(
    [(30, 24, 22), (52, 36, 28), (84, 56, 38), (130, 92, 56), (176, 140, 92), (120, 56, 32), (150, 148, 146)],
    np.float32,
)
_EYES = np.array(
    [(72, 44, 26), (96, 64, 36), (104, 100, 62), (92, 116, 132), (110, 132, 120), (54, 36, 26)], np.float32
)


@dataclass(frozen=True)
class Complexion:
    """What a subject of the built-in head looks like, apart from its shape.

    Attributes:
        atlas: uint8 [ATLAS_H, ATLAS_W, 3], RGB, unlit.
        shine: strength of the skin's specular highlight, 0..1.
        creases: depth of the creases, about 0.4 (young) to 1.4.
        hair: ``none``, ``short``, ``fringe`` or ``long``.
        hair_lift, hair_drop: thickness of the hair, and how far the hairline comes down.
        glasses: RGB of the frame, or None for no glasses.
    """

    atlas: np.ndarray
    shine: float
    creases: float
    hair: str
    hair_lift: float
    hair_drop: float
    glasses: tuple[int, int, int] | None


def draw_complexion(seed: int, heldout: bool) -> Complexion:
    """Draw a subject's complexion. ``heldout`` uses skin tones that training leaves out."""
    rng = np.random.default_rng([seed, 11])
    tone = (len(_TONES) - 1) * rng.beta(1.2, 1.6)
    if heldout:
        tone = np.floor(tone) + 0.5  # midway between two tones, which training never hits exactly
    base = _blend(_TONES, tone) * rng.normal(1, 0.015, 3)
    dark_hair = tone > 3.5 or rng.random() < 0.45
    hair = _HAIR[rng.integers(0, 2)] if dark_hair else _HAIR[rng.integers(1, len(_HAIR))]
    hair = np.clip(hair * rng.uniform(0.8, 1.2), 8, 235)
    kind = str(rng.choice(["none", "short", "fringe", "long"], p=[0.12, 0.42, 0.14, 0.32]))
    bearded = kind != "long" and rng.random() < 0.4
    atlas = np.zeros((ATLAS_H, ATLAS_W, 3), np.float32)
    atlas[:SKIN_H] = _skin(rng, base, hair, bearded)
    _tiles(atlas, rng, hair)
    framed = rng.random() < 0.12
    return Complexion(
        atlas=np.clip(atlas, 0, 255).astype(np.uint8),
        shine=float(rng.uniform(0.02, 0.3)),
        creases=float(rng.uniform(0.45, 1.35)),
        hair=kind,
        hair_lift=float(rng.uniform(0.04, 0.2)) if kind != "none" else 0.0,
        hair_drop=float(rng.uniform(0.30, 0.58)) if kind == "fringe" else float(rng.uniform(-0.15, 0.2)),
        glasses=(int(rng.integers(10, 90)), int(rng.integers(10, 80)), int(rng.integers(10, 80))) if framed else None,
    )


def _blend(table: np.ndarray, at: float) -> np.ndarray:
    low = min(int(at), len(table) - 2)
    return table[low] + (table[low + 1] - table[low]) * (at - low)


def place(points_xy: np.ndarray) -> np.ndarray:
    """Atlas pixels of points [N, 2], x and y of the head at rest."""
    points = np.asarray(points_xy, np.float64)
    return skin_uv(np.stack([angle_of(points[:, 0], points[:, 1]), points[:, 1]], -1)).astype(np.float32)


def _mask(polygon_xy: np.ndarray, blur: float) -> np.ndarray:
    mask = np.zeros((SKIN_H, ATLAS_W), np.float32)
    cv2.fillPoly(mask, [np.round(polygon_xy * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
    return cv2.GaussianBlur(mask, (0, 0), blur)[..., None]


def _dim(skin: np.ndarray, centre: tuple[float, float], size: tuple[float, float], amount: object) -> None:
    """Darken a soft spot (centre and size in x and y of the head at rest) by a fraction, optionally one per channel."""
    at = place(np.array([centre]))[0]
    spread = (size[0] * 104, size[1] * 135)
    x0, y0 = (max(0, int(at[i] - 3 * spread[i])) for i in (0, 1))
    x1, y1 = (int(at[i] + 3 * spread[i]) + 1 for i in (0, 1))
    part = skin[y0:y1, x0:x1]
    rows = np.exp(-0.5 * ((np.arange(y0, y0 + part.shape[0]) - at[1]) / spread[1]) ** 2)
    columns = np.exp(-0.5 * ((np.arange(x0, x0 + part.shape[1]) - at[0]) / spread[0]) ** 2)
    part *= 1 - (rows[:, None] * columns[None])[..., None].astype(np.float32) * np.asarray(amount, np.float32)


def _noise(rng: np.random.Generator, cell: int) -> np.ndarray:
    small = rng.normal(size=(SKIN_H // cell + 1, ATLAS_W // cell + 1)).astype(np.float32)
    return cv2.resize(small, (ATLAS_W, SKIN_H), interpolation=cv2.INTER_CUBIC)[..., None]


def _skin(rng: np.random.Generator, base: np.ndarray, hair: np.ndarray, bearded: bool) -> np.ndarray:
    skin = np.broadcast_to(base.astype(np.float32), (SKIN_H, ATLAS_W, 3)).copy()
    skin *= 1 + 0.02 * _noise(rng, 4) + 0.05 * _noise(rng, 32)
    red = rng.uniform(0.2, 0.9) * np.array([-0.01, 0.09, 0.09])
    under_eye, under_brow, fold = rng.uniform((0.05, 0.10, 0.02), (0.25, 0.28, 0.10))
    for side in (-1, 1):
        _dim(skin, (side * 0.62, -0.5), (0.22, 0.16), red)
        _dim(skin, (side * 0.50, -0.14), (0.19, 0.05), under_eye)
        _dim(skin, (side * 0.45, 0.13), (0.20, 0.05), under_brow)
        _dim(skin, (side * 0.20, 0.02), (0.05, 0.08), 0.2)
        _dim(skin, (side * 0.12, -0.74), (0.05, 0.02), 0.6)
        _dim(skin, (side * 0.29, -0.70), (0.035, 0.06), 0.2)
        _dim(skin, (side * 0.45, -0.88), (0.05, 0.13), fold)
    _dim(skin, (0, -0.58), (0.13, 0.09), red)
    _dim(skin, (0, -0.80), (0.15, 0.03), 0.08)
    _dim(skin, (0, -1.40), (0.22, 0.035), 0.13)
    if rng.random() < 0.3:
        _freckles(skin, rng)
    if bearded:
        _beard(skin, rng, hair)
    _lips(skin, rng, base)
    _eye_lines(skin, rng, base)
    _brows(skin, rng, hair)
    return skin


def _freckles(skin: np.ndarray, rng: np.random.Generator) -> None:
    spots = np.zeros((SKIN_H, ATLAS_W), np.float32)
    for x, y in rng.normal((0, -0.3), (0.5, 0.25), (int(rng.integers(40, 160)), 2)):
        u, v = place(np.array([[x, y]]))[0]
        cv2.circle(spots, (int(u), int(v)), int(rng.integers(1, 3)), float(rng.uniform(0.1, 0.3)), -1)
    skin *= 1 - cv2.GaussianBlur(spots, (0, 0), 0.9)[..., None] * np.array([0.6, 0.9, 1.0], np.float32)


def _beard(skin: np.ndarray, rng: np.random.Generator, hair: np.ndarray) -> None:
    """Paint anything from stubble to a full beard on jaw, chin and upper lip."""
    outer = place(
        np.array(
            [
                (-1.05, -0.75),
                (-0.66, -1.0),
                (-0.5, -0.92),
                (-0.25, -0.86),
                (0.25, -0.86),
                (0.5, -0.92),
                (0.66, -1.0),
                (1.05, -0.75),
                (0.95, -1.85),
                (-0.95, -1.85),
            ]
        )
    )
    area = _mask(outer, 6)
    grain = np.clip(0.75 + 0.35 * _noise(rng, 2), 0, 1)
    strength = rng.choice([rng.uniform(0.1, 0.35), rng.uniform(0.6, 0.9)], p=[0.7, 0.3])
    skin += (hair.astype(np.float32) - skin) * area * grain * strength


def _lips(skin: np.ndarray, rng: np.random.Generator, base: np.ndarray) -> None:
    groups, uv = head().groups, head().uv
    upper, lower = groups["lip_outer"]
    outline = np.concatenate([uv[upper], uv[lower][::-1]])
    colour = base * (0.86, 0.62, 0.62) + (18, 0, 4)
    if rng.random() < 0.25:
        colour = np.array([rng.uniform(120, 190), rng.uniform(20, 60), rng.uniform(30, 80)])
    strength = rng.uniform(0.45, 0.95)
    body = _mask(outline, 1.6) * strength
    skin += (colour.astype(np.float32) - skin) * body
    line = np.zeros((SKIN_H, ATLAS_W), np.float32)
    for row in groups["lip_inner"]:
        cv2.polylines(line, [np.round(uv[row] * 16).astype(np.int32)], False, 1.0, 4, cv2.LINE_AA, 4)
    skin *= 1 - 0.55 * cv2.GaussianBlur(line, (0, 0), 1.5)[..., None]
    _dim(skin, (0, -1.24), (0.16, 0.03), -0.08)


def _eye_lines(skin: np.ndarray, rng: np.random.Generator, base: np.ndarray) -> None:
    groups, uv = head().groups, head().uv
    lash, crease = np.zeros((2, SKIN_H, ATLAS_W), np.float32)
    opacity = rng.uniform(0.4, 1.0)
    fold = rng.uniform(0.05, 0.5)
    for name in ("lid_r", "lid_l"):
        upper, lower = uv[groups[name][0]], uv[groups[name][1]]
        cv2.polylines(lash, [np.round((upper - (0, 1.5)) * 16).astype(np.int32)], False, opacity, 4, cv2.LINE_AA, 4)
        cv2.polylines(
            lash,
            [np.round((lower + np.array((0, 1))) * 16).astype(np.int32)],
            False,
            opacity * 0.35,
            2,
            cv2.LINE_AA,
            4,
        )
        cv2.polylines(crease, [np.round((upper - (0, 9)) * 16).astype(np.int32)], False, fold, 3, cv2.LINE_AA, 4)
    skin *= 1 - cv2.GaussianBlur(crease, (0, 0), 2.0)[..., None] * np.array([0.7, 0.85, 0.9], np.float32)
    dark = np.minimum(base * 0.25, 40).astype(np.float32)
    skin += (dark - skin) * np.clip(cv2.GaussianBlur(lash, (0, 0), 1.0), 0, 1)[..., None]


def _brows(skin: np.ndarray, rng: np.random.Generator, hair: np.ndarray) -> None:
    """Paint strokes along the brows, so that they look like hair."""
    mask = np.zeros((SKIN_H, ATLAS_W), np.float32)
    landmarks = head().landmarks
    thickness, density = rng.uniform(0.6, 1.35), rng.uniform(0.35, 0.95)
    for rows, outward in ((landmarks[17:22][::-1], -1), (landmarks[22:27], 1)):
        top = head().uv[rows].astype(np.float64)
        for s in np.repeat(np.linspace(0, 1, 46), 3):
            at = np.array([np.interp(s * 4, range(5), top[:, axis]) for axis in (0, 1)])
            height = 13 * thickness * (1 - 0.65 * s**2)
            rise = 6 * (1 - 0.7 * s**2) + rng.uniform(-0.5, 0.5) * height + 2
            start = at + np.array((rng.normal(0, 1.5), rise))
            end = start + np.array((outward * rng.uniform(4, 9), -rng.uniform(2, 6) * (1 - 1.2 * s)))
            cv2.line(
                mask,
                tuple(np.round(start * 16).astype(int)),
                tuple(np.round(end * 16).astype(int)),
                density,
                1,
                cv2.LINE_AA,
                4,
            )
    mask = cv2.GaussianBlur(mask, (0, 0), 1.3)[..., None] * 1.3
    skin += (np.minimum(hair, skin.mean((0, 1)) * 0.75).astype(np.float32) - skin) * np.clip(mask, 0, 1)


def _tiles(atlas: np.ndarray, rng: np.random.Generator, hair: np.ndarray) -> None:
    atlas[SKIN_H:, :TILE] = _eye_tile(rng)
    atlas[SKIN_H:, TILE : 2 * TILE] = _teeth_tile(rng)
    strands = cv2.GaussianBlur(rng.normal(size=(TILE, TILE)).astype(np.float32), (0, 0), sigmaX=0.7, sigmaY=9) * 2.4
    atlas[SKIN_H:, 2 * TILE : 3 * TILE] = hair * (1 + 0.55 * strands[..., None])
    inside = atlas[SKIN_H:, 3 * TILE :]
    inside[:] = (45, 16, 16)
    inside[: TILE // 2] = (150, 74, 74)
    inside[int(0.5 * TILE) : int(0.74 * TILE)] = rng.uniform(20, 220, 3)


def _eye_tile(rng: np.random.Generator) -> np.ndarray:
    """The eyeball from the front; distance from the centre is proportional to the angle from the optical axis."""
    y, x = np.mgrid[:TILE, :TILE].astype(np.float32) - TILE / 2
    angle = np.hypot(x, y) / (TILE / 2) * 1.25
    tile = np.broadcast_to(np.array([206, 198, 194], np.float32), (TILE, TILE, 3)).copy() * rng.uniform(0.85, 1.02)
    tile *= (1 - 0.4 * np.clip((angle - 0.35) / 0.7, 0, 1))[..., None]
    iris = _EYES[rng.integers(len(_EYES))] * rng.uniform(0.7, 1.2)
    spokes = 1 + 0.15 * np.sin(np.arctan2(y, x) * 23 + rng.uniform(0, 6))
    rim = 0.31
    inside = np.clip((rim - angle) / 0.02, 0, 1)[..., None]
    shade = (spokes * (1 - 0.5 * np.clip((angle - rim + 0.07) / 0.07, 0, 1)))[..., None]
    tile += (iris * shade - tile) * inside
    tile += (12 - tile) * np.clip((rng.uniform(0.10, 0.16) - angle) / 0.02, 0, 1)[..., None]
    return tile


def _teeth_tile(rng: np.random.Generator) -> np.ndarray:
    shade = np.array([232, 224, 206], np.float32) * rng.uniform(0.82, 1.03)
    tile = np.broadcast_to(shade, (TILE, TILE, 3)).copy()
    across = np.abs(np.linspace(-1, 1, TILE))
    tile *= (1 - 0.55 * across**2)[None, :, None]
    for edge in np.cumsum(rng.uniform(9, 13, 14)):
        if edge < TILE - 1:
            tile[:, int(edge) : int(edge) + 1] *= 0.8
    tile[: TILE // 8] *= (0.75, 0.5, 0.5)
    return tile

"""The built-in head: our own low-poly mesh at rest, with its texture coordinates and 68 landmarks.

Units: the distance between the pupils of the average head is 1. x points to the head's left (to the right in a
frontal image), y up, z out of the face; the pupils lie at (-0.5, 0) and (0.5, 0). Proportions follow common adult
averages (palpebral fissure 30 mm, mouth 52 mm, eye to chin 115 mm at 63 mm between the pupils).

The skin is laid out in the plane of (angle around the vertical axis, height), which is also its texture space.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgeau.train.faces.builtin.head_layout import (
    ANGLE_LIMIT,
    BOTTOM,
    EYE_RADIUS,
    EYE_X,
    EYE_Z,
    LID_COLUMNS,
    LIP_COLUMNS,
    MOUTH_HALF,
    MOUTH_Y,
    TOP,
    blob,
    egg,
    ramp,
    skin_layout,
    triangulate,
)

LAYERS = ("back", "inside", "skin", "front")  # painted in this order
IDENTITY_SIZE = 20

# Texture atlas: the skin at the top, four tiles below it.
ATLAS_W, SKIN_H, TILE = 512, 512, 128
ATLAS_H = SKIN_H + TILE


@dataclass(frozen=True)
class Mesh:
    """A head at rest.

    Attributes:
        rest: float32 [V, 3].
        layout: float32 [V, 2], angle and height in the skin's plane, where mouth and eyes are slightly open.
        uv: float32 [V, 2], atlas pixels.
        triangles: int32 [T, 3], front-facing if counterclockwise with y up.
        layer: int8 [T], index into LAYERS.
        groups: vertex indices by name: ``skin``, ``eye_r``, ``eye_l``, ``teeth_upper``, ``teeth_lower``, ``tongue``,
            ``cavity``, ``hair``, ``curtain``, ``ear``, ``neck``; and the rims ``lid_r``, ``lid_l``, ``lip_inner`` and
            ``lip_outer`` as [2, N], upper and lower.
        landmarks: int64 [68], vertex indices in Multi-PIE order.
    """

    rest: np.ndarray
    layout: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray
    layer: np.ndarray
    groups: dict[str, np.ndarray]
    landmarks: np.ndarray


def skin_uv(layout: np.ndarray) -> np.ndarray:
    """Atlas pixels of layout points [..., 2]."""
    u = (layout[..., 0] / ANGLE_LIMIT * 0.5 + 0.5) * (ATLAS_W - 1)
    v = (TOP - layout[..., 1]) / (TOP - BOTTOM) * (SKIN_H - 1)
    return np.stack([u, v], axis=-1)


def tile_uv(tile: int, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Atlas pixels inside one of the four tiles; ``across`` and ``down`` are 0..1."""
    return np.stack([tile * TILE + 1.5 + across * (TILE - 4), SKIN_H + 1.5 + down * (TILE - 4)], axis=-1)


def _relief(points: np.ndarray) -> np.ndarray:
    """Depth that nose, brows, cheeks, lips and chin add to the egg: float [...]."""
    x, y = np.abs(points[..., 0]), points[..., 1]
    mirrored = np.stack([x, y], axis=-1)
    along = np.clip((0.12 - y) / 0.74, 0, 1)
    ridge = (0.05 + 0.43 * along**1.3) * np.exp(-0.5 * (x / (0.075 + 0.075 * along)) ** 2)
    ridge *= ramp(y, -0.83, -0.60) * (1 - ramp(y, 0.10, 0.30))
    depth = ridge + 0.15 * blob(mirrored, (0.19, -0.66), (0.08, 0.085))
    depth += 0.07 * blob(mirrored, (0.45, 0.24), (0.35, 0.10)) - 0.16 * blob(mirrored, (0.46, 0.02), (0.24, 0.17))
    depth += 0.10 * blob(mirrored, (0.66, -0.42), (0.26, 0.24)) - 0.06 * blob(mirrored, (0.72, -1.0), (0.2, 0.25))
    depth += 0.15 * blob(points, (0, -1.10), (0.36, 0.26))
    depth += 0.06 * blob(points, (0, -1.05), (0.25, 0.055)) + 0.08 * blob(points, (0, -1.24), (0.22, 0.065))
    depth -= 0.03 * blob(points, (0, -0.88), (0.05, 0.07)) + 0.03 * blob(points, (0, MOUTH_Y), (0.3, 0.02))
    depth += 0.17 * blob(points, (0, -1.62), (0.24, 0.14)) - 0.05 * blob(points, (0, -1.42), (0.25, 0.06))
    return depth


class _Builder:
    """Collects vertices and triangles part by part."""

    def __init__(self) -> None:
        self.rest: list[np.ndarray] = []
        self.layout: list[np.ndarray] = []
        self.uv: list[np.ndarray] = []
        self.triangles: list[np.ndarray] = []
        self.layer: list[np.ndarray] = []
        self.groups: dict[str, np.ndarray] = {}
        self.count = 0

    def add(self, name: str, rest: np.ndarray, uv: np.ndarray, triangles: np.ndarray, layer: str) -> None:
        self.add_laid_out(name, rest, rest[:, :2], uv, triangles, layer)

    def add_laid_out(
        self, name: str, rest: np.ndarray, layout: np.ndarray, uv: np.ndarray, triangles: np.ndarray, layer: str
    ) -> None:
        self.groups[name] = np.arange(self.count, self.count + len(rest))
        self.rest.append(rest)
        self.layout.append(layout)
        self.uv.append(uv)
        self.triangles.append(triangles + self.count)
        self.layer.append(np.full(len(triangles), LAYERS.index(layer), np.int8))
        self.count += len(rest)


def _grid(rows: int, columns: int) -> np.ndarray:
    """Triangles of a grid whose rows run down and whose columns run right, as seen from outside."""
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    return np.stack([np.stack([a, c, b], -1), np.stack([b, c, d], -1)]).reshape(-1, 3)


def _ordered(triangles: np.ndarray) -> np.ndarray:
    return triangles[np.lexsort(np.sort(triangles, axis=1).T[::-1])]


def _add_skin(builder: _Builder) -> dict[str, np.ndarray]:
    layout, index = skin_layout()
    names: dict[str, np.ndarray] = dict(index)
    for side in "rl":
        upper = names[f"lid0_{side}_upper"]
        names[f"rim_{side}_lower"] = np.concatenate([upper[:1], names[f"lid0_{side}_lower"], upper[-1:]])
    for ring in ("inner", "outer"):
        upper = names[f"lip_{ring}_upper"]
        names[f"rim_{ring}_lower"] = np.concatenate([upper[:1], names[f"lip_{ring}_lower"], upper[-1:]])
    holes = [np.concatenate([names[f"lid0_{s}_upper"], names[f"lid0_{s}_lower"][::-1]]) for s in "rl"]
    holes.append(np.concatenate([names["lip_inner_upper"], names["lip_inner_lower"][::-1]]))
    triangles = _ordered(triangulate(layout, holes))
    rest = egg(layout[:, 0], layout[:, 1])
    rest[:, 2] += _relief(rest[:, :2]) * ramp(np.cos(layout[:, 0]), 0.0, 0.3)
    for side, sign in (("r", -1), ("l", 1)):
        _wrap_lids(rest, names, side, sign)
    closed = np.concatenate([names["lip_inner_upper"], names["lip_inner_lower"]])
    rest[closed, 1] = MOUTH_Y - 0.012 * (rest[closed, 0] / MOUTH_HALF) ** 2
    rest[closed, 2] -= 0.02
    builder.add_laid_out("skin", rest, layout, skin_uv(layout), triangles, "skin")
    return names


def _wrap_lids(rest: np.ndarray, names: dict[str, np.ndarray], side: str, sign: int) -> None:
    """Move the lid margins onto the eyeball, and the rings around them part of the way."""
    for ring, hold in ((0, 1.0), (1, 0.75), (2, 0.35)):
        rows = np.concatenate([names[f"lid{ring}_{side}_upper"], names[f"lid{ring}_{side}_lower"]])
        away = (rest[rows, 0] - sign * EYE_X) ** 2 + rest[rows, 1] ** 2
        ball = EYE_Z + np.sqrt(np.maximum(EYE_RADIUS**2 - away, 0.03)) + 0.02 + 0.02 * ring
        rest[rows, 2] += hold * (ball - rest[rows, 2])


def _add_eye(builder: _Builder, side: str, sign: int) -> None:
    rings, spokes = 5, 16
    polar = np.linspace(0, 0.95, rings)
    turn = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    out, around = np.meshgrid(polar, turn, indexing="ij")
    direction = np.stack([np.sin(out) * np.cos(around), np.sin(out) * np.sin(around), np.cos(out)], -1).reshape(-1, 3)
    radius = (out / 1.25 * 0.5).reshape(-1)
    uv = tile_uv(0, 0.5 + radius * np.cos(around).reshape(-1), 0.5 - radius * np.sin(around).reshape(-1))
    index = np.arange(rings * spokes).reshape(rings, spokes)
    a, b = index[:-1], np.roll(index, -1, axis=1)[:-1]
    c, d = index[1:], np.roll(index, -1, axis=1)[1:]
    triangles = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    rest = np.array([sign * EYE_X, 0, EYE_Z]) + EYE_RADIUS * direction
    builder.add(f"eye_{side}", rest, uv, triangles, "inside")


def _add_mouth(builder: _Builder) -> None:
    across = np.linspace(-1, 1, 9)
    x = 0.44 * across
    bend = -0.16 * across**2
    shapes = (
        ("cavity", np.array([-0.80, -1.05, -1.30, -1.60]), np.array([-0.25, -0.45, -0.45, -0.25]), 3, 0.75),
        ("tongue", np.array([-1.28, -1.36]), np.array([-0.15, -0.02]), 3, 0.25),
        ("teeth_lower", np.array([-1.165, -1.31]), np.array([0.0, 0.0]), 1, 0.0),
        ("teeth_upper", np.array([-0.99, -1.135]), np.array([0.03, 0.02]), 1, 0.0),
    )
    for name, heights, depths, tile, top in shapes:
        wide = {"teeth_lower": 0.78, "tongue": 0.72, "cavity": 1.35}.get(name, 0.92)
        rest = np.stack(
            [
                np.broadcast_to(x * wide, (len(heights), 9)),
                np.broadcast_to(heights[:, None], (len(heights), 9)),
                depths[:, None] + bend[None] * wide,
            ],
            -1,
        ).reshape(-1, 3)
        down = np.repeat(np.linspace(top, min(top + 0.9, 1.0) if tile == 1 else top + 0.2, len(heights)), 9)
        uv = tile_uv(tile, np.tile(across * 0.5 + 0.5, len(heights)), np.clip(down, 0, 1))
        builder.add(name, rest, uv, _grid(len(heights), 9), "inside")


def _add_ears(builder: _Builder) -> None:
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    rest, triangles = [], []
    for number, sign in enumerate((-1, 1)):
        outward = sign * (1.16 + 0.16 * np.cos(turn) + 0.04 * np.sin(turn))
        rim = np.stack([outward, -0.22 + 0.30 * np.sin(turn), -1.05 - 0.10 * np.cos(turn)], -1)
        middle = np.array([[sign * 1.10, -0.22, -1.0]])
        rest.append(np.concatenate([middle, rim]))
        steps = np.arange(12)
        fan = np.stack([np.zeros(12, int), 1 + steps, 1 + (steps + 1) % 12], -1)
        triangles.append((fan if sign > 0 else fan[:, ::-1]) + 13 * number)
    points = np.concatenate(rest)
    uv = skin_uv(np.stack([np.sign(points[:, 0]) * (1.45 + 0.3 * (np.abs(points[:, 0]) - 1.1)), points[:, 1]], -1))
    builder.add("ear", points, uv, np.concatenate(triangles), "back")


def _add_neck(builder: _Builder) -> None:
    angles = np.linspace(-1.9, 1.9, 13)
    rows = [(-1.15, 0.66, 0.55), (-1.7, 0.68, 0.62), (-2.15, 0.74, 0.66), (-2.3, 0.86, 0.75), (-3.3, 2.1, 0.9)]
    rest = np.concatenate(
        [np.stack([wide * np.sin(angles), np.full(13, y), -1.15 + deep * np.cos(angles)], -1) for y, wide, deep in rows]
    )
    skin = skin_uv(np.stack([np.tile(angles * 0.5, 3), np.repeat([-1.72, -1.78, -1.85], 13)], -1))
    cloth = tile_uv(3, np.tile(np.linspace(0, 1, 13), 2), np.repeat([0.72, 0.55], 13))
    builder.add("neck", rest, np.concatenate([skin, cloth]), _grid(5, 13), "back")


def _add_hair(builder: _Builder) -> None:
    """A cap over the scalp and a curtain of hair behind the face; the complexion sets their shape and colour."""
    angles, depth = np.linspace(-ANGLE_LIMIT, ANGLE_LIMIT, 25), np.linspace(0, 1, 6)
    edge = hairline(angles, 0.0)
    heights = TOP - depth[:, None] * (TOP - edge)[None]
    rest = egg(np.broadcast_to(angles, heights.shape), heights)
    across = np.broadcast_to(angles / (2 * ANGLE_LIMIT) + 0.5, heights.shape)
    uv = tile_uv(2, across, np.broadcast_to(depth[:, None], heights.shape))
    layout = np.stack([np.broadcast_to(angles, heights.shape), np.broadcast_to(depth[:, None], heights.shape)], -1)
    builder.add_laid_out("hair", rest.reshape(-1, 3), layout.reshape(-1, 2), uv.reshape(-1, 2), _grid(6, 25), "front")
    sheet = np.linspace(-1, 1, 13)
    drop = np.linspace(1.2, -2.6, 6)
    rest = np.stack(
        [np.broadcast_to(1.45 * sheet, (6, 13)), np.broadcast_to(drop[:, None], (6, 13)), np.full((6, 13), -1.5)], -1
    )
    uv = tile_uv(
        2, np.broadcast_to(sheet * 0.5 + 0.5, (6, 13)), np.broadcast_to(np.linspace(0.1, 0.95, 6)[:, None], (6, 13))
    )
    builder.add("curtain", rest.reshape(-1, 3), uv.reshape(-1, 2), _grid(6, 13), "back")


def hairline(angle: np.ndarray, lower: float) -> np.ndarray:
    """Height of the hairline around the head; ``lower`` brings the fringe down."""
    side = ramp(np.abs(angle), 0.75, 1.35)
    return (1.12 - lower) * (1 - side) + (0.15 - 0.4 * ramp(np.abs(angle), 1.35, 1.9)) * side


def _landmarks(names: dict[str, np.ndarray]) -> np.ndarray:
    eye_r, eye_l = names["lid0_r_upper"], names["lid0_l_upper"]
    low_r, low_l = names["rim_r_lower"], names["rim_l_lower"]
    near, far = LID_COLUMNS // 3, LID_COLUMNS - 1 - LID_COLUMNS // 3
    last, middle = LIP_COLUMNS - 1, LIP_COLUMNS // 2
    steps = [3, 6, middle, last - 6, last - 3]
    outer_up, outer_low = names["lip_outer_upper"], names["rim_outer_lower"]
    inner_up, inner_low = names["lip_inner_upper"], names["rim_inner_lower"]
    parts = [
        names["jaw"],
        names["brow_r_upper"],
        names["brow_l_upper"],
        names["nose"],
        names["nostrils"],
        eye_r[[0, near, far, -1]], low_r[[far, near]],
        eye_l[[0, near, far, -1]], low_l[[far, near]],
        outer_up[[0, *steps, last]], outer_low[steps[::-1]],
        inner_up[[0, 4, middle, last - 4, last]], inner_low[[last - 4, middle, 4]],
    ]  # fmt: skip
    return np.concatenate(parts)


@lru_cache(maxsize=1)
def head() -> Mesh:
    """The built-in head, built once per process in about 0.1 s."""
    builder = _Builder()
    _add_neck(builder)
    offset = builder.count
    names = _add_skin(builder)
    for side, sign in (("r", -1), ("l", 1)):
        _add_eye(builder, side, sign)
    _add_mouth(builder)
    _add_ears(builder)
    _add_hair(builder)
    for side in "rl":
        builder.groups[f"lid_{side}"] = offset + np.stack([names[f"lid0_{side}_upper"], names[f"rim_{side}_lower"]])
    for ring in ("inner", "outer"):
        builder.groups[f"lip_{ring}"] = offset + np.stack([names[f"lip_{ring}_upper"], names[f"rim_{ring}_lower"]])
    return Mesh(
        rest=np.concatenate(builder.rest).astype(np.float32),
        layout=np.concatenate(builder.layout).astype(np.float32),
        uv=np.concatenate(builder.uv).astype(np.float32),
        triangles=np.concatenate(builder.triangles).astype(np.int32),
        layer=np.concatenate(builder.layer),
        groups=builder.groups,
        landmarks=offset + _landmarks(names),
    )

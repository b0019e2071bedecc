"""A subject's skin, painted once into textures: colour, fine relief, brows, lips, beard, freckles.

Painting happens once per subject; rendering an image only samples the textures. Positions are in centimetres on the
neutral head (x to its left, y up), so the same brush works for any identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from .appearance import Look

SIZE_PX = 384


@dataclass(frozen=True)
class SkinMap:
    """Maps between texels and positions on the neutral head.

    Attributes:
        position: float32 [M, M, 3], centimetres.
        landmarks_uv: float32 [68, 2], with v pointing up.
    """

    position: np.ndarray
    landmarks_uv: np.ndarray
    _spots: dict[tuple[float, ...], np.ndarray] = field(default_factory=dict, repr=False)

    @cached_property
    def points(self) -> np.ndarray:
        """float32 [N, N, 3]: the position of each texel of a painted texture."""
        smooth: np.ndarray = cv2.resize(self.position, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_LINEAR)
        return smooth

    @cached_property
    def _tangents(self) -> tuple[np.ndarray, np.ndarray]:
        along_x = np.gradient(self.points, axis=1)
        along_y = np.gradient(self.points, axis=0)
        limit = 0.02**2  # centimetres per texel, squared; keeps the relief finite where the mesh is folded
        x = along_x / np.maximum(np.sum(along_x**2, axis=2, keepdims=True), limit)
        y = along_y / np.maximum(np.sum(along_y**2, axis=2, keepdims=True), limit)
        return x.astype(np.float32), y.astype(np.float32)

    @cached_property
    def _front(self) -> tuple[object, np.ndarray]:
        from scipy.spatial import cKDTree

        rows, columns = np.nonzero(self.points[..., 2] > 4.0)
        places = self.points[rows, columns, :2]
        return cKDTree(places), np.stack([columns, rows], axis=1) + 0.0

    def texels(self, places: np.ndarray) -> np.ndarray:
        """float [..., 2], texels (x, y) of positions (x, y) in centimetres, seen from the front."""
        tree, texels = self._front
        distance, index = tree.query(places, k=3)  # type: ignore[attr-defined]
        weight = 1 / (distance + 1e-3)
        blended: np.ndarray = (texels[index] * weight[..., None]).sum(axis=-2) / weight.sum(axis=-1)[..., None]
        return blended

    def near(self, x: float, y: float, radius_x: float, radius_y: float | None = None) -> np.ndarray:
        """float32 [N, N]: a soft spot on both sides of the face, 1 at (+-x, y). Cached across subjects."""
        key = (x, y, radius_x, radius_y or radius_x)
        if key not in self._spots:
            self._spots[key] = self._spot(*key)
        return self._spots[key]

    def _spot(self, x: float, y: float, radius_x: float, radius_y: float) -> np.ndarray:
        points = self.points
        spread = ((np.abs(points[..., 0]) - x) / radius_x) ** 2 + ((points[..., 1] - y) / radius_y) ** 2
        spot: np.ndarray = np.exp(-spread) * (points[..., 2] > 2)
        return spot.astype(np.float32)

    def relief(self, height_cm: np.ndarray) -> np.ndarray:
        """float32 [N, N, 3]: offset of the normal caused by a height map, in the head's frame."""
        x, y = self._tangents
        dx, dy = np.gradient(height_cm, axis=1), np.gradient(height_cm, axis=0)
        return -(dx[..., None] * x + dy[..., None] * y).astype(np.float32)

    def outline(self, indices: list[int]) -> np.ndarray:
        """float [N, 2], texels of the given landmarks."""
        return self.landmarks_uv[indices] * [SIZE_PX, -SIZE_PX] + [0, SIZE_PX]


def encode(relief: np.ndarray, cavity: np.ndarray) -> np.ndarray:
    """uint8 [N, N, 4]: normal offset (-1..1 per axis) and darkness (0..1), as the shader reads them."""
    packed = cv2.merge([*cv2.split(np.maximum(relief * 0.5 + 0.5, 0)), cavity.astype(np.float32)])
    return cv2.convertScaleAbs(packed, alpha=255)


def paint(skin: SkinMap, look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Paint two textures, uint8 [N, N, 4]: square root of linear RGB, and gloss; fine relief, and cavity."""
    rng = np.random.default_rng([6, look.seed])
    colour = _complexion(skin, look, rng)
    lips = _lips(skin)
    colour = _blend(colour, look.lip_colour, lips * 0.85)
    colour = _tint(colour, 0.10 * lips * _noise(rng, 64), (1.0, 1.0, 1.0))
    colour = _blend(colour, look.lip_colour * 0.4, 0.5 * skin.near(0, -3.4, 2.3, 0.12))
    colour = _lid_lines(skin, look, colour)
    colour = _facial_hair(skin, look, colour, rng)
    colour = _brows(skin, look, colour, rng)
    colour = _scalp(skin, look, colour, rng)
    gloss = (
        look.gloss
        * (
            0.35
            + 0.5 * skin.near(0, 7.5, 3.0, 2.0)
            + 0.6 * skin.near(0, 1.2, 0.9, 1.8)
            + 0.25 * skin.near(3.6, 1.6, 1.6, 1.2)
        )
        + 0.5 * lips
    )
    gloss *= 1 + 0.25 * _noise(rng, 128)
    planes = [*cv2.split(np.sqrt(np.clip(colour, 0, 1))), np.clip(gloss, 0, 1, dtype=np.float32)]
    return cv2.convertScaleAbs(cv2.merge(planes), alpha=255), _fine_relief(skin, look, lips, rng)


def _noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """float32 [N, N]: smooth noise with standard deviation near 1 and features of N / cells texels."""
    grid = rng.standard_normal((cells, cells)).astype(np.float32)
    smooth: np.ndarray = cv2.resize(grid, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC)
    return smooth


def _blend(colour: np.ndarray, other: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Blend colour [N, N, 3] towards another, [3] or [N, N, 3], by an amount [N, N]; per channel, which is faster."""
    share = np.clip(amount, 0, 1, dtype=np.float32)
    goal = np.asarray(other, np.float32)
    goals = goal if goal.ndim == 1 else cv2.split(goal)
    planes = [plane + (towards - plane) * share for plane, towards in zip(cv2.split(colour), goals, strict=True)]
    return cv2.merge(planes)


def _tint(colour: np.ndarray, amount: np.ndarray, rates: tuple[float, float, float]) -> np.ndarray:
    """Multiply colour [N, N, 3] by the exponential of an amount [N, N] times a rate per channel."""
    amount = amount.astype(np.float32)
    planes = zip(cv2.split(colour), rates, strict=True)
    return cv2.merge([plane * np.exp(amount * np.float32(rate)) for plane, rate in planes])


def _complexion(skin: SkinMap, look: Look, rng: np.random.Generator) -> np.ndarray:
    colour = np.full((SIZE_PX, SIZE_PX, 3), look.skin, np.float32)
    blood = (
        0.55 * skin.near(4.0, 0.6, 1.9, 1.7) + 0.6 * skin.near(0, 0.4, 1.4, 1.3) + 0.25 * skin.near(0, -6.3, 1.6, 1.0)
    )
    blood = blood * look.redness + 0.10 * look.mottling * _noise(rng, 12)
    colour = _tint(colour, blood, (0.04, -0.28, -0.24))
    tired = 0.30 * skin.near(2.6, 2.1, 1.3, 0.55) * rng.uniform(0, 1)
    lid = 0.18 * skin.near(3.2, 4.4, 1.5, 0.5)
    colour = _tint(colour, tired + lid, (-0.8, -1.0, -0.8))
    colour = _blend(colour, look.skin * [0.45, 0.35, 0.42], look.eye_shadow * skin.near(3.3, 4.4, 1.4, 0.5))
    tone = 0.5 * _noise(rng, 8) + 0.4 * _noise(rng, 40) + 0.35 * _noise(rng, 150)
    colour = _tint(colour, 0.055 * look.mottling * tone, (1.0, 1.0, 1.0))
    spots = np.clip(_noise(rng, 170) - 1.4, 0, 1) * (skin.near(2.5, 1.5, 2.6, 1.8) + 0.3)
    if look.freckles > 0:
        colour = _tint(colour, 1.6 * look.freckles * spots, (-0.5, -1.0, -1.2))
    for _ in range(int(rng.integers(0, 5))):
        mole = skin.texels(np.array([rng.uniform(-5.5, 5.5), rng.uniform(-6, 8)]))
        cv2.circle(colour, tuple(int(c) for c in mole), 1, (look.skin * 0.3).tolist(), -1, cv2.LINE_AA)
    return colour


def _lips(skin: SkinMap) -> np.ndarray:
    """float32 [N, N]: 1 on the red of the lips, with soft edges."""
    mask = np.zeros((SIZE_PX, SIZE_PX), np.float32)
    outer = _smooth_loop(skin.outline(list(range(48, 60))))
    cv2.fillPoly(mask, [(outer * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask, (0, 0), 1.7)


def _lid_lines(skin: SkinMap, look: Look, colour: np.ndarray) -> np.ndarray:
    """Paint the dark lash lines, heavier on the upper lid."""
    lines = np.zeros(colour.shape[:2], np.float32)
    for upper, lower in (((36, 37, 38, 39), (39, 40, 41, 36)), ((42, 43, 44, 45), (45, 46, 47, 42))):
        for indices, weight, thickness in ((upper, 1.0, 3), (lower, 0.45, 2)):
            points = skin.outline(list(indices))
            cv2.polylines(lines, [(points * 16).astype(np.int32)], False, weight, thickness, cv2.LINE_AA, 4)
    rim = cv2.GaussianBlur(lines, (0, 0), 1.15) * (0.45 + 0.5 * look.lashes)
    return _blend(colour, look.skin * [0.12, 0.08, 0.08], rim)


def _smooth_loop(points: np.ndarray) -> np.ndarray:
    """A closed Catmull-Rom curve through points [N, 2], 8 steps per segment."""
    steps = np.linspace(0, 1, 8, endpoint=False)[:, None]
    parts = []
    for i in range(len(points)):
        a, b, c, d = (points[(i + k - 1) % len(points)] for k in range(4))
        parts.append(
            0.5
            * (2 * b + (c - a) * steps + (2 * a - 5 * b + 4 * c - d) * steps**2 + (3 * b - a - 3 * c + d) * steps**3)
        )
    return np.concatenate(parts)


def _strokes(
    skin: SkinMap, image: np.ndarray, roots: np.ndarray, tips: np.ndarray, shade: np.ndarray, thickness: int = 1
) -> None:
    """Draw hairs from roots to tips (centimetres, [N, 2]) in colours [N, 3]."""
    ends = (skin.texels(np.stack([roots, tips], axis=1)) * 16).astype(np.int32)
    for (start, end), colour in zip(ends, shade.tolist(), strict=True):
        cv2.line(image, start.tolist(), end.tolist(), colour, thickness, cv2.LINE_AA, 4)


_BROW = np.array([(0.95, 5.2), (1.9, 5.45), (3.0, 5.68), (4.1, 5.72), (5.0, 5.4), (5.75, 4.85)])


def _brows(skin: SkinMap, look: Look, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint the brows: hairs upright at the inner end, slanting outwards further on, thin at the tail."""
    count = int(70 + 150 * look.brow_density)
    image = np.ascontiguousarray(colour, np.float32)
    under = 0.0 * image[..., 0]
    for side in (-1, 1):
        along = rng.beta(1.0, 1.15, count)
        place = np.stack([np.interp(along, np.linspace(0, 1, len(_BROW)), _BROW[:, k]) for k in (0, 1)], axis=1)
        width = look.brow_thickness * np.interp(along, [0, 0.15, 0.6, 1], [0.30, 0.40, 0.36, 0.10])
        offset = rng.uniform(-1, 1, count)
        place[:, 1] += look.brow_rise + offset * width
        angle = (
            np.interp(along, [0, 0.25, 1], [1.35, 0.6, -0.25])
            - 0.5 * np.maximum(offset, 0)
            + rng.normal(0, 0.15, count)
        )
        length = rng.uniform(0.45, 0.8, count) * look.brow_thickness**0.5
        tip = place + length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        shade = look.brow_colour * np.exp(rng.normal(0.3, 0.35, (count, 1)))
        mirror = np.array([side, 1.0])
        _strokes(skin, image, place * mirror, tip * mirror, shade)
        _strokes(skin, under, place * mirror, tip * mirror, np.ones((count, 1)), 2)
    soft = cv2.GaussianBlur(under, (0, 0), 1.5)
    tinted = _blend(colour, look.brow_colour, (0.15 + 0.3 * look.brow_density) * soft)
    hair = np.abs(image[..., 1] - colour[..., 1]) > 0.004
    return _blend(tinted, image, hair * (0.22 + 0.3 * look.brow_density))


def _beard_area(skin: SkinMap) -> np.ndarray:
    points = skin.points
    x, y = np.abs(points[..., 0]), points[..., 1]
    jaw = np.clip((-1.6 - 0.02 * x - y + np.clip(x - 4.2, 0, 3) * 1.3) / 1.0, 0, 1) * (y > -9.5)
    moustache = np.exp(-(((y + 1.75) / 0.6) ** 2)) * (x < 2.6)
    cheek = np.clip((x - 5.6) / 0.6, 0, 1) * (y < 2.5) * (y > -6)
    clear = 1 - np.clip(skin.near(0, -3.4, 2.7, 1.0) * 1.4, 0, 1)
    area = (
        np.clip(np.maximum(np.maximum(jaw, moustache), cheek), 0, 1)
        * np.where(y > -2.4, 1.0, clear)
        * (points[..., 2] > 2)
    )
    return cv2.GaussianBlur(area.astype(np.float32), (0, 0), 3.8)


def _facial_hair(skin: SkinMap, look: Look, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if look.stubble == 0 and look.beard == 0:
        return colour
    area = _beard_area(skin) * (1 - _lips(skin))
    grain = np.clip(0.6 + 0.5 * _noise(rng, 256) + 0.2 * _noise(rng, 30), 0, 1)
    shadow = look.skin * [0.55, 0.62, 0.72]  # roots look blue-grey through the skin
    bearded = _blend(colour, shadow, 0.65 * look.stubble * area)
    bearded = _blend(bearded, look.brow_colour, 0.55 * look.stubble * area * grain)
    return _blend(bearded, look.brow_colour, look.beard * np.clip(area * 1.3, 0, 1) * (0.72 + 0.28 * grain))


def _scalp(skin: SkinMap, look: Look, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint the scalp above the hairline in the colour of the hair, so that no skin shows between strands."""
    if look.hair_style == "bald":
        return colour
    points = skin.points
    line = 9.6 - 0.028 * points[..., 0] ** 2 * (1 + 0.6 * (np.abs(points[..., 0]) > 4)) + 0.25 * _noise(rng, 24)
    side = (np.abs(points[..., 0]) > 6.6) & (points[..., 1] > 3.0) & (points[..., 2] < 4.0)
    amount = np.maximum(np.clip((points[..., 1] - line) / 0.7, 0, 1), side.astype(np.float32))
    streaks = np.exp(0.3 * _noise(rng, 200))
    strands = cv2.merge([streaks * np.float32(channel) for channel in look.hair_colour])
    return _blend(colour, strands, cv2.GaussianBlur(amount.astype(np.float32), (0, 0), 1.5))


def _fine_relief(skin: SkinMap, look: Look, lips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    pores = 0.0025 * _noise(rng, 256) + 0.004 * (0.4 + look.age) * _noise(rng, 90)
    folds = np.sin(skin.points[..., 0] * 19 + 1.5 * _noise(rng, 20))  # lips have vertical lines
    height = pores * (1 - 0.7 * lips) + 0.006 * lips * folds
    return encode(np.clip(skin.relief(cv2.GaussianBlur(height.astype(np.float32), (0, 0), 0.6)), -0.5, 0.5), 0 * lips)

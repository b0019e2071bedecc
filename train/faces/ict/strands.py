"""Hair, lashes and glasses: ribbons and fans drawn over the lit skin, which they partly hide as on real faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .appearance import Look, Scene

_LENS_STEPS = 20


@dataclass(frozen=True)
class Strands:
    """Triangles over coloured points.

    Attributes:
        points: float32 [N, 3], head frame, cm.
        normals: float32 [N, 3], unit length.
        paint: float32 [N, 4], linear RGB and opacity.
        triangles: int32 [M, 3], far to near if they are transparent.
    """

    points: np.ndarray
    normals: np.ndarray
    paint: np.ndarray
    triangles: np.ndarray


def join(parts: list[Strands]) -> Strands:
    """Combine several sets into one, drawn in the same order."""
    starts = np.cumsum([0] + [len(part.points) for part in parts[:-1]])
    return Strands(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([part.paint for part in parts]),
        np.concatenate([part.triangles + start for part, start in zip(parts, starts, strict=True)]).astype(np.int32),
    )


def lit(strands: Strands, scene: Scene, gain: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotate points to the camera frame (without the offset of the head) and light their paint.

    Returns:
        Rotated points float32 [N, 3], and [N, 4]: square root of linear light with opacity, as the shader writes it.
    """
    normals = strands.normals @ rotation.T
    key = np.maximum(normals @ scene.key_direction * 0.7 + 0.3, 0.05)[:, None]
    fill = np.maximum(normals @ scene.fill_direction * 0.7 + 0.3, 0.05)[:, None]
    sky = (0.5 + 0.5 * normals[:, 1])[:, None]
    factors = np.concatenate([key, fill, sky, 1 - sky], axis=1).astype(np.float32)
    colours = [scene.key_colour, scene.fill_colour, 0.7 * scene.sky_colour, 0.7 * scene.ground_colour]
    paint = strands.paint.copy()
    paint[:, :3] *= factors @ (np.stack(colours) * gain).astype(np.float32)
    np.sqrt(np.minimum(paint[:, :3], 1), out=paint[:, :3])
    return strands.points @ rotation.T, paint


def ribbons(paths: np.ndarray, width_cm: np.ndarray, colours: np.ndarray, opacity: float) -> Strands:
    """Ribbons along paths [R, S, 3] with width [R, S] and linear colour [R, 3], facing the front."""
    count, steps = paths.shape[:2]
    tangent = np.empty((count, steps, 2))
    tangent[:, 1:-1] = paths[:, 2:, :2] - paths[:, :-2, :2]
    tangent[:, 0], tangent[:, -1] = paths[:, 1, :2] - paths[:, 0, :2], paths[:, -1, :2] - paths[:, -2, :2]
    half = 0.5 * width_cm / np.maximum(np.hypot(tangent[..., 0], tangent[..., 1]), 1e-6)
    across = np.zeros_like(paths)
    across[..., 0], across[..., 1] = half * tangent[..., 1], -half * tangent[..., 0]
    sides = np.stack([paths - across, paths + across], axis=2)
    outward = paths * [1.0, 0.6, 0.6] - [0.0, 1.5, 0.0]
    outward /= np.sqrt(np.einsum("rsk,rsk->rs", outward, outward))[..., None]
    first = (np.arange(count)[:, None] * steps + np.arange(steps - 1))[..., None] * 2
    quads = np.concatenate([first + np.array([0, 1, 2]), first + np.array([1, 3, 2])], axis=-1).reshape(-1, 3)
    paint = np.full((count, steps * 2, 4), opacity, np.float32)
    paint[..., :3] = colours[:, None]
    return Strands(
        sides.reshape(-1, 3).astype(np.float32),
        np.repeat(outward.reshape(-1, 3), 2, axis=0).astype(np.float32),
        paint.reshape(-1, 4),
        quads.astype(np.int32),
    )


def hair(look: Look, front_z: np.ndarray, half_width_cm: float) -> Strands | None:
    """Locks of hair in the subject's style, or None if bald.

    Args:
        front_z: float [N, 3], points of the front of the skin, over which a fringe lies.
        half_width_cm: half the width of the head.
    """
    if look.hair_style == "bald":
        return None
    rng = np.random.default_rng([8, look.seed])
    if look.hair_style == "long":
        paths = _falling(rng, half_width_cm)
    elif look.hair_style == "fringe":
        paths = _fringe(rng, front_z)
    else:
        paths = _cropped(rng, front_z)
    count, steps = paths.shape[:2]
    width = rng.uniform(0.25, 0.8, (count, 1)) * np.linspace(1, 0.25, steps) ** 0.5
    if look.hair_style == "long":
        width *= 1.9
    colours = look.hair_colour * np.exp(rng.normal(0, 0.35, (count, 1)))
    return ribbons(paths, width, colours, 0.93)


def _falling(rng: np.random.Generator, half_width_cm: float) -> np.ndarray:
    """Long locks from a parting down both sides, in front of or behind the ears."""
    count = 90
    side = rng.choice([-1.0, 1.0], count)
    parting, wave, length = rng.normal(0, 1.2), rng.uniform(0, 0.5), rng.uniform(-12, -4)
    forward, reach = rng.uniform(3.0, 6.0), rng.uniform(-0.5, 0.6)
    steps = np.linspace(0, 1, 7)
    y = 13.0 + (length + rng.normal(0, 1.0, (count, 1)) - 13.0) * steps
    bulge = half_width_cm + reach + rng.exponential(0.7, (count, 1))
    start = rng.uniform(0.1, 1.0, (count, 1))
    outward = start + (bulge - start) * np.minimum(steps / 0.35, 1) ** 0.6
    x = parting * (1 - np.minimum(steps * 3, 1)) + side[:, None] * outward
    x = x + wave * np.sin(steps * 9 + rng.uniform(0, 6.3, (count, 1)))
    z = 6.0 + (forward - 6.0) * steps + rng.normal(0, 1.0, (count, 1))
    return np.stack([x, y, np.broadcast_to(z, x.shape)], axis=2)


def _fringe(rng: np.random.Generator, front: np.ndarray) -> np.ndarray:
    """Locks from the top over the forehead, down to the brows or a little above."""
    count, sweep, end = 85, rng.normal(0, 2.5), rng.uniform(5.9, 8.8)
    steps = np.linspace(0, 1, 5)
    root = rng.uniform(-6.0, 6.0, (count, 1))
    low = end + rng.normal(0, 0.45, (count, 1)) - 0.04 * np.abs(root) ** 1.5
    y = 12.2 + (low - 12.2) * steps
    x = root * (1 + 0.12 * steps) + sweep * steps**2
    return _over(front, x, y, rng.uniform(0.25, 0.7, (count, 1)))


def _cropped(rng: np.random.Generator, front: np.ndarray) -> np.ndarray:
    """Short tufts along the hairline, combed one way."""
    count, comb, up = 110, rng.normal(0, 0.5), rng.uniform(-0.9, 1.6)
    steps = np.linspace(0, 1, 3)
    root = rng.uniform(-6.3, 6.3, (count, 1))
    line = 10.0 - 0.035 * root**2 + rng.uniform(-0.3, 1.6, (count, 1))
    y = line + up * steps * rng.uniform(0.5, 1.2, (count, 1))
    x = root + comb * steps
    return _over(front, x, y, rng.uniform(0.15, 0.6, (count, 1)))


def _over(front: np.ndarray, x: np.ndarray, y: np.ndarray, above_cm: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    _, nearest = cKDTree(front[:, :2]).query(np.stack([x, y], axis=2))
    return np.stack([x, y, front[nearest, 2] + above_cm], axis=2)


def glasses(look: Look, eyes: np.ndarray, front_cm: float, half_width_cm: float) -> Strands | None:
    """Rims, bridge, temples and slightly tinted lenses, or None if the subject wears no glasses.

    Args:
        eyes: float [2, 3], centres of the right and left eye opening.
        front_cm: z of the foremost point of the brows.
        half_width_cm: half the width of the head.
    """
    if look.glasses == "none":
        return None
    rng = np.random.default_rng([9, look.seed])
    thickness = 0.2 if look.glasses == "thin" else rng.uniform(0.3, 0.5)
    half = np.array([rng.uniform(2.1, 2.7), rng.uniform(1.5, 2.2)])
    roundness = rng.uniform(2.0, 5.0)
    angle = np.linspace(0, 2 * np.pi, _LENS_STEPS + 1)
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    shape = unit / (np.abs(unit) ** roundness).sum(axis=1, keepdims=True) ** (1 / roundness)
    parts, lenses = [], []
    middle = eyes.mean(axis=0)
    for sign, eye in ((-1, eyes[0]), (1, eyes[1])):
        centre = np.array([eye[0] + sign * 0.1, middle[1] - 0.35, front_cm + 0.4])
        rim = centre + np.concatenate([shape * half, -0.25 * np.abs(shape[:, :1])], axis=1)
        lenses.append(_lens(centre, rim, rng.uniform(0.01, 0.06)))
        parts.append(_band(rim, thickness, look))
        corner = centre + np.array([sign * half[0], half[1] * 0.4, -0.25])
        ear = np.array([sign * (half_width_cm + 0.2), corner[1], 1.0])
        parts.append(_band(np.linspace(corner, ear, 4), thickness * 0.9, look, upright=True))
    inner = half[0] - 0.1
    bridge = np.array(
        [
            (eyes[0, 0] + inner, middle[1], front_cm + 0.4),
            (0.0, middle[1] + 0.25, front_cm + 0.7),
            (eyes[1, 0] - inner, middle[1], front_cm + 0.4),
        ]
    )
    return join([*parts, _band(bridge, thickness, look), *lenses])


def _band(path: np.ndarray, width_cm: float, look: Look, *, upright: bool = False) -> Strands:
    steps = len(path)
    ribbon = ribbons(path[None], np.full((1, steps), width_cm), look.glasses_colour[None], 1.0)
    if not upright:
        return ribbon
    up = np.array([0.0, width_cm / 2, 0.0])
    points = np.stack([path - up, path + up], axis=1).reshape(-1, 3).astype(np.float32)
    return Strands(points, ribbon.normals, ribbon.paint, ribbon.triangles)


def _lens(centre: np.ndarray, rim: np.ndarray, opacity: float) -> Strands:
    points = np.concatenate([centre[None], rim]).astype(np.float32)
    normals = np.broadcast_to(np.array([0.0, 0.2, 0.98], np.float32), points.shape)
    paint = np.full((len(points), 4), [0.8, 0.82, 0.85, opacity], np.float32)
    paint[1 : len(rim) // 2, 3] *= 2.5  # the upper half of a lens reflects light from above
    fan = [(0, k, k + 1) for k in range(1, len(rim))]
    return Strands(points, normals, paint, np.array(fan, np.int32))


def lashes(lids: np.ndarray, look: Look) -> Strands:
    """A dark line of lashes on both upper lids.

    Args:
        lids: float [2, 4, 3], four points along each upper lid in the current pose.
    """
    steps = np.linspace(0, 3, 9)[:, None]
    paths = np.maximum(1 - np.abs(steps - np.arange(4)), 0) @ lids
    arch = np.sin(np.linspace(0, np.pi, 9))
    paths = paths + np.stack([0 * arch, 0.12 * arch + 0.02, 0.10 + 0.22 * arch], axis=1)
    width = np.tile(0.10 + 0.14 * arch, (2, 1))
    return ribbons(paths, width, np.tile([0.012, 0.010, 0.010], (2, 1)), 0.35 + 0.6 * look.lashes)

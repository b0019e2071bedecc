"""A hand in front of the face, as when people think, cough, cry or laugh: four fingers, a thumb and a palm.

It occludes action units. All proportions are ours, for an adult hand of about 18 cm.
"""

from __future__ import annotations

import numpy as np

from .appearance import Look
from .strands import Strands

_FINGER_CM = np.array([6.9, 7.6, 7.0, 5.6])  # index to little finger
_PALM_CM = np.array([8.5, 8.7, 8.4, 7.9])
_RADIUS_CM = np.array([0.82, 0.85, 0.8, 0.68])
_ALONG = np.array([0.0, 0.25, 0.5, 0.62, 0.75, 0.88, 0.96, 1.0])  # wrist to fingertip
_THICKNESS = np.array([1.25, 1.3, 1.25, 1.05, 1.0, 0.92, 0.75, 0.1])
_SIDES = 8
# Where the fingertips rest on the face: centre (x towards the hand's side, y) and spread, in cm in the head's frame.
_PLACES = (((0.5, -3.2), 1.2), ((0.3, -5.8), 1.2), ((3.8, -0.5), 1.5), ((1.0, 1.2), 1.5), ((3.0, 4.5), 1.5))


def hand(seed: int, look: Look) -> Strands:
    """One hand in the head's frame; its skin differs slightly from the face's.

    Args:
        seed: seed of the image; determines side, position, lean and how far the fingers are spread.
    """
    rng = np.random.default_rng([11, seed])
    side = rng.choice([-1.0, 1.0])
    (x, y), spread = _PLACES[rng.integers(len(_PLACES))]
    rest = np.array([side * x, y]) + rng.normal(0, spread, 2)
    lean = np.radians(rng.uniform(-10, 65))
    up = np.array([-side * np.sin(lean), np.cos(lean)])
    across = np.array([up[1], -up[0]]) * side  # from index to little finger: away from the midline
    gap = rng.uniform(1.55, 2.1)
    place = (np.arange(4) - 1.5)[:, None] * gap * across
    fan = (np.arange(4) - 1.5)[:, None] * rng.uniform(0.0, 0.06) * across
    length = _FINGER_CM + _PALM_CM
    tips = rest + place + (_FINGER_CM - 7.6)[:, None] * up + rng.normal(0, 0.25, (4, 1)) * up
    fingers = np.stack(
        [tips[k] - (1 - _ALONG[:, None]) * length[k] * (up + (1 - _ALONG[:, None]) * -fan[k]) for k in range(4)]
    )
    arch = rng.uniform(0.6, 2.2) * np.sin(np.pi * np.minimum(_ALONG / 0.95, 1))
    fingers = np.concatenate([fingers, (_over(fingers) + 0.7 + arch)[..., None]], axis=2)
    radius = _RADIUS_CM[:, None] * _THICKNESS
    thumb_at = fingers[0, 1] + np.append(rng.uniform(2.5, 4.5) * up - 3.2 * across, 0.6)
    steps = np.linspace(0, 1, len(_ALONG))[:, None]
    thumb = fingers[0, 0] + steps * (thumb_at - fingers[0, 0])
    paths = np.concatenate([fingers, thumb[None]])
    radii = np.concatenate([radius, 1.0 * _THICKNESS[None]])
    colour = look.skin * np.exp(rng.normal(-0.05, 0.08)) * np.exp(rng.normal(0, 0.03, 3))
    return _tubes(paths, radii, colour, rng)


def _over(points: np.ndarray) -> np.ndarray:
    """Approximate depth of the front of a face at points [..., 2]."""
    depth: np.ndarray = np.maximum(11.2 - 0.06 * points[..., 0] ** 2 - 0.02 * (points[..., 1] + 2) ** 2, 6.0)
    return depth


def _tubes(paths: np.ndarray, radius: np.ndarray, colour: np.ndarray, rng: np.random.Generator) -> Strands:
    """Round tubes along paths [T, S, 3] of radius [T, S], slightly redder towards their ends."""
    tubes, steps = radius.shape
    tangent = np.gradient(paths, axis=1)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-6)
    first = np.cross(tangent, [0.0, 0.0, 1.0])
    first /= np.maximum(np.linalg.norm(first, axis=2, keepdims=True), 1e-6)
    second = np.cross(tangent, first)
    angle = np.arange(_SIDES) * 2 * np.pi / _SIDES
    outward = np.cos(angle)[:, None] * first[:, :, None] + np.sin(angle)[:, None] * second[:, :, None]
    points = paths[:, :, None] + radius[..., None, None] * outward
    red = np.interp(_ALONG, [0.6, 1], [0, 1])[:, None] * np.array([0.06, -0.05, -0.05])
    tint = np.exp(red + rng.normal(0, 0.05, (tubes, 1, 1)))
    # Less light arrives between the fingers; bake that into the vertex colours.
    shade = 0.72 + 0.28 * np.clip(outward[..., 2:] * 0.8 + 0.5, 0, 1)
    paint = np.ones((tubes, steps, _SIDES, 4))
    paint[..., :3] = colour * tint[:, :, None] * shade
    ring = np.arange(_SIDES)
    quads = np.stack([ring, (ring + 1) % _SIDES, ring + _SIDES, (ring + 1) % _SIDES + _SIDES], axis=1)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [1, 3, 2]]])
    starts = (np.arange(tubes)[:, None] * steps + np.arange(steps - 1)).ravel() * _SIDES
    return Strands(
        points.reshape(-1, 3).astype(np.float32),
        outward.reshape(-1, 3).astype(np.float32),
        paint.reshape(-1, 4).astype(np.float32),
        (starts[:, None, None] + faces).reshape(-1, 3).astype(np.int32),
    )

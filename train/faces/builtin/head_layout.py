"""Where the built-in head's features lie, and the triangles between them."""

from __future__ import annotations

import cv2
import numpy as np

# The egg that the head is sculpted from: height, half width, depth of the front, depth of the centre.
_EGG = np.array(
    [
        (1.85, 0.05, -1.10, -1.15),
        (1.75, 0.45, -0.72, -1.20),
        (1.50, 0.82, -0.38, -1.25),
        (1.20, 1.02, -0.18, -1.25),
        (0.80, 1.10, -0.06, -1.25),
        (0.30, 1.12, 0.00, -1.25),
        (0.00, 1.12, -0.03, -1.25),
        (-0.30, 1.10, -0.04, -1.25),
        (-0.60, 1.05, -0.04, -1.20),
        (-0.90, 0.99, -0.02, -1.10),
        (-1.15, 0.91, 0.00, -0.95),
        (-1.40, 0.78, 0.00, -0.75),
        (-1.60, 0.61, 0.00, -0.60),
        (-1.75, 0.42, -0.05, -0.50),
        (-1.85, 0.20, -0.18, -0.45),
        (-1.92, 0.03, -0.35, -0.45),
    ]
)
ANGLE_LIMIT, TOP, BOTTOM = 2.2, 1.85, -1.92
EYE_X, EYE_RADIUS, EYE_Z, LID_COLUMNS = 0.5, 0.32, -0.52, 9
MOUTH_Y, MOUTH_HALF, LIP_COLUMNS = -1.14, 0.41, 15


def egg(angle: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Points [..., 3] on the smooth head without features."""
    knots = _EGG[::-1]
    half, front, centre = (np.interp(height, knots[:, 0], knots[:, i]) for i in (1, 2, 3))
    return np.stack([half * np.sin(angle), height, centre + (front - centre) * np.cos(angle)], axis=-1)


def angle_of(x: np.ndarray, height: np.ndarray) -> np.ndarray:
    """The angle at which the front half of the egg has this x."""
    half = np.interp(height, _EGG[::-1, 0], _EGG[::-1, 1])
    return np.arcsin(np.clip(x / half, -0.999, 0.999))


def blob(points: np.ndarray, centre: tuple[float, float], size: tuple[float, float]) -> np.ndarray:
    """A Gaussian bump over x and y, 1 at its centre: float [...]."""
    return np.exp(
        -0.5 * (((points[..., 0] - centre[0]) / size[0]) ** 2 + ((points[..., 1] - centre[1]) / size[1]) ** 2)
    )


def ramp(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below low, 1 above high, smooth in between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _eye_rim(side: int, scale: float, lift: float) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower lid curves of one eye, x and y, from the head's right to its left."""
    s = np.linspace(0, 1, LID_COLUMNS)  # inner to outer corner
    arch = np.sin(np.pi * s)
    x = EYE_X + (s - 0.5) * 0.49 * (1 + (scale - 1) * 0.55)
    tilt = 0.02 * (s - 0.5)
    upper = np.stack([side * x, tilt + (0.098 * arch**0.75) * scale + lift * (0.25 + 0.75 * arch)], -1)
    lower = np.stack([side * x, tilt - (0.066 * arch**0.85) * scale - lift * (0.25 + 0.75 * arch)], -1)
    return (upper, lower) if side > 0 else (upper[::-1], lower[::-1])


def _lip_curves() -> dict[str, np.ndarray]:
    """Mouth curves [LIP_COLUMNS, 2], right to left: inner, middle, outer and around, each upper and lower."""
    s = np.sin(np.linspace(-1, 1, LIP_COLUMNS) * np.pi / 2)  # dense at the corners
    x = MOUTH_HALF * s
    bow = 0.155 * (1 - np.abs(s) ** 1.5) - 0.03 * np.exp(-((s / 0.14) ** 2))
    full = 0.185 * (1 - s**2) ** 0.75
    sag = MOUTH_Y - 0.012 * s**2
    curves = {}
    for name, up, down, wide in (
        ("inner", 0.02, 0.02, 0.965),
        ("middle", 0.5, 0.5, 0.985),
        ("outer", 1.0, 1.0, 1.0),
    ):
        keep = 1 - np.abs(s) ** 6
        above = np.full_like(s, up) * keep if name == "inner" else bow * up
        below = np.full_like(s, down) * keep if name == "inner" else full * down
        curves[f"{name}_upper"] = np.stack([x * wide, sag + above], -1)
        curves[f"{name}_lower"] = np.stack([x * wide, sag - below], -1)
    for step, (margin, wide) in enumerate(((0.07, 1.16), (0.15, 1.36)), start=1):
        curves[f"around{step}_upper"] = np.stack([x * wide, sag + bow * 0.8 + margin * (1 - 0.7 * s**4)], -1)
        curves[f"around{step}_lower"] = np.stack([x * wide, sag - full * 0.9 - margin * (1 - 0.7 * s**4)], -1)
    return curves


def _brow(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower edge of a brow [5, 2], from the head's right to its left."""
    s = np.linspace(0, 1, 5)
    x = 0.16 + 0.78 * s
    lower = 0.235 + 0.13 * np.sin(np.pi * np.minimum(s / 0.68, 1 + (s - 0.68) * 1.2) / 2) - 0.05 * s**6
    thick = 0.10 * (1 - 0.7 * s**2)
    above, below = np.stack([side * x, lower + thick], -1), np.stack([side * x, lower], -1)
    return (above, below) if side > 0 else (above[::-1], below[::-1])


_JAW = np.array(
    [(1.10, -0.05), (1.08, -0.38), (1.04, -0.68), (0.95, -1.0), (0.82, -1.3),
     (0.64, -1.53), (0.43, -1.69), (0.21, -1.79), (0, -1.82)]
)  # fmt: skip
_NOSE = np.array([(0, 0.02), (0, -0.19), (0, -0.40), (0, -0.60)])
_NOSTRILS = np.array([(-0.24, -0.70), (-0.13, -0.75), (0, -0.77), (0.13, -0.75), (0.24, -0.70)])


def _feature_points() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """All feature points [N, 2] in x and y, and their indices by name."""
    jaw = np.concatenate([_JAW * (-1, 1), _JAW[-2::-1]])
    parts: dict[str, np.ndarray] = {"jaw": jaw * (0.985, 1), "nose": _NOSE, "nostrils": _NOSTRILS}
    for side, name in ((-1, "r"), (1, "l")):
        parts[f"brow_{name}_upper"], parts[f"brow_{name}_lower"] = _brow(side)
        for ring, (scale, lift) in enumerate(((1.0, 0.0), (1.12, 0.022), (1.25, 0.06), (1.45, 0.11))):
            upper, lower = _eye_rim(side, scale, lift)
            parts[f"lid{ring}_{name}_upper"] = upper
            parts[f"lid{ring}_{name}_lower"] = lower[1:-1] if ring == 0 else lower
        wing = np.array(
            [(0.13, -0.58), (0.22, -0.57), (0.29, -0.64), (0.30, -0.74), (0.10, -0.68), (0.12, -0.30), (0.17, 0.0)]
        )
        parts[f"wing_{name}"] = wing * (side, 1)
    lips = _lip_curves()
    for name, curve in lips.items():
        shared = name.endswith("lower") and not name.startswith("around")
        parts[f"lip_{name}"] = curve[1:-1] if shared else curve
    return _collect(parts)


def _collect(parts: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Join the parts, merging points that (nearly) coincide."""
    points: list[np.ndarray] = []
    index: dict[str, np.ndarray] = {}
    for name, part in parts.items():
        rows = []
        for point in part:
            if points:
                distance = np.abs(np.array(points) - point).sum(axis=1)
                near = int(distance.argmin())
                if distance[near] < 0.012:
                    rows.append(near)
                    continue
            points.append(point)
            rows.append(len(points) - 1)
        index[name] = np.array(rows)
    return np.array(points), index


def skin_layout() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Layout points [N, 2] (angle, height): the features, then a grid that fills the gaps between them."""
    features, index = _feature_points()
    layout = np.stack([angle_of(features[:, 0], features[:, 1]), features[:, 1]], -1)
    angles = np.linspace(-ANGLE_LIMIT, ANGLE_LIMIT, 31)
    heights = np.concatenate([np.linspace(TOP, -1.70, 26), [-1.82, BOTTOM]])
    grid = np.stack(np.meshgrid(angles, heights), -1).reshape(-1, 2)
    distance = np.linalg.norm((grid[:, None] - layout[None]) * (1.0, 1.0), axis=-1).min(axis=1)
    return np.concatenate([layout, grid[distance > 0.062]]), index


def triangulate(layout: np.ndarray, holes: list[np.ndarray]) -> np.ndarray:
    """Delaunay triangles [T, 3] of layout points, without those inside the holes (polygons of vertex indices)."""
    scaled = ((layout - layout.min(axis=0) + 0.1) * 1000).astype(np.float32)
    width, height = (scaled.max(axis=0) + 100).astype(int).tolist()
    division = cv2.Subdiv2D((0, 0, width, height))
    for x, y in scaled.tolist():
        division.insert((x, y))
    corners = np.asarray(division.getTriangleList()).reshape(-1, 3, 2)
    inside = ((corners >= 0) & (corners < (width, height))).all(axis=(1, 2))
    lookup = {tuple(np.round(point, 1).tolist()): i for i, point in enumerate(scaled)}
    triangles = np.array(
        [[lookup.get(tuple(np.round(corner, 1).tolist()), -1) for corner in three] for three in corners[inside]]
    )
    triangles = triangles[(triangles >= 0).all(axis=1)]
    a, b, c = (layout[triangles[:, i]] for i in range(3))
    turn = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    triangles[turn < 0] = triangles[turn < 0][:, ::-1]
    centre = layout[triangles].mean(axis=1)
    keep = np.abs(turn) > 1e-7
    for hole in holes:
        polygon = layout[hole].astype(np.float32).reshape(-1, 1, 2)
        keep &= np.array([cv2.pointPolygonTest(polygon, (float(x), float(y)), False) < 0 for x, y in centre])
    return triangles[keep]

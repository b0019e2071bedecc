"""Rasterizes triangles on the CPU: a triangle index by the painter's algorithm, then attributes per pixel."""

from __future__ import annotations

import cv2
import numpy as np

SHIFT = 4  # fractional bits of the coordinates passed to OpenCV


def paint_index(points_xy: np.ndarray, triangles: np.ndarray, order: np.ndarray, size_px: int) -> np.ndarray:
    """Find the triangle that covers each pixel.

    Args:
        points_xy: float [V, 2], in pixels, with pixel centres at integers.
        triangles: int [T, 3].
        order: indices of the triangles to paint, farthest first; later ones cover earlier ones.
        size_px: side of the square image.

    Returns:
        int32 [size_px, size_px], index into ``triangles``, or -1 for none.
    """
    index = np.full((size_px, size_px), -1, np.int32)
    corners = np.round(points_xy * (1 << SHIFT)).astype(np.int32)[triangles[order]]
    fill = cv2.fillConvexPoly
    for number, corner in zip(order.tolist(), list(corners), strict=True):
        fill(index, corner, number, 8, SHIFT)
    return index


def interpolate(
    index: np.ndarray, points_xy: np.ndarray, triangles: np.ndarray, attributes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate vertex attributes at the covered pixels.

    Args:
        index: int32 [S, S] from ``paint_index``.
        points_xy: float [V, 2].
        triangles: int [T, 3].
        attributes: float32 [V, C].

    Returns:
        Flat indices [P] of the covered pixels, and their attributes float32 [P, C].
    """
    covered = np.flatnonzero(index >= 0)
    owner = index.reshape(-1)[covered]
    used, owner = _compact(owner, len(triangles))
    slope_x, slope_y, origin = _planes(points_xy, triangles[used], attributes)
    y, x = np.divmod(covered, index.shape[1])
    values = np.take(origin, owner, axis=0)
    values += np.take(slope_x, owner, axis=0) * x.astype(np.float32)[:, None]
    values += np.take(slope_y, owner, axis=0) * y.astype(np.float32)[:, None]
    return covered, values


def _compact(owner: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The triangles that occur in ``owner``, and ``owner`` renumbered to them."""
    present = np.zeros(count, bool)
    present[owner] = True
    used = np.flatnonzero(present)
    number = np.zeros(count, np.int32)
    number[used] = np.arange(len(used))
    return used, number[owner]


def _planes(
    points_xy: np.ndarray, triangles: np.ndarray, attributes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each attribute as a plane over the image: float32 [T, C] slopes in x, slopes in y, values at (0, 0)."""
    corner = points_xy.astype(np.float32)[triangles]
    value = attributes[triangles]
    edge_1, edge_2 = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = edge_1[:, 0] * edge_2[:, 1] - edge_1[:, 1] * edge_2[:, 0]
    # The slopes of a sliver are meaningless.
    inverse = np.where(np.abs(area) > 0.05, 1 / np.where(area == 0, 1, area), 0)[:, None]
    rise_1, rise_2 = value[:, 1] - value[:, 0], value[:, 2] - value[:, 0]
    slope_x = (rise_1 * edge_2[:, 1:] - rise_2 * edge_1[:, 1:]) * inverse
    slope_y = (rise_2 * edge_1[:, :1] - rise_1 * edge_2[:, :1]) * inverse
    middle, mean = corner.mean(axis=1), value.mean(axis=1)
    origin = mean - slope_x * middle[:, :1] - slope_y * middle[:, 1:]
    return slope_x, slope_y, origin


class VertexNormals:
    """Area-weighted vertex normals of a fixed topology."""

    def __init__(self, triangles: np.ndarray, count: int) -> None:
        self._triangles = triangles
        corner_of = triangles.reshape(-1)
        order = np.argsort(corner_of, kind="stable")
        self._owners = order // 3
        self._used, self._starts = np.unique(corner_of[order], return_index=True)
        self._count = count

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Unit normals float32 [V, 3] of points [V, 3]; zero for vertices without a triangle."""
        a, b, c = (points[self._triangles[:, i]] for i in range(3))
        faces = np.cross(b - a, c - a)
        normals = np.zeros((self._count, 3), np.float32)
        normals[self._used] = np.add.reduceat(faces[self._owners], self._starts, axis=0)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        return normals

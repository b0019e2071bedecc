"""Properties of a mesh that depend only on its shape: normals, concavity and ambient occlusion."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np


class Surface:
    """Normals and concavity of a mesh whose vertices may be duplicated along seams.

    Args:
        neutral: float32 [V, 3].
        triangles: int [T, 3].
        outside: V', the number of vertices, starting with the first, whose normals are updated as they move; all other
            normals stay those of ``neutral``.
        bends: number of triangles, starting with the first, over those vertices.
    """

    def __init__(self, neutral: np.ndarray, triangles: np.ndarray, outside: int, bends: int) -> None:
        _, first, group = np.unique(np.round(neutral, 4), axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)  # groups ordered by their first vertex, so those of the outside come first
        first, group = first[order], np.argsort(order)[group.ravel()]
        grouped = group[triangles]
        beyond = grouped[bends:]
        still = _sums(neutral[first].T, beyond, _gathering(beyond, len(first)))
        moving = _sums(neutral[first].T, grouped[:bends], _gathering(grouped[:bends], len(first)))
        self._resting = np.ascontiguousarray(_unit(still + moving)[group])
        count = int((first < outside).sum())
        self._first, self._group = first[:count], group[:outside]
        self._triangles = np.asfortranarray(grouped[:bends])
        self._gather = _gathering(self._triangles, count)
        self._still = still[:count]
        self._mean = _mean_of_neighbours(self._triangles, count)

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Outward unit normals float32 [V, 3] of points float32 [V, 3]; or [V', 3] of [V', 3]."""
        places = points.take(self._first, axis=0)
        total = _unit(_sums(places.T, self._triangles, self._gather) + self._still)
        updated = self._resting[: len(points)].copy()
        updated[: len(self._group)] = total.take(self._group, axis=0)
        return updated

    def concavity(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """float32 [V'], about -1..1: how far the neighbours of a vertex rise above it, in units of 0.1 cm."""
        own = points.take(self._first, axis=0)
        raised = np.einsum("ij,ij->i", self._mean @ own - own, normals.take(self._first, axis=0)) / np.float32(0.1)
        concavity: np.ndarray = np.clip(raised, -1, 1).take(self._group)
        return concavity


def _gathering(triangles: np.ndarray, count: int) -> Any:
    """A sparse matrix [count, T] that sums a value per triangle at each vertex."""
    from scipy.sparse import csr_matrix

    rows, columns = triangles.T.ravel(), np.tile(np.arange(len(triangles)), 3)
    return csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (count, len(triangles)))


def _mean_of_neighbours(triangles: np.ndarray, count: int) -> Any:
    """A sparse matrix [count, count] that averages over the neighbours of each vertex."""
    from scipy.sparse import csr_matrix, diags

    ends = np.concatenate([triangles, triangles[:, [1, 2, 0]]]).ravel()
    others = np.concatenate([triangles[:, [1, 2, 0]], triangles]).ravel()
    links = csr_matrix((np.ones(len(ends), np.float32), (ends, others)), (count, count))
    links.data[:] = 1
    share = diags(1 / np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1))
    return (share @ links).astype(np.float32).tocsr()


def _sums(places: np.ndarray, triangles: np.ndarray, gather: Any) -> np.ndarray:
    """float32 [G, 3]: area-weighted sum of the normals of each point's triangles; ``places`` is [3, G]."""
    axes = np.ascontiguousarray(places)
    a, b, c = triangles.T
    (ux, uy, uz), (vx, vy, vz) = ([axis.take(end) - axis.take(a) for axis in axes] for end in (b, c))
    cross = np.empty((len(triangles), 3), np.float32)
    cross[:, 0], cross[:, 1], cross[:, 2] = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    sums: np.ndarray = gather @ cross
    return sums


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    unit: np.ndarray = vectors / np.maximum(length, 1e-9)[:, None]
    return unit


@lru_cache(maxsize=2)
def hemisphere(count: int) -> np.ndarray:
    """float [count, 3]: evenly spread directions over slightly more than the front hemisphere (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = 1 - 1.35 * index / count
    angle = np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


def ambient_light(seen: np.ndarray, directions: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """float32 [V]: fraction of the light from all directions above the surface that reaches it."""
    facing = np.maximum(directions @ normals.T, 0)
    fraction: np.ndarray = (facing * seen).sum(axis=0) / np.maximum(facing.sum(axis=0), 1e-3)
    return fraction.astype(np.float32)

"""What depends on a mesh's shape alone: normals, how far it folds in, and which light it keeps from itself."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np


class Surface:
    """Normals and concavity of a mesh whose vertices may be doubled along its seams.

    Args:
        neutral: float32 [V, 3]; triangles: int [T, 3].
        outside: how many vertices, from the first, are followed as they move (V'), and
        bends: how many triangles, from the first, lie over those. All other normals stay those of ``neutral``.
    """

    def __init__(self, neutral: np.ndarray, triangles: np.ndarray, outside: int, bends: int) -> None:
        _, first, group = np.unique(np.round(neutral, 4), axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)  # groups by their first vertex: those of the outside lead
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
        """float32 [V, 3], unit, outwards, of points float32 [V, 3]; [V', 3] of [V', 3]."""
        places = points.take(self._first, axis=0)
        total = _unit(_sums(places.T, self._triangles, self._gather) + self._still)
        found = self._resting[: len(points)].copy()
        found[: len(self._group)] = total.take(self._group, axis=0)
        return found

    def concavity(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """float32 [V'], about -1..1: how far neighbours stand out above a vertex, in units of 0.1 cm."""
        own = points.take(self._first, axis=0)
        raised = np.einsum("ij,ij->i", self._mean @ own - own, normals.take(self._first, axis=0)) / np.float32(0.1)
        found: np.ndarray = np.clip(raised, -1, 1).take(self._group)
        return found


def _gathering(triangles: np.ndarray, count: int) -> Any:
    """A sparse matrix [count, T] that adds what triangles have at their corners."""
    from scipy.sparse import csr_matrix

    rows, columns = triangles.T.ravel(), np.tile(np.arange(len(triangles)), 3)
    return csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (count, len(triangles)))


def _mean_of_neighbours(triangles: np.ndarray, count: int) -> Any:
    """A sparse matrix [count, count]."""
    from scipy.sparse import csr_matrix, diags

    ends = np.concatenate([triangles, triangles[:, [1, 2, 0]]]).ravel()
    others = np.concatenate([triangles[:, [1, 2, 0]], triangles]).ravel()
    links = csr_matrix((np.ones(len(ends), np.float32), (ends, others)), (count, count))
    links.data[:] = 1
    share = diags(1 / np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1))
    return (share @ links).astype(np.float32).tocsr()


def _sums(places: np.ndarray, triangles: np.ndarray, gather: Any) -> np.ndarray:
    """float32 [G, 3]: the sum of the normals of each point's triangles, weighted by their area; places [3, G]."""
    axes = np.ascontiguousarray(places)
    a, b, c = triangles.T
    (ux, uy, uz), (vx, vy, vz) = ([axis.take(end) - axis.take(a) for axis in axes] for end in (b, c))
    cross = np.empty((len(triangles), 3), np.float32)
    cross[:, 0], cross[:, 1], cross[:, 2] = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    found: np.ndarray = gather @ cross
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    found: np.ndarray = vectors / np.maximum(length, 1e-9)[:, None]
    return found


@lru_cache(maxsize=2)
def hemisphere(count: int) -> np.ndarray:
    """float [count, 3]: even directions over the sphere's front and a little more (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = 1 - 1.35 * index / count
    angle = np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


def ambient_light(seen: np.ndarray, directions: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """float32 [V]: share of the light from all directions above the surface that arrives."""
    facing = np.maximum(directions @ normals.T, 0)
    found: np.ndarray = (facing * seen).sum(axis=0) / np.maximum(facing.sum(axis=0), 1e-3)
    return found.astype(np.float32)

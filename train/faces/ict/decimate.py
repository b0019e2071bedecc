"""Mesh decimation by half-edge collapses in order of quadric error; the vertices kept are a subset of the original.

Because no vertex moves, texture coordinates, identity components and expression shapes of the remaining vertices stay
valid. The error is that of Garland and Heckbert (SIGGRAPH 1997), summed over several poses, so that creases that appear
only in an expression are kept too.
"""

from __future__ import annotations

import numpy as np

# Fraction of candidate collapses tried per round before costs are updated, cheapest first; doubled if none is possible.
_CHEAPEST = 0.15
_LARGEST_TURN = 0.2  # cosine; a triangle's normal may not turn further in one collapse


def decimate(
    poses: np.ndarray, triangles: np.ndarray, target: int, importance: np.ndarray, locked: np.ndarray
) -> np.ndarray:
    """Collapse edges until about ``target`` triangles remain.

    Args:
        poses: float [P, V, 3], the vertices in each pose; the first is used to detect flipped triangles.
        triangles: int [T, 3].
        target: number of triangles to keep.
        importance: float [V], factor on the error of removing a vertex.
        locked: bool [V], vertices to keep. Vertices on an open border are kept too.

    Returns:
        int32 [T', 3]: triangles over the same vertex indices, with T' near ``target``.
    """
    triangles = np.asarray(triangles, np.int64)
    quadrics = _quadrics(poses, triangles) * importance[None, :, None, None]
    fixed = locked | _on_border(triangles, len(importance))
    share = _CHEAPEST
    while len(triangles) > target:
        source, goal = _candidates(poses, triangles, quadrics, fixed, importance, share)
        chosen = _independent(source, goal, triangles, limit=(len(triangles) - target) // 2 + 1)
        chosen = chosen[~_turns_over(poses[0], triangles, source[chosen], goal[chosen])]
        if len(chosen) == 0:
            if share >= 1:
                break
            share *= 2
            continue
        renamed = np.arange(len(importance))
        renamed[source[chosen]] = goal[chosen]
        quadrics[:, goal[chosen]] += quadrics[:, source[chosen]]
        triangles = renamed[triangles]
        degenerate = (triangles == np.roll(triangles, 1, axis=1)).any(axis=1)
        triangles = triangles[~degenerate]
    return triangles.astype(np.int32)


def _quadrics(poses: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[P, V, 4, 4]: sum, over a vertex's triangles, of the area times the squared distance to the plane."""
    count = poses.shape[1]
    quadrics = np.zeros((len(poses), count, 4, 4))
    for pose, total in zip(poses, quadrics, strict=True):
        a, b, c = (pose[triangles[:, k]] for k in range(3))
        normal = np.cross(b - a, c - a)
        area = np.linalg.norm(normal, axis=1, keepdims=True)
        normal = normal / np.maximum(area, 1e-9)
        plane = np.concatenate([normal, -np.sum(normal * a, axis=1, keepdims=True)], axis=1)
        outer = plane[:, :, None] * plane[:, None, :] * area[:, :, None]
        for k in range(3):
            np.add.at(total, triangles[:, k], outer)
    return quadrics


def _edges(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undirected edges [E, 2], and the number of triangles that share each."""
    pairs = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    edges, uses = np.unique(pairs, axis=0, return_counts=True)
    return edges, uses


def _on_border(triangles: np.ndarray, count: int) -> np.ndarray:
    edges, uses = _edges(triangles)
    border = np.zeros(count, bool)
    border[edges[uses != 2].ravel()] = True
    return border


def _candidates(
    poses: np.ndarray,
    triangles: np.ndarray,
    quadrics: np.ndarray,
    fixed: np.ndarray,
    importance: np.ndarray,
    share: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The cheapest ``share`` of half-edges whose source may be removed, in order of error."""
    edges, _ = _edges(triangles)
    source, goal = np.concatenate([edges, edges[:, ::-1]]).T
    free = ~fixed[source]
    source, goal = source[free], goal[free]
    cost = np.zeros(len(source))
    for pose, quadric in zip(poses, quadrics, strict=True):
        point = np.concatenate([pose[goal], np.ones((len(goal), 1))], axis=1)
        cost += np.einsum("ei,eij,ej->e", point, quadric[source] + quadric[goal], point)
    length = np.linalg.norm(poses[0][source] - poses[0][goal], axis=1)
    cost += 1e-4 * importance[source] * length**3  # on flat skin, short edges first, so that triangles stay even
    order = np.argsort(cost)[: max(64, int(share * len(cost)))]
    return source[order], goal[order]


def _independent(source: np.ndarray, goal: np.ndarray, triangles: np.ndarray, limit: int) -> np.ndarray:
    """Indices of candidates, in order of cost, whose neighbourhoods do not overlap."""
    neighbours: dict[int, set[int]] = {}
    for a, b, c in triangles.tolist():
        for vertex, others in ((a, (b, c)), (b, (a, c)), (c, (a, b))):
            neighbours.setdefault(vertex, set()).update(others)
    touched = np.zeros(int(triangles.max()) + 1, bool)
    taken = []
    for index, (s, g) in enumerate(zip(source.tolist(), goal.tolist(), strict=True)):
        around = neighbours[s]
        # With more than two common neighbours, the collapse would pinch the surface.
        if touched[s] or touched[g] or len(around & neighbours[g]) != 2:
            continue
        taken.append(index)
        touched[[s, g, *around]] = True
        if len(taken) >= limit:
            break
    return np.array(taken, np.int64)


def _turns_over(points: np.ndarray, triangles: np.ndarray, source: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """bool [C]: collapses that would turn one of the source's remaining triangles too far."""
    which = np.full(len(points), -1)
    which[source] = np.arange(len(source))
    owner = which[triangles]
    rows, column = np.nonzero(owner >= 0)
    owners = owner[rows, column]
    before = triangles[rows]
    after = before.copy()
    after[np.arange(len(rows)), column] = goal[owners]
    stays = ~(before == goal[owners][:, None]).any(axis=1)
    cosine = np.sum(_unit_normals(points, before) * _unit_normals(points, after), axis=1)
    bad = np.zeros(len(source), bool)
    bad[owners[stays & (cosine < _LARGEST_TURN)]] = True
    return bad


def _unit_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (points[triangles[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    unit: np.ndarray = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return unit

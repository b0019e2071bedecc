"""Prepares ICT-FaceKit for rendering: decimated, with all parts and shapes over one vertex array, and cached."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from edgeau.runtime.detect import cache_folder
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import atomic_path, sha256_file

from .decimate import decimate
from .load import IctArrays, find, load

VERSION = 10  # of the cached mesh; increment it when anything below changes it
SKIN, EYE, TEETH, GUMS, SOCKET = range(5)
POSITION_MAP_PX = 256
_POSES = (
    "",
    "jawOpen",
    "mouthSmile_L+mouthSmile_R",
    "browInnerUp_L+browInnerUp_R",
    "browDown_L+browDown_R+noseSneer_L+noseSneer_R",
    "eyeBlink_L+eyeBlink_R",
)
_TURNED_AWAY = -0.6  # z of a normal inside the mouth that stays hidden while the head turns by up to 35 degrees
# Vertices of the published mesh from which the material of the back of the head covers the inside of the mouth and the
# eye sockets.
_MOUTH_INSIDE, _EYE_INSIDE = 11248, 13294


@dataclass(frozen=True)
class FaceMesh:
    """The mesh to render, over V vertices, each of which belongs to one part.

    Attributes:
        neutral: float32 [V, 3], centimetres; x to the head's left, y up, z to the front.
        triangles: int32 [T, 3], counter-clockwise from outside; in order of parts.
        part: uint8 [V], SKIN to SOCKET.
        uv: float32 [V, 2]: on the skin, texture coordinates (v up); on an eye, x and y of the direction from its
            centre while it looks straight ahead.
        identity: float32 [60, V, 3].
        shapes: float32 [K, V, 3], named by ``shape_names``.
        landmarks: int32 [68].
        eye_centres: float32 [2, 3], the subject's right eye first.
        eye_radius_cm: float32 [].
        position_map: float32 [M, M, 3], the neutral position of each texel of the skin texture; v = 1 in the top row.
    """

    neutral: np.ndarray
    triangles: np.ndarray
    part: np.ndarray
    uv: np.ndarray
    identity: np.ndarray
    shapes: np.ndarray
    shape_names: np.ndarray
    landmarks: np.ndarray
    eye_centres: np.ndarray
    eye_radius_cm: np.ndarray
    position_map: np.ndarray


def prepare(path: str | None = None) -> FaceMesh:
    """Return the prepared mesh of the ICT-FaceKit at ``path``.

    Takes a minute the first time; after that, the mesh is read from the user's cache.

    Raises:
        InputError: ICT-FaceKit is missing or unreadable.
    """
    source = find(path)
    cache = _cache_file(source)
    if cache.is_file():
        with np.load(cache) as file:
            return FaceMesh(**{f.name: file[f.name] for f in fields(FaceMesh)})
    mesh = build(load(source))
    try:
        with atomic_path(cache) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, **{f.name: getattr(mesh, f.name) for f in fields(FaceMesh)})
    except OSError as error:
        raise InputError(f"cache {cache}", got=str(error), hint="set EDGEAU_CACHE to a writable folder") from error
    return mesh


def _cache_file(source: Path) -> Path:
    known = source if source.is_file() else next(iter(sorted(source.rglob("generic_neutral_mesh.obj"))), None)
    known = known or next(iter(sorted(source.glob("*.npz"))), None)
    key = sha256_file(known)[:16] if known else hashlib.sha256(str(source).encode()).hexdigest()[:16]
    return cache_folder() / f"ict-{key}-v{VERSION}.npz"


def build(arrays: IctArrays) -> FaceMesh:
    """Split the mesh into parts, decimate each, and gather every shape at the remaining vertices."""
    missing = [name for pose in _POSES for name in pose.split("+") if name and name not in arrays.expressions]
    if missing:
        raise InputError("face model", got=f"no shapes {missing}", expected="those of ICT-FaceKit")
    poses = np.stack([_pose(arrays, text) for text in _POSES])
    importance = _importance(arrays)
    locked = np.zeros(len(arrays.vertices), bool)
    locked[arrays.landmarks] = True
    centres, radius = _eyes(arrays)
    vertices, triangles, parts = [], [], []
    start = 0
    for part, chosen, target in _parts(arrays, centres):
        few = decimate(poses, chosen, target, importance, locked)
        if part > EYE:
            few = few[_facing(arrays.vertices[few]) > _TURNED_AWAY]
        used, renumbered = np.unique(few, return_inverse=True)
        vertices.append(used)
        triangles.append(renumbered.reshape(-1, 3) + start)
        parts.append(np.full(len(used), part))
        start += len(used)
    kept, part_of = np.concatenate(vertices), np.concatenate(parts).astype(np.uint8)
    names = sorted(arrays.expressions)
    where = {int(v): i for i, v in reversed(list(enumerate(kept)))}
    return FaceMesh(
        neutral=arrays.vertices[kept],
        triangles=np.concatenate(triangles).astype(np.int32),
        part=part_of,
        uv=_texture_coordinates(arrays, kept, part_of, centres, radius),
        identity=arrays.identity[:, kept],
        shapes=np.stack([arrays.expressions[name][kept] for name in names]),
        shape_names=np.array(names),
        landmarks=np.array([where[int(v)] for v in arrays.landmarks], np.int32),
        eye_centres=centres,
        eye_radius_cm=np.float32(radius),
        position_map=_position_map(arrays),
    )


def _pose(arrays: IctArrays, text: str) -> np.ndarray:
    moved = arrays.vertices.astype(np.float64)
    for name in text.split("+") if text else ():
        moved = moved + arrays.expressions[name]
    return moved


def _importance(arrays: IctArrays) -> np.ndarray:
    """More triangles around lips, eyelids, brows and nostrils; few at the back of the head and on the ears."""
    points = arrays.vertices

    def near(indices: range, radius_cm: float) -> np.ndarray:
        distance = np.linalg.norm(points[:, None] - points[arrays.landmarks[list(indices)]][None], axis=2).min(axis=1)
        return np.exp(-((distance / radius_cm) ** 2))

    weight = (
        1
        + 12 * near(range(48, 68), 0.9)
        + 12 * near(range(36, 48), 0.7)
        + 3 * near(range(17, 27), 0.9)
        + 4 * near(range(30, 36), 0.8)
    )
    unseen = (points[:, 2] < 4.5) | (points[:, 1] < -8.5)
    factor: np.ndarray = np.where(unseen, 0.1, weight)
    return factor


def _parts(arrays: IctArrays, centres: np.ndarray) -> list[tuple[int, np.ndarray, int]]:
    """(part, triangles over all vertices, how many to keep)."""
    triangles, material = _triangulate(arrays.quads, arrays.materials)
    first = triangles.min(axis=1)
    back = material == "M_BackHead"
    mouth = back & (first >= _MOUTH_INSIDE) & (first < _EYE_INSIDE)
    outside = back & (triangles.max(axis=1) < _MOUTH_INSIDE)
    front_of_eye = arrays.vertices[triangles].mean(axis=1)[:, 2] > centres[0, 2] + 0.2
    chosen: list[tuple[int, np.ndarray, int]] = [
        (SKIN, material == "M_Face", 3800), (SKIN, outside, 600),
        (EYE, (material == "M_ScleraLeft") & front_of_eye, 200),
        (EYE, (material == "M_ScleraRight") & front_of_eye, 200),
        (TEETH, material == "M_Teeth", 1000), (GUMS, material == "M_GumsTongue", 500), (SOCKET, mouth, 240),
    ]  # fmt: skip
    return [(part, triangles[mask], target) for part, mask, target in chosen]


def _facing(corners: np.ndarray) -> np.ndarray:
    """float [T]: z of the unit normal of triangles [T, 3, 3]."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    cosine: np.ndarray = normal[:, 2] / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
    return cosine


def _triangulate(quads: np.ndarray, materials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    four = quads[:, 3] >= 0
    triangles = np.concatenate([quads[:, :3], quads[four][:, [0, 2, 3]]])
    return triangles.astype(np.int64), np.concatenate([materials, materials[four]])


def _eyes(arrays: IctArrays) -> tuple[np.ndarray, float]:
    """Centres of the eyeballs and their mean radius, from a least-squares sphere fitted to each."""
    centres, radii = [], []
    for name in ("M_ScleraRight", "M_ScleraLeft"):
        used = np.unique(arrays.quads[arrays.materials == name])
        points = arrays.vertices[used[used >= 0]].astype(np.float64)
        points = points[points[:, 2] < np.percentile(points[:, 2], 60)]  # leave out the cornea, which bulges
        solution = np.linalg.lstsq(np.c_[2 * points, np.ones(len(points))], (points**2).sum(axis=1), rcond=None)[0]
        centres.append(solution[:3])
        radii.append(np.sqrt(solution[3] + solution[:3] @ solution[:3]))
    return np.array(centres, np.float32), float(np.mean(radii))


def _texture_coordinates(
    arrays: IctArrays, kept: np.ndarray, part: np.ndarray, centres: np.ndarray, radius: float
) -> np.ndarray:
    from scipy.spatial import cKDTree

    corners = arrays.materials == "M_Face"
    vertex, coordinate = arrays.quads[corners].ravel(), arrays.uv_quads[corners].ravel()
    vertex, coordinate = vertex[vertex >= 0], coordinate[coordinate >= 0]
    of_vertex = dict(zip(vertex.tolist(), coordinate.tolist(), strict=True))
    face_vertices = np.array(sorted(of_vertex))
    # The back of the head has its own tile; it uses the colour of the nearest facial skin instead.
    _, nearest = cKDTree(arrays.vertices[face_vertices]).query(arrays.vertices[kept])
    uv = arrays.uv[[of_vertex[int(v)] for v in face_vertices[nearest]]].astype(np.float32)
    eyes = part == EYE
    points = arrays.vertices[kept[eyes]]
    uv[eyes] = (points - centres[(points[:, 0] > 0).astype(int)])[:, :2] / radius
    return uv


def _position_map(arrays: IctArrays) -> np.ndarray:
    from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

    face = arrays.materials == "M_Face"
    vertex, coordinate = arrays.quads[face].ravel(), arrays.uv_quads[face].ravel()
    vertex, coordinate = vertex[vertex >= 0], coordinate[coordinate >= 0]
    coordinate, first = np.unique(coordinate, return_index=True)
    known, values = arrays.uv[coordinate], arrays.vertices[vertex[first]]
    axis = (np.arange(POSITION_MAP_PX) + 0.5) / POSITION_MAP_PX
    u, v = np.meshgrid(axis, 1 - axis)
    texels = np.stack([u, v], axis=-1)
    inside = LinearNDInterpolator(known, values)(texels)
    outside = NearestNDInterpolator(known, values)(texels)
    positions: np.ndarray = np.where(np.isnan(inside), outside, inside).astype(np.float32)
    return positions

"""The built-in renderer: our own low-poly head, drawn with only numpy and OpenCV.

It needs no graphics driver and no torch, so synthetic faces work wherever the runtime does. Triangles are rasterized
into an index buffer at 1.5 times the crop's resolution; texture, light and creases are then looked up per pixel, so
shading is smooth although the mesh is coarse.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import cv2
import numpy as np

from edgeau.runtime.crop import crop_matrix, transform
from edgeau.runtime.manifest import CropSpec
from edgeau.train.faces.base import FrameSpec, Rendered
from edgeau.train.faces.builtin import align, camera, creases, raster
from edgeau.train.faces.builtin.complexion import Complexion, draw_complexion
from edgeau.train.faces.builtin.head import IDENTITY_SIZE, hairline, head
from edgeau.train.faces.builtin.head_layout import EYE_RADIUS, TOP, egg
from edgeau.train.faces.builtin.shapes import close_gaps, expression_basis, identity_basis, weights

SUPERSAMPLE = 1.5
_CACHED = 4
_PART_LIGHT = {
    "cavity": 0.45,
    "tongue": 0.75,
    "teeth_upper": 0.92,
    "teeth_lower": 0.8,
    "eye_r": 0.8,
    "eye_l": 0.8,
    "neck": 0.72,
    "curtain": 0.6,
}


@dataclass(frozen=True)
class _View:
    """A posed head in front of the camera: rotated points and normals float32 [V, 3], and their pixels [V, 2]."""

    points: np.ndarray
    normals: np.ndarray
    pixels: np.ndarray


class BuiltinRenderer:
    """Draws the built-in head. ``render`` is a pure function of its arguments; looks and scenes are cached."""

    def __init__(self) -> None:
        self._mesh = head()
        self._expressions = expression_basis().reshape(len(expression_basis()), -1)
        self._identities = identity_basis().reshape(IDENTITY_SIZE, -1)
        self._normals = raster.VertexNormals(self._mesh.triangles, len(self._mesh.rest))
        self._complexions: OrderedDict[tuple[int, bool], Complexion] = OrderedDict()
        self._scenes: OrderedDict[tuple[int, int, bool], camera.Surroundings] = OrderedDict()
        self._part_light = np.ones(len(self._mesh.rest), np.float32)
        for name, light in _PART_LIGHT.items():
            self._part_light[self._mesh.groups[name]] = light

    def render(self, spec: FrameSpec, crop: CropSpec) -> Rendered:
        """Draw one crop: uint8 RGB, with landmarks in crop pixels."""
        heldout = spec.domain == "heldout"
        complexion = self._complexion_of(spec.look_seed, heldout)
        scene = self._scene(spec.scene_seed, crop.size_px, heldout)
        rng = np.random.default_rng([spec.frame_seed, 37])
        view = self._view(spec, complexion, scene, crop, rng)
        size = round(crop.size_px * SUPERSAMPLE)
        triangles, order = self._visible(view, complexion, size)
        index = raster.paint_index(view.pixels, triangles, order, size)
        picture = self._shade(spec, complexion, scene, view, index, triangles)
        if complexion.glasses is not None:
            self._glasses(picture, view, complexion.glasses)
        small = cv2.resize(picture, (crop.size_px, crop.size_px), interpolation=cv2.INTER_AREA)
        landmarks, visible = self._landmarks(view, index, triangles, crop.size_px)
        return Rendered(camera.expose(small, scene, rng), landmarks, visible)

    def close(self) -> None:
        """Do nothing: the renderer holds no graphics resources."""

    def _complexion_of(self, seed: int, heldout: bool) -> Complexion:
        key = (seed, heldout)
        if key not in self._complexions:
            self._complexions[key] = draw_complexion(seed, heldout)
            if len(self._complexions) > _CACHED:
                self._complexions.popitem(last=False)
        return self._complexions[key]

    def _scene(self, seed: int, size_px: int, heldout: bool) -> camera.Surroundings:
        key = (seed, size_px, heldout)
        if key not in self._scenes:
            self._scenes[key] = camera.surroundings(seed, size_px, heldout)
            if len(self._scenes) > _CACHED:
                self._scenes.popitem(last=False)
        return self._scenes[key]

    def _view(
        self,
        spec: FrameSpec,
        complexion: Complexion,
        scene: camera.Surroundings,
        crop: CropSpec,
        rng: np.random.Generator,
    ) -> _View:
        points = self._shape(spec, complexion)
        normals = self._normals(points)
        turn = rotation(spec.yaw_deg, spec.pitch_deg, spec.roll_deg)
        points, normals = points @ turn.T, normals @ turn.T
        near = scene.distance / (scene.distance - points[:, 2])
        image = np.stack([points[:, 0] * near, -points[:, 1] * near], -1) * 100  # any scale: the crop rule sets it
        corners = align.jitter(align.five_points(image[self._mesh.landmarks]), rng)
        pixels = transform(image, crop_matrix(corners, crop))
        fine = (pixels + 0.5) * SUPERSAMPLE - 0.5
        return _View(points, normals, fine.astype(np.float32))

    def _shape(self, spec: FrameSpec, complexion: Complexion) -> np.ndarray:
        mesh = self._mesh
        identity = np.zeros(IDENTITY_SIZE, np.float32)
        known = np.clip(np.asarray(spec.identity, np.float32)[:IDENTITY_SIZE], -2.5, 2.5)
        identity[: len(known)] = known
        moved = identity @ self._identities + weights(dict(spec.au), spec.blink) @ self._expressions
        points = mesh.rest + moved.reshape(-1, 3)
        close_gaps(points)
        self._look_around(points, spec.gaze_deg)
        if complexion.hair != "none":
            self._comb(points, complexion)
        return points

    def _look_around(self, points: np.ndarray, gaze_deg: tuple[float, float]) -> None:
        turn = rotation(-gaze_deg[0], gaze_deg[1], 0.0)
        for name in ("eye_r", "eye_l"):
            rows = self._mesh.groups[name]
            centre = points[rows].mean(axis=0)
            centre[2] = points[rows[0], 2] - EYE_RADIUS
            centre[:2] = points[rows[0], :2]
            points[rows] = (points[rows] - centre) @ turn.T + centre

    def _comb(self, points: np.ndarray, complexion: Complexion) -> None:
        rows = self._mesh.groups["hair"]
        angle, depth = self._mesh.layout[rows].T
        height = TOP - depth * (TOP - hairline(angle, complexion.hair_drop))
        base = egg(angle, height)
        outward = base - np.array([0, 0.0, -1.2])
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        stretch = points[self._mesh.groups["skin"]].astype(np.float64)
        wide = np.abs(stretch[:, 0]).max() / 1.12
        lift = complexion.hair_lift * (1 - 0.65 * depth**3) + 0.02
        points[rows] = base * (wide, 1, 1) + outward * lift[:, None]

    def _visible(self, view: _View, complexion: Complexion, size_px: int) -> tuple[np.ndarray, np.ndarray]:
        """All triangles, and the indices of the visible ones in painting order."""
        triangles = self._mesh.triangles
        corners = view.pixels[triangles]
        edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        is_visible = edge_1[:, 0] * edge_2[:, 1] < edge_1[:, 1] * edge_2[:, 0]
        low, high = corners.min(axis=1), corners.max(axis=1)
        is_visible &= (high > -1).all(axis=1) & (low < size_px).all(axis=1)
        first = triangles[:, 0]
        for name in self._unworn(view, complexion):
            rows = self._mesh.groups[name]
            is_visible &= (first < rows[0]) | (first > rows[-1])
        shown = np.flatnonzero(is_visible)
        depth = view.points[:, 2][triangles[shown]].sum(axis=1)
        return triangles, shown[np.lexsort((depth, self._mesh.layer[shown]))]

    def _unworn(self, view: _View, complexion: Complexion) -> list[str]:
        """Parts of the mesh that this image does not show."""
        hidden = ["ear"] if complexion.hair == "long" else ["curtain"]
        if complexion.hair == "none":
            hidden.append("hair")
        upper, lower = view.pixels[self._mesh.groups["lip_inner"]]
        if np.abs(upper - lower).max() < 0.5:
            hidden += ["cavity", "tongue", "teeth_lower", "teeth_upper"]
        return hidden

    def _shade(
        self,
        spec: FrameSpec,
        complexion: Complexion,
        scene: camera.Surroundings,
        view: _View,
        index: np.ndarray,
        triangles: np.ndarray,
    ) -> np.ndarray:
        size = index.shape[0]
        light, shine = self._light(view, complexion, scene)
        attributes = np.concatenate([self._mesh.uv, light, shine[:, None]], axis=1)
        covered, values = raster.interpolate(index, view.pixels, triangles, attributes)
        u, v = values[:, 0].reshape(1, -1), values[:, 1].reshape(1, -1)
        colour = _sample(complexion.atlas, u, v)
        gain = _sample(creases.crease_gain(dict(spec.au), complexion.creases), u, v)
        picture = cv2.resize(scene.background, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        lit = colour.astype(np.float32) * (np.maximum(values[:, 2:5], 0) * gain[:, None]) + values[:, 5:6]
        picture.reshape(-1, 3)[covered] = lit
        self._glint(picture, view, scene, index, triangles)
        return picture

    def _light(self, view: _View, complexion: Complexion, scene: camera.Surroundings) -> tuple[np.ndarray, np.ndarray]:
        """Light per vertex, float32 [V, 3], that multiplies the colour, and the specular highlight [V] added to it."""
        normals = view.normals
        up = (0.5 + 0.5 * normals[:, 1:2]) * self._part_light[:, None]
        total = scene.ambient_sky * up + scene.ambient_ground * (self._part_light[:, None] - up)
        shine = np.zeros(len(normals), np.float32)
        for direction, rgb in zip(scene.lights, scene.light_rgb, strict=True):
            toward = normals @ direction
            total = total + rgb * (np.maximum(toward + 0.15, 0) / 1.15 * self._part_light)[:, None]
            half = direction + np.array([0, 0, 1], np.float32)
            shine += float(rgb.mean()) * np.maximum(normals @ (half / np.linalg.norm(half)), 0) ** 18
        shine *= 255 * 0.6 * complexion.shine * self._part_light
        return total.astype(np.float32), shine.astype(np.float32)

    def _glint(
        self, picture: np.ndarray, view: _View, scene: camera.Surroundings, index: np.ndarray, triangles: np.ndarray
    ) -> None:
        """The key light's reflection in each eye."""
        half = scene.lights[0] + np.array([0, 0, 1], np.float32)
        half /= np.linalg.norm(half)
        for name in ("eye_r", "eye_l"):
            rows = self._mesh.groups[name]
            nearest = rows[int(np.argmax(view.normals[rows] @ half))]
            x, y = np.round(view.pixels[nearest]).astype(int)
            if 0 <= x < index.shape[1] and 0 <= y < index.shape[0] and index[y, x] >= 0:
                owner = triangles[index[y, x], 0]
                if rows[0] <= owner <= rows[-1]:
                    cv2.circle(picture, (int(x), int(y)), 1, (235.0, 235.0, 235.0), -1, cv2.LINE_AA)

    def _glasses(self, picture: np.ndarray, view: _View, colour: tuple[int, int, int]) -> None:
        marks = view.pixels[self._mesh.landmarks]
        right, left = marks[36:42].mean(0), marks[42:48].mean(0)
        across = left - right
        angle = float(np.degrees(np.arctan2(across[1], across[0])))
        span = float(np.hypot(*across))
        thick = max(1, round(span * 0.05))
        size = (int(span * 0.38), int(span * 0.28))
        ink = tuple(float(c) for c in colour)
        for middle, wide in ((right, 36), (left, 45)):
            centre = 0.75 * middle + 0.25 * marks[wide] + (0, 0.06 * span)
            centre = 0.5 * centre + 0.5 * middle
            cv2.ellipse(picture, (int(centre[0]), int(centre[1])), size, angle, 0, 360, ink, thick, cv2.LINE_AA)
        a, b = right + 0.38 * across, left - 0.38 * across
        cv2.line(picture, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), ink, thick, cv2.LINE_AA)

    def _landmarks(
        self, view: _View, index: np.ndarray, triangles: np.ndarray, size_px: int
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = self._mesh.landmarks
        fine = view.pixels[rows]
        marks = ((fine + 0.5) / SUPERSAMPLE - 0.5).astype(np.float32)
        pixel = np.clip(np.round(fine), 0, index.shape[0] - 1).astype(int)
        owner = index[pixel[:, 1], pixel[:, 0]]
        inside = ((marks >= 0) & (marks <= size_px - 1)).all(axis=1)
        surface = view.points[triangles[owner], 2].mean(axis=1)
        near = (owner < 0) | (surface < view.points[rows, 2] + 0.25)
        facing = view.normals[rows, 2] > -0.25
        return marks, inside & near & facing


def rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    """Head rotation float32 [3, 3]: yaw and roll to the subject's left, pitch up; roll is applied last."""
    yaw, pitch, roll = np.deg2rad([yaw_deg, pitch_deg, roll_deg])
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return (about_z @ about_y @ about_x).astype(np.float32)


def _sample(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bilinear samples of an image at float32 [1, P] pixels: [P] or [P, C]."""
    width = 16384  # cv2.remap takes images of at most 32767 pixels per side
    count = u.shape[1]
    rows = -(-count // width)
    grid = np.zeros((2, rows * width), np.float32)
    grid[0, :count], grid[1, :count] = u[0], v[0]
    sampled = cv2.remap(
        image,
        grid[0].reshape(rows, width),
        grid[1].reshape(rows, width),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return sampled.reshape(rows * width, -1)[:count].reshape(count, *image.shape[2:])

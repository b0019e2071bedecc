"""Pictures of ICT-FaceKit (MIT, USC Institute for Creative Technologies): identity, action units, pose, light, camera.

renderer = make("../ICT-FaceKit")        # a checkout, a folder with the repacked .npz, or the .npz
rendered = renderer.render(spec, CropSpec())
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from edgeau.runtime.crop import crop_matrix, transform
from edgeau.runtime.manifest import CropSpec
from edgeau.train.faces.base import FrameSpec, Rendered, Renderer

from . import hands, skin, strands, wrinkles
from .appearance import Look, Scene, Shot, draw_look, draw_scene, draw_shot
from .gl import Canvas, open_context, visibility
from .mesh import EYE, SKIN, SOCKET, TEETH, FaceMesh, prepare
from .photo import background, develop
from .shapes import dense_weights, extra_shapes, shape_weights
from .surface import Surface, ambient_light, hemisphere
from .view import Camera, detected, followed, head_rotation, jittered

_OVERSAMPLING = 1.25  # 160 for 128 pixels: beyond it edges hardly improve and every pass costs more
_PIVOT = np.array([0.0, 0.0, 3.0], np.float32)  # the head turns about its neck's top, roughly
_VERGENCE_DEG = 2.5  # both eyes look at something a metre or so away
_LIPS_PART_CM = 0.12  # from landmark 62 to 66; below it nothing inside the mouth shows
_LIPS_TOUCH_CM = 0.03
_PARTS_LIPS = ("AU16", "AU22", "AU25", "AU27")  # without these, whatever else moves, lips stay together
_HIDDEN_BEHIND_CM = 0.7


def make(path: str | None = None) -> Renderer:
    """A renderer for the ICT-FaceKit at ``path``, else at the environment variable EDGEAU_ICT.

    Raises:
        InputError: no ICT-FaceKit there, or no EGL on this machine.
        MissingExtraError: moderngl is not installed.
    """
    return IctRenderer(prepare(path), open_context())


@dataclass(frozen=True)
class _Subject:
    """What one subject's frames share."""

    look: Look
    neutral: np.ndarray
    concavity: np.ndarray
    eye_centres: np.ndarray
    worn: strands.Strands | None
    textures: dict[str, Any]


_scene = lru_cache(maxsize=2)(draw_scene)


class IctRenderer:
    """See ``edgeau.train.faces.base.Renderer``. Owns a graphics context; one a process."""

    def __init__(self, mesh: FaceMesh, context: Any) -> None:
        self._mesh, self._context = mesh, context
        extra = extra_shapes(mesh.neutral)
        names = [*(str(name) for name in mesh.shape_names), *extra]
        self._columns = {name: column for column, name in enumerate(names)}
        shapes = np.concatenate([mesh.shapes, np.stack(list(extra.values()))]).astype(np.float32)
        shapes[len(mesh.shapes) :, mesh.part != SKIN] = 0
        self._shapes = shapes.reshape(len(shapes), -1)
        self._outside = int((mesh.part <= EYE).sum()), int((mesh.part[mesh.triangles[:, 0]] <= EYE).sum())
        self._surface = Surface(mesh.neutral, mesh.triangles, *self._outside)
        self._directions = hemisphere(90)
        opaque = mesh.triangles[mesh.part[mesh.triangles[:, 0]] != SOCKET]
        self._seen = visibility(context, mesh.neutral, opaque, self._directions)
        self._ambient = ambient_light(self._seen, self._directions, self._surface.normals(mesh.neutral))
        left = mesh.neutral[:, 0] > 0
        self._eyes = (_span((mesh.part == EYE) & ~left), _span((mesh.part == EYE) & left))
        self._ambient[mesh.part >= TEETH] = self._seen[:, mesh.part >= TEETH] = _light_in_mouth(mesh)
        self._wrinkles = wrinkles.WrinkleStrength(mesh.neutral)
        self._skin_map = skin.SkinMap(mesh.position_map, mesh.uv[mesh.landmarks])
        self._furrows: Any = None
        self._canvases: dict[int, Canvas] = {}
        self._subject: tuple[tuple[Any, ...], _Subject] | None = None
        self._background: tuple[tuple[int, str], Any] | None = None

    def render(self, spec: FrameSpec, crop: CropSpec) -> Rendered:
        """Draw one crop of ``crop.size_px`` squared. Raises InputError for an unknown domain."""
        scene = _scene(spec.scene_seed, spec.domain)
        shot = draw_shot(spec.frame_seed, scene, spec.domain)
        canvas = self._canvas(crop.size_px)
        subject = self._subject_of(spec, canvas)
        points = subject.neutral + self.displacement(shape_weights(spec.au, spec.blink, spec.gaze_deg))
        if not any(max(spec.au.get(name, (0.0, 0.0))) > 0 for name in _PARTS_LIPS):
            points = self._lips_closed(points)
        self._turn_eyes(points, subject, spec.gaze_deg)
        open_cm = float(np.linalg.norm(points[self._mesh.landmarks[62]] - points[self._mesh.landmarks[66]]))
        vertex_count, triangle_count = self._outside
        if open_cm > _LIPS_PART_CM:
            vertex_count, triangle_count = len(points), self.triangle_count
        points = points[:vertex_count]
        normals = self._surface.normals(points)
        rotation = head_rotation(spec.yaw_deg, spec.pitch_deg, spec.roll_deg).astype(np.float32)
        seen = (points - _PIVOT) @ rotation.T
        camera = Camera(scene.distance_cm)
        found = followed(points[self._mesh.landmarks], subject.neutral[self._mesh.landmarks])
        five = camera.project((found - _PIVOT) @ rotation.T)
        matrix = crop_matrix(detected(five, spec.yaw_deg, shot), crop)
        matrix = jittered(matrix, shot, crop.size_px)

        ambient = self._shade(points, normals, subject)
        key = self._directional(rotation.T @ scene.key_direction, vertex_count)
        inner = [seen[eye] for eye in self._eyes]
        if open_cm > _LIPS_PART_CM:
            inner.append(seen[self._mesh.landmarks[48:60]])
        vertices = np.empty((vertex_count, 8), np.float32)
        vertices[:, :3] = seen
        np.multiply(normals @ rotation.T, ambient[:, None], out=vertices[:, 3:6])
        vertices[:, 6] = key
        vertices[:, 7] = self._wrinkles.at(spec.au, 0.05 + 0.22 * subject.look.age**1.5)[:vertex_count]
        uniforms = _uniforms(scene, shot, subject.look, rotation, open_cm)
        picture = canvas.draw(
            vertices,
            camera.clip(matrix, crop.size_px),
            {**subject.textures, "background_map": self._background_of(scene, spec.domain, canvas)},
            uniforms,
            self._strands(subject, points, scene, shot, uniforms["gain"], rotation),
            triangle_count,
            inner,
        )
        landmarks = seen[self._mesh.landmarks]
        places = transform(camera.project(landmarks), matrix)
        return Rendered(
            face=develop(picture, crop.size_px, scene, shot),
            landmarks=places.astype(np.float32),
            visible=self._visible(canvas.depth(), places, landmarks, camera, crop.size_px),
        )

    @property
    def landmark_vertices(self) -> np.ndarray:
        """int32 [68]: the vertices of the Multi-PIE points."""
        return self._mesh.landmarks

    def displacement(self, weights: Mapping[str, float]) -> np.ndarray:
        """float32 [V, 3], centimetres: what shapes of these weights add to any identity."""
        dense = dense_weights(weights, self._columns)
        from scipy.linalg.blas import saxpy

        found = np.zeros(self._shapes.shape[1], np.float32)
        for index in np.flatnonzero(dense):
            found = saxpy(self._shapes[index], found, a=dense[index])
        return found.reshape(-1, 3)

    @property
    def triangle_count(self) -> int:
        """Of the head, mouth open; hair and glasses come on top."""
        return len(self._mesh.triangles)

    def draw_surface_only(self, crop: CropSpec) -> None:
        """The last frame's first pass alone, for measuring what geometry costs."""
        self._canvas(crop.size_px).draw_surface(self._outside[1])
        self._context.finish()

    def close(self) -> None:
        """Free the graphics context."""
        self._context.release()

    def _canvas(self, size_px: int) -> Canvas:
        if size_px not in self._canvases:
            place = self._mesh.uv.copy()
            place[self._mesh.part == EYE] += 1.0
            place[:, 0] += 2.0 * self._mesh.part
            size = 2 * round(size_px * _OVERSAMPLING / 2)
            self._canvases[size_px] = Canvas(self._context, size, self._mesh.triangles, place)
        return self._canvases[size_px]

    def _subject_of(self, spec: FrameSpec, canvas: Canvas) -> _Subject:
        key = (spec.look_seed, spec.domain, np.asarray(spec.identity, np.float32).tobytes())
        if self._subject is None or self._subject[0] != key:
            if self._subject is not None:
                self._subject[1].textures["albedo_map"].release()
                self._subject[1].textures["detail_map"].release()
            self._subject = (key, self._new_subject(spec, canvas))
        return self._subject[1]

    def _new_subject(self, spec: FrameSpec, canvas: Canvas) -> _Subject:
        look = draw_look(spec.look_seed, spec.domain)
        coefficients = np.asarray(spec.identity, np.float32)[: len(self._mesh.identity)]
        neutral = self._mesh.neutral + np.tensordot(coefficients, self._mesh.identity[: len(coefficients)], axes=1)
        neutral = (neutral + look.eye_depth * self._brow_ridge).astype(np.float32)
        neutral = self._lips_closed(neutral)
        if self._furrows is None:
            self._furrows = canvas.texture(wrinkles.texture(self._skin_map))
        albedo, detail = skin.paint(self._skin_map, look)
        textures = {
            "albedo_map": canvas.texture(albedo), "detail_map": canvas.texture(detail),
            "wrinkle_map": self._furrows,
        }  # fmt: skip
        normals = self._surface.normals(neutral)
        concavity = self._surface.concavity(neutral, normals)
        neutral = neutral + self._hair_volume(look)[:, None] * normals
        moved = [(neutral[eye] - self._mesh.neutral[eye]).mean(axis=0) for eye in self._eyes]
        centres = self._mesh.eye_centres + np.stack(moved)
        return _Subject(look, neutral, concavity, centres, self._worn(look, neutral), textures)

    def _lips_closed(self, points: np.ndarray) -> np.ndarray:
        """The lower lip raised until it touches. Some identities and AU10 part lips, which would be AU25 unlabelled."""
        close = self._shapes[self._columns["mouthClose"]].reshape(-1, 3)
        upper, lower = (self._mesh.landmarks[list(range(*span))] for span in ((61, 64), (67, 64, -1)))
        gap = points[upper, 1] - points[lower, 1]
        rise = close[lower, 1] - close[upper, 1]
        weight = max(float(np.max((gap - _LIPS_TOUCH_CM) / rise)), 0.0)
        closed: np.ndarray = (points + weight * close).astype(np.float32)
        return closed

    @property
    def _brow_ridge(self) -> np.ndarray:
        """A displacement [V, 3] that sets eyes deeper under a heavier brow."""
        x, y = np.abs(self._mesh.neutral[:, 0]), self._mesh.neutral[:, 1]
        ridge = np.exp(-(((x - 2.8) / 2.2) ** 2) - ((y - 5.3) / 0.9) ** 2) * (self._mesh.part == SKIN)
        found: np.ndarray = ridge[:, None] * np.array([0.0, -0.06, 0.16])
        return found.astype(np.float32)

    def _background_of(self, scene: Scene, domain: str, canvas: Canvas) -> Any:
        key = (scene.seed, domain)
        if self._background is None or self._background[0] != key:
            if self._background is not None:
                self._background[1].release()
            self._background = (key, canvas.texture(background(scene)))
        return self._background[1]

    def _turn_eyes(self, points: np.ndarray, subject: _Subject, gaze_deg: tuple[float, float]) -> None:
        inwards = (_VERGENCE_DEG, -_VERGENCE_DEG)
        for chosen, centre, inward in zip(self._eyes, subject.eye_centres, inwards, strict=True):
            turn = head_rotation(inward - gaze_deg[0], gaze_deg[1], 0.0).astype(np.float32)
            points[chosen] = (subject.neutral[chosen] - centre) @ turn.T + centre

    def _shade(self, points: np.ndarray, normals: np.ndarray, subject: _Subject) -> np.ndarray:
        """float32 [len(points)]: how much ambient light arrives. Skin darkens where it folds more than at rest."""
        outside = self._outside[0]
        folded = self._surface.concavity(points, normals) - subject.concavity
        ambient = self._ambient[: len(points)].copy()
        ambient[:outside] *= np.exp(-np.clip(folded * 1.6, -0.2, 1.0))
        for eye, lid in zip(self._eyes, self._mesh.landmarks[[[37, 38], [43, 44]]], strict=True):
            x, y = points[lid, :2].mean(axis=0)
            below, inner = y - points[eye, 1], np.abs(points[eye, 0] - x) / 1.5
            ambient[eye] = np.clip(0.10 + 0.9 * below, 0.1, 0.8) * np.clip(1.1 - 0.4 * inner**2, 0.3, 1)
        return np.clip(ambient, 0.05, 1.0)

    def _directional(self, direction: np.ndarray, count: int) -> np.ndarray:
        """float32 [count]: visibility of a light in a direction of the head's frame, between those baked."""
        weight = np.exp(25.0 * (self._directions @ direction - 1))
        near = np.argpartition(weight, -8)[-8:]
        share = (weight[near] / weight[near].sum()).astype(np.float32)
        found: np.ndarray = share @ self._seen[near, :count]
        for eye in self._eyes:
            found[eye] = 0.15 + 0.6 * found[eye]
        return found

    def _hair_volume(self, look: Look) -> np.ndarray:
        """float32 [V], centimetres by which hair stands out from the scalp."""
        if look.hair_style == "bald":
            return np.zeros(len(self._mesh.neutral), np.float32)
        x, y, z = self._mesh.neutral.T
        above = y - (9.9 - 0.028 * x**2 * (1 + 0.6 * (np.abs(x) > 4)))
        behind = np.minimum(y - 2.0, 2.6 - z)
        height = 0.5 + 1.2 * np.random.default_rng([10, look.seed]).random()
        covered = (self._mesh.part == SKIN) * np.clip(np.maximum(above, behind) / 1.2, 0, 1)
        return (height * covered).astype(np.float32)

    def _worn(self, look: Look, neutral: np.ndarray) -> strands.Strands | None:
        points = neutral[self._mesh.landmarks]
        half_width = float(points[16, 0] - points[0, 0]) / 2
        front = neutral[(self._mesh.part == SKIN) & (neutral[:, 2] > 3)]
        eyes = np.stack([points[36:42].mean(axis=0), points[42:48].mean(axis=0)])
        found = [strands.hair(look, front, half_width),
                 strands.glasses(look, eyes, float(points[17:27, 2].max()), half_width)]  # fmt: skip
        parts = [part for part in found if part is not None]
        return strands.join(parts) if parts else None

    def _strands(
        self, subject: _Subject, points: np.ndarray, scene: Scene, shot: Shot, gain: np.ndarray, rotation: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        lids = points[self._mesh.landmarks[[[36, 37, 38, 39], [42, 43, 44, 45]]]]
        parts = [strands.lashes(lids, subject.look)]
        if subject.worn is not None:
            parts.append(subject.worn)
        if shot.hand:
            parts.append(hands.hand(shot.seed, subject.look))
        drawn = strands.join(parts)
        places, paint = strands.lit(drawn, scene, gain, rotation)
        return np.concatenate([places - _PIVOT @ rotation.T, paint], axis=1), drawn.triangles

    def _visible(
        self, depth: np.ndarray, places: np.ndarray, landmarks: np.ndarray, camera: Camera, size_px: int
    ) -> np.ndarray:
        scale = len(depth) / size_px
        pixel = np.round((places + 0.5) * scale - 0.5).astype(int)
        inside = ((pixel >= 0) & (pixel < len(depth))).all(axis=1)
        pixel = np.clip(pixel, 0, len(depth) - 1)
        nearest = camera.z_of_depth(depth[pixel[:, 1], pixel[:, 0]])
        found: np.ndarray = inside & (landmarks[:, 2] + _HIDDEN_BEHIND_CM > nearest)
        return found


def _span(chosen: np.ndarray) -> slice:
    """Vertices of one part lie together."""
    where = np.flatnonzero(chosen)
    return slice(int(where[0]), int(where[-1]) + 1)


def _light_in_mouth(mesh: FaceMesh) -> np.ndarray:
    """float32 [vertices from TEETH on]: gums near the teeth are lit like them, the tongue behind less."""
    from scipy.spatial import cKDTree

    inside = mesh.neutral[mesh.part >= TEETH]
    distance, _ = cKDTree(mesh.neutral[mesh.part == TEETH]).query(inside)
    found: np.ndarray = np.clip(1.0 - 0.8 * distance, 0.35, 0.9).astype(np.float32)
    return found


def _uniforms(scene: Scene, shot: Shot, look: Look, rotation: np.ndarray, open_cm: float) -> dict[str, Any]:
    brightness = float(
        np.mean(scene.key_colour * 0.6 + scene.fill_colour * 0.5 + scene.sky_colour * 0.7 + scene.ground_colour * 0.2)
    )
    light = scene.key_colour * 0.6 + scene.sky_colour * 0.6  # what a white balance sees and mostly takes away
    light = light / light.mean()
    # A camera's meter looks at skin and background alike, so dark skin stays darker, but not by its full ratio.
    metered = 0.36 / (brightness * float(look.skin.mean()) ** 0.55 * 0.38**0.45)
    gain = metered * scene.exposure * shot.exposure * scene.white_balance / light**0.7
    halfway = scene.key_direction + np.array([0.0, 0.0, 1.0])
    return {
        "head": rotation.T,  # GLSL stores matrices by column
        "key_direction": scene.key_direction, "key_colour": scene.key_colour,
        "fill_direction": scene.fill_direction, "fill_colour": scene.fill_colour,
        "sky_colour": scene.sky_colour, "ground_colour": scene.ground_colour,
        "gain": gain, "sqrt_gain": np.sqrt(gain), "halfway": halfway / np.linalg.norm(halfway),
        "iris_colour": look.iris, "teeth_colour": look.teeth, "iris_radius": look.iris_radius,
        "mouth_light": np.clip(0.45 + 0.25 * open_cm, 0.45, 0.85),
        "wrinkle_gain": look.furrows * (0.6 + 0.6 * look.age),
    }  # fmt: skip

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

from . import skin, strands, wrinkles
from .appearance import Look, Scene, Shot, draw_look, draw_scene, draw_shot
from .base import FrameSpec, Rendered, Renderer
from .gl import Canvas, open_context, visibility
from .ict_mesh import EYE, SKIN, SOCKET, TEETH, FaceMesh, prepare
from .ict_shapes import dense_weights, extra_shapes, shape_weights
from .photo import background, develop

_OVERSAMPLING = 1.375  # 176 for 128 pixels: beyond it edges hardly improve and every pass costs more
_PIVOT = np.array([0.0, 0.0, 3.0], np.float32)  # the head turns about its neck's top, roughly
# Where YuNet sees the five points beside ours, measured on renders in eye distances: (sideways outwards, up).
_DETECTOR_OFFSET = np.array([(0.01, 0.05), (0.01, 0.05), (0.0, -0.02), (0.05, 0.125), (0.05, 0.125)])
_DETECTOR_SCALE = 1.035  # what those offsets leave: YuNet's points lie a little closer together
_CORNERS_FOLLOW = 0.3  # of a mouth corner's way from neutral, what YuNet's corner goes too
_NOSE_LAG = 0.2  # eye distances by which YuNet's nose stays behind in profile
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
    worn: strands.Strands | None
    textures: dict[str, Any]


class IctRenderer:
    """See ``edgeau.train.faces.base.Renderer``. Owns a graphics context; one a process."""

    def __init__(self, mesh: FaceMesh, context: Any) -> None:
        self._mesh, self._context = mesh, context
        self._names = [str(name) for name in mesh.shape_names]
        extra = extra_shapes(mesh.neutral)
        self._names += list(extra)
        shapes = np.concatenate([mesh.shapes, np.stack(list(extra.values()))]).astype(np.float32)
        shapes[len(mesh.shapes) :, mesh.part != SKIN] = 0
        self._shapes = shapes.reshape(len(shapes), -1)
        self._surface = _Surface(mesh.neutral, mesh.triangles, bends=mesh.part[mesh.triangles[:, 0]] <= EYE)
        self._outside = int((mesh.part[mesh.triangles[:, 0]] <= EYE).sum())
        self._directions = _hemisphere(90)
        opaque = mesh.triangles[mesh.part[mesh.triangles[:, 0]] != SOCKET]
        self._seen = visibility(context, mesh.neutral, opaque, self._directions)
        self._ambient = _ambient(self._seen, self._directions, self._surface.normals(mesh.neutral))
        self._inside = _span(mesh.part >= TEETH)
        left = mesh.neutral[:, 0] > 0
        self._eyes = (_span((mesh.part == EYE) & ~left), _span((mesh.part == EYE) & left))
        self._inside_light = _light_in_mouth(mesh)
        self._wrinkles = wrinkles.WrinkleStrength(mesh.neutral)
        self._skin_map = skin.SkinMap(mesh.position_map, mesh.uv[mesh.landmarks])
        self._furrows: Any = None
        self._canvases: dict[int, Canvas] = {}
        self._subject: tuple[tuple[Any, ...], _Subject] | None = None
        self._background: tuple[tuple[int, str], Any] | None = None

    def render(self, spec: FrameSpec, crop: CropSpec) -> Rendered:
        """Draw one crop of ``crop.size_px`` squared. Raises InputError for an unknown domain."""
        scene = draw_scene(spec.scene_seed, spec.domain)
        shot = draw_shot(spec.frame_seed, scene, spec.domain)
        canvas = self._canvas(crop.size_px)
        subject = self._subject_of(spec, canvas)
        points = subject.neutral + self.displacement(shape_weights(spec.au, spec.blink, spec.gaze_deg))
        if not any(max(spec.au.get(name, (0.0, 0.0))) > 0 for name in _PARTS_LIPS):
            points = self._lips_closed(points)
        self._turn_eyes(points, subject.neutral, spec.gaze_deg)
        normals = self._surface.normals(points)
        rotation = head_rotation(spec.yaw_deg, spec.pitch_deg, spec.roll_deg).astype(np.float32)
        seen = (points - _PIVOT) @ rotation.T
        camera = _Camera(scene.distance_cm)
        found = self._seen_by_detector(points, subject.neutral)
        five = camera.project((found - _PIVOT) @ rotation.T)
        matrix = crop_matrix(_detected(five, spec.yaw_deg, shot), crop)
        matrix = _jittered(matrix, shot, crop.size_px)

        open_cm = float(np.linalg.norm(points[self._mesh.landmarks[62]] - points[self._mesh.landmarks[66]]))
        ambient = self._shade(points, normals, subject)
        key = self._directional(rotation.T @ scene.key_direction)
        strength = self._wrinkles.at(spec.au, 0.05 + 0.22 * subject.look.age**1.5)
        facing = normals @ rotation.T
        vertices = np.concatenate([seen, facing * ambient[:, None], key[:, None], strength[:, None]], axis=1)
        uniforms = _uniforms(scene, shot, subject.look, rotation, open_cm)
        picture = canvas.draw(
            vertices,
            camera.clip(matrix, crop.size_px),
            {**subject.textures, "background_map": self._background_of(scene, spec.domain, canvas)},
            uniforms,
            self._strands(subject, points, scene, uniforms["gain"], rotation),
            len(self._mesh.triangles) if open_cm > _LIPS_PART_CM else self._outside,
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
        dense = dense_weights(weights, self._names)
        found = np.zeros(self._shapes.shape[1], np.float32)
        for index in np.flatnonzero(dense):
            found += dense[index] * self._shapes[index]
        return found.reshape(-1, 3)

    @property
    def triangle_count(self) -> int:
        """Of the head, mouth open; hair and glasses come on top."""
        return len(self._mesh.triangles)

    def draw_surface_only(self, crop: CropSpec) -> None:
        """The last frame's first pass alone, for measuring what geometry costs."""
        self._canvas(crop.size_px).draw_surface(self._outside)
        self._context.finish()

    def close(self) -> None:
        """Free the graphics context."""
        self._context.release()

    def _seen_by_detector(self, points: np.ndarray, neutral: np.ndarray) -> np.ndarray:
        """[5, 3]: the five points on the head, as far as a detector follows them."""
        five, rest = (five_points(p[self._mesh.landmarks]) for p in (points, neutral))
        five[3:] = rest[3:] + _CORNERS_FOLLOW * (five[3:] - rest[3:])
        return five

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
        return _Subject(look, neutral, concavity, self._worn(look, neutral), textures)

    def _lips_closed(self, points: np.ndarray) -> np.ndarray:
        """The lower lip raised until it touches. Some identities and AU10 part lips, which would be AU25 unlabelled."""
        close = self._shapes[self._names.index("mouthClose")].reshape(-1, 3)
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

    def _turn_eyes(self, points: np.ndarray, neutral: np.ndarray, gaze_deg: tuple[float, float]) -> None:
        for rest, left in ((self._mesh.eye_centres[0], False), (self._mesh.eye_centres[1], True)):
            chosen = self._eyes[left]
            inward = -_VERGENCE_DEG if left else _VERGENCE_DEG
            turn = head_rotation(inward - gaze_deg[0], gaze_deg[1], 0.0).astype(np.float32)
            centre = rest + (neutral[chosen] - self._mesh.neutral[chosen]).mean(axis=0)
            points[chosen] = (neutral[chosen] - centre) @ turn.T + centre

    def _shade(self, points: np.ndarray, normals: np.ndarray, subject: _Subject) -> np.ndarray:
        """float32 [V]: how much ambient light arrives. Skin darkens where it folds more than at rest."""
        mesh = self._mesh
        folded = self._surface.concavity(points, normals) - subject.concavity
        ambient = self._ambient * np.exp(-np.clip(folded * 1.6, -0.2, 1.0))
        ambient[self._inside] = self._inside_light
        lids = points[mesh.landmarks]
        for upper, left in (((37, 38), False), ((43, 44), True)):
            eye = self._eyes[left]
            below = lids[list(upper), 1].mean() - points[eye, 1]
            inner = np.abs(points[eye, 0] - lids[list(upper), 0].mean()) / 1.5
            ambient[eye] = np.clip(0.10 + 0.9 * below, 0.1, 0.8) * np.clip(1.1 - 0.4 * inner**2, 0.3, 1)
        return np.clip(ambient, 0.05, 1.0)

    def _directional(self, direction: np.ndarray) -> np.ndarray:
        """float32 [V]: visibility of a light in a direction of the head's frame, between those baked."""
        weight = np.exp(25.0 * (self._directions @ direction - 1))
        near = np.argpartition(weight, -8)[-8:]
        found: np.ndarray = (weight[near] / weight[near].sum()).astype(np.float32) @ self._seen[near]
        found[self._inside] = self._inside_light
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
        self, subject: _Subject, points: np.ndarray, scene: Scene, gain: np.ndarray, rotation: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        lids = points[self._mesh.landmarks[[[36, 37, 38, 39], [42, 43, 44, 45]]]]
        parts = [strands.lashes(lids, subject.look)]
        if subject.worn is not None:
            parts.append(subject.worn)
        drawn = strands.join(parts)
        places, paint = strands.lit(drawn, scene, gain, rotation)
        return np.concatenate([places - _PIVOT @ rotation.T, paint], axis=1), drawn.triangles

    def _visible(
        self, depth: np.ndarray, places: np.ndarray, landmarks: np.ndarray, camera: _Camera, size_px: int
    ) -> np.ndarray:
        scale = len(depth) / size_px
        pixel = np.round((places + 0.5) * scale - 0.5).astype(int)
        inside = ((pixel >= 0) & (pixel < len(depth))).all(axis=1)
        pixel = np.clip(pixel, 0, len(depth) - 1)
        nearest = camera.z_of_depth(depth[pixel[:, 1], pixel[:, 0]])
        found: np.ndarray = inside & (landmarks[:, 2] + _HIDDEN_BEHIND_CM > nearest)
        return found


class _Surface:
    """Normals and concavity of a mesh whose vertices may be doubled along its seams.

    Args:
        neutral: float32 [V, 3]; triangles: int [T, 3].
        bends: bool [T]; normals of the others stay those of ``neutral``.
    """

    def __init__(self, neutral: np.ndarray, triangles: np.ndarray, bends: np.ndarray) -> None:
        from scipy.sparse import csr_matrix, diags

        _, self._first, group = np.unique(np.round(neutral, 4), axis=0, return_index=True, return_inverse=True)
        self._group = group.ravel()
        count = len(self._first)
        grouped = self._group[triangles]
        self._use(grouped)
        ends = np.concatenate([grouped, grouped[:, [1, 2, 0]]]).ravel()
        others = np.concatenate([grouped[:, [1, 2, 0]], grouped]).ravel()
        links = csr_matrix((np.ones(len(ends), np.float32), (ends, others)), (count, count))
        links.data[:] = 1
        share = diags(1 / np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1))
        self._mean = (share @ links).astype(np.float32).tocsr()
        self._still = self._sums(neutral)
        self._use(grouped[bends])
        self._still -= self._sums(neutral)

    def _use(self, triangles: np.ndarray) -> None:
        from scipy.sparse import csr_matrix

        rows, columns = triangles.T.ravel(), np.tile(np.arange(len(triangles)), 3)
        shape = (len(self._first), len(triangles))
        self._gather = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape)
        self._corners = [np.ascontiguousarray(self._first[triangles[:, k]]) for k in range(3)]

    def _sums(self, points: np.ndarray) -> np.ndarray:
        """float32 [G, 3]: the sum of the normals of each vertex's triangles, weighted by their area."""
        a, b, c = (points.take(corner, axis=0) for corner in self._corners)
        (ux, uy, uz), (vx, vy, vz) = np.ascontiguousarray((b - a).T), np.ascontiguousarray((c - a).T)
        cross = np.empty((len(a), 3), np.float32)
        cross[:, 0], cross[:, 1], cross[:, 2] = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        found: np.ndarray = self._gather @ cross
        return found

    def normals(self, points: np.ndarray) -> np.ndarray:
        """float32 [V, 3], unit, outwards."""
        total = self._sums(points)
        total += self._still
        total /= np.maximum(np.sqrt(np.einsum("ij,ij->i", total, total)), 1e-9)[:, None]
        found: np.ndarray = total.take(self._group, axis=0)
        return found

    def concavity(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """float32 [V], about -1..1: how far neighbours stand out above a vertex, in units of 0.1 cm."""
        own = points.take(self._first, axis=0)
        raised = np.einsum("ij,ij->i", self._mean @ own - own, normals.take(self._first, axis=0)) / 0.1
        found: np.ndarray = np.clip(raised, -1, 1).take(self._group)
        return found


class _Camera:
    """A pinhole on the z axis, looking at the head; its image plane goes through the head, in centimetres."""

    def __init__(self, distance_cm: float) -> None:
        self._distance = distance_cm

    def project(self, points: np.ndarray) -> np.ndarray:
        """[..., 2]: x to the right, y down."""
        depth = 1 - points[..., 2:] / self._distance
        found: np.ndarray = points[..., :2] * [1, -1] / depth
        return found

    def clip(self, matrix: np.ndarray, size_px: int) -> np.ndarray:
        """[4, 4] from the camera's frame to clip coordinates of a crop; first row of pixels at the bottom."""
        scale = 2 / size_px
        linear, offset = matrix[:, :2] * scale, (matrix[:, 2] + 0.5) * scale - 1
        found = np.zeros((4, 4))
        depth = np.array([0, 0, -1 / self._distance, 1])
        found[:2, 0], found[:2, 1] = linear[:, 0], -linear[:, 1]
        found[:2] += offset[:, None] * depth
        found[2] = 0.9 * (depth - [0, 0, 0, 1])
        found[3] = depth
        return found

    def z_of_depth(self, depth: np.ndarray) -> np.ndarray:
        """The camera's z (cm) of what the depth buffer holds."""
        found: np.ndarray = self._distance * (1 - 1 / (1 - (depth * 2 - 1) / 0.9))
        return found


def head_rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    """[3, 3]: yaw to the subject's left, pitch up, roll to the subject's left; roll is applied first."""
    (cy, cp, cr), (sy, sp, sr) = (f(np.radians([yaw_deg, pitch_deg, roll_deg])) for f in (np.cos, np.sin))
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    roll = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    found: np.ndarray = yaw @ pitch @ roll
    return found


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """[5, D]: right and left eye, nose tip, right and left mouth corner, of 68 points [68, D]."""
    return np.stack([landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0), *landmarks[[30, 48, 54]]])


def _detected(points: np.ndarray, yaw_deg: float, shot: Shot) -> np.ndarray:
    """Five image points [5, 2] moved to where a detector would report them this time."""
    across = points[1] - points[0]
    up = np.array([across[1], -across[0]])
    sideways = np.array([-1.0, 1.0, 0.0, -1.0, 1.0]) * _DETECTOR_OFFSET[:, 0]
    sideways[2] -= _NOSE_LAG * np.sin(np.radians(yaw_deg))
    offset = sideways[:, None] * across + _DETECTOR_OFFSET[:, 1:] * up
    found: np.ndarray = points + offset + shot.point_jitter * np.linalg.norm(across)
    return found


def _jittered(matrix: np.ndarray, shot: Shot, size_px: int) -> np.ndarray:
    angle = np.radians(shot.roll_deg)
    turn = _DETECTOR_SCALE * shot.scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.full(2, size_px / 2 - 0.5)
    moved = np.hstack(
        [turn @ matrix[:, :2], (turn @ (matrix[:, 2] - centre) + centre + shot.shift * size_px * 0.3)[:, None]]
    )
    return moved


@lru_cache(maxsize=2)
def _hemisphere(count: int) -> np.ndarray:
    """float [count, 3]: even directions over the sphere's front and a little more (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = 1 - 1.35 * index / count
    angle = np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


def _ambient(seen: np.ndarray, directions: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """float32 [V]: share of the light from all directions above the surface that arrives."""
    facing = np.maximum(directions @ normals.T, 0)
    found: np.ndarray = (facing * seen).sum(axis=0) / np.maximum(facing.sum(axis=0), 1e-3)
    return found.astype(np.float32)


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
    return {
        "head": rotation.T,  # GLSL stores matrices by column
        "key_direction": scene.key_direction, "key_colour": scene.key_colour,
        "fill_direction": scene.fill_direction, "fill_colour": scene.fill_colour,
        "sky_colour": scene.sky_colour, "ground_colour": scene.ground_colour,
        "gain": metered * scene.exposure * shot.exposure * scene.white_balance / light**0.7,
        "iris_colour": look.iris, "teeth_colour": look.teeth, "iris_radius": look.iris_radius,
        "mouth_light": np.clip(0.45 + 0.25 * open_cm, 0.45, 0.85), "wrinkle_gain": 0.55 + 0.75 * look.age,
    }  # fmt: skip

"""Renders ICT-FaceKit (MIT, USC Institute for Creative Technologies): identity, action units, pose, light, camera.

renderer = make("../ICT-FaceKit")        # a checkout, a folder with the repacked .npz, or the .npz
rendered = renderer.render(spec, CropSpec())
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from edgeau.runtime.crop import crop_matrix, transform
from edgeau.runtime.manifest import CropSpec
from edgeau.train.faces.base import FrameSpec, Rendered, Renderer

from . import hands, strands, wrinkles
from .appearance import Scene, Shot, draw_scene, draw_shot
from .expression import Expressions
from .gl import VERTEX, Canvas, open_context
from .light import BakedLight, exposure_gain, shader_values
from .mesh import EYE, FaceMesh, prepare
from .photo import background, develop
from .subject import Subject, SubjectMaker
from .surface import Surface
from .view import Camera, detected, followed, head_rotation, jittered

_OVERSAMPLING = 1.25  # 160 for 128 pixels; beyond that, edges hardly improve and every pass costs more
_PIVOT = np.array([0.0, 0.0, 3.0], np.float32)  # the head turns roughly about the top of the neck
_VERGENCE_DEG = 2.5  # both eyes look at a point about a metre away
_LIPS_PART_CM = 0.12  # between landmarks 62 and 66; below this, the inside of the mouth is not visible
_HIDDEN_BEHIND_CM = 0.7
_UPPER_LIP, _LOWER_LIP, _OUTER_LIPS = 62, 66, slice(48, 60)  # landmarks
_LIDS = [[36, 37, 38, 39], [42, 43, 44, 45]]


def make(path: str | None = None) -> Renderer:
    """Return a renderer for the ICT-FaceKit at ``path``, by default the path in the environment variable EDGEAU_ICT.

    Raises:
        InputError: no ICT-FaceKit at that path, or no EGL on this machine.
        MissingExtraError: moderngl is not installed.
    """
    return IctRenderer(prepare(path), open_context())


@dataclass(frozen=True)
class _Pose:
    """A subject's face in one image, with only the vertices that can be seen.

    Attributes:
        head, normals: float32 [N, 3], points and normals in the head's frame.
        camera: float32 [N, 3], points in the camera's frame.
        rotation: float32 [3, 3], from the head's frame to the camera's.
        open_cm: distance between the lips.
        inside: whether the inside of the mouth is drawn.
        triangle_count: how many of the mesh's triangles to draw, starting with the first.
    """

    head: np.ndarray
    normals: np.ndarray
    camera: np.ndarray
    rotation: np.ndarray
    open_cm: float
    inside: bool
    triangle_count: int


_scene = lru_cache(maxsize=2)(draw_scene)


class IctRenderer:
    """See ``edgeau.train.faces.base.Renderer``. Owns a graphics context; one per process."""

    def __init__(self, mesh: FaceMesh, context: Any) -> None:
        self._mesh, self._context = mesh, context
        self._outside = int((mesh.part <= EYE).sum()), int((mesh.part[mesh.triangles[:, 0]] <= EYE).sum())
        self._surface = Surface(mesh.neutral, mesh.triangles, *self._outside)
        self._expressions = Expressions(mesh)
        left = mesh.neutral[:, 0] > 0
        self._eyes = (_span((mesh.part == EYE) & ~left), _span((mesh.part == EYE) & left))
        self._light = BakedLight(context, mesh, self._surface, self._eyes)
        self._wrinkles = wrinkles.WrinkleStrength(mesh.neutral)
        self._subjects = SubjectMaker(mesh, self._surface, self._expressions, self._eyes)
        self._canvases: dict[int, Canvas] = {}
        self._subject: tuple[tuple[Any, ...], Subject] | None = None
        self._background: tuple[tuple[int, str], Any] | None = None

    def render(self, spec: FrameSpec, crop: CropSpec) -> Rendered:
        """Draw one square crop with sides of ``crop.size_px``. Raises InputError for an unknown domain."""
        scene = _scene(spec.scene_seed, spec.domain)
        shot = draw_shot(spec.frame_seed, scene, spec.domain)
        canvas = self._canvas(crop.size_px)
        subject = self._subject_of(spec, canvas)
        pose = self._pose(spec, subject)
        camera = Camera(scene.distance_cm)
        matrix = self._crop_matrix(spec, shot, crop, subject, pose, camera)
        gain = exposure_gain(scene, shot, subject.look)
        picture = canvas.draw(
            self._vertices(spec, scene, subject, pose),
            camera.clip(matrix, crop.size_px),
            {**subject.textures, "background_map": self._background_of(scene, spec.domain, canvas)},
            shader_values(scene, subject.look, gain, pose.rotation, pose.open_cm),
            self._strands(subject, pose, scene, shot, gain),
            pose.triangle_count,
            self._inner_parts(pose),
        )
        landmarks = pose.camera[self._mesh.landmarks]
        places = transform(camera.project(landmarks), matrix)
        return Rendered(
            face=develop(picture, crop.size_px, scene, shot),
            landmarks=places.astype(np.float32),
            visible=_visible(canvas.depth(), places, landmarks, camera, crop.size_px),
        )

    @property
    def triangle_count(self) -> int:
        """Number of triangles of the head with its mouth open, without hair and glasses."""
        return len(self._mesh.triangles)

    def draw_surface_only(self, crop: CropSpec) -> None:
        """Repeat only the first pass of the last frame, to measure the cost of geometry."""
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

    def _subject_of(self, spec: FrameSpec, canvas: Canvas) -> Subject:
        key = (spec.look_seed, spec.domain, np.asarray(spec.identity, np.float32).tobytes())
        if self._subject is None or self._subject[0] != key:
            if self._subject is not None:
                self._subject[1].release()
            self._subject = (key, self._subjects.make(spec.identity, spec.look_seed, spec.domain, canvas))
        return self._subject[1]

    def _background_of(self, scene: Scene, domain: str, canvas: Canvas) -> Any:
        key = (scene.seed, domain)
        if self._background is None or self._background[0] != key:
            if self._background is not None:
                self._background[1].release()
            self._background = (key, canvas.texture(background(scene)))
        return self._background[1]

    def _pose(self, spec: FrameSpec, subject: Subject) -> _Pose:
        """Apply expression, gaze and head pose; leaves out what a closed mouth hides."""
        points = self._expressions.posed(subject.neutral, spec.au, spec.blink, spec.gaze_deg)
        self._turn_eyes(points, subject, spec.gaze_deg)
        upper, lower = points[self._mesh.landmarks[[_UPPER_LIP, _LOWER_LIP]]]
        open_cm = float(np.linalg.norm(upper - lower))
        inside = open_cm > _LIPS_PART_CM
        vertex_count, triangle_count = (len(points), self.triangle_count) if inside else self._outside
        points = points[:vertex_count]
        rotation = head_rotation(spec.yaw_deg, spec.pitch_deg, spec.roll_deg).astype(np.float32)
        return _Pose(
            head=points,
            normals=self._surface.normals(points),
            camera=(points - _PIVOT) @ rotation.T,
            rotation=rotation,
            open_cm=open_cm,
            inside=inside,
            triangle_count=triangle_count,
        )

    def _turn_eyes(self, points: np.ndarray, subject: Subject, gaze_deg: tuple[float, float]) -> None:
        inwards = (_VERGENCE_DEG, -_VERGENCE_DEG)
        for eye, centre, inward in zip(self._eyes, subject.eye_centres, inwards, strict=True):
            turn = head_rotation(inward - gaze_deg[0], gaze_deg[1], 0.0).astype(np.float32)
            points[eye] = (subject.neutral[eye] - centre) @ turn.T + centre

    def _crop_matrix(
        self, spec: FrameSpec, shot: Shot, crop: CropSpec, subject: Subject, pose: _Pose, camera: Camera
    ) -> np.ndarray:
        """float [2, 3]: from the camera's image plane to crop pixels, from points as a detector would report them."""
        landmarks = self._mesh.landmarks
        five = followed(pose.head[landmarks], subject.neutral[landmarks])
        image_xy = camera.project((five - _PIVOT) @ pose.rotation.T)
        return jittered(crop_matrix(detected(image_xy, spec.yaw_deg, shot), crop), shot, crop.size_px)

    def _vertices(self, spec: FrameSpec, scene: Scene, subject: Subject, pose: _Pose) -> np.ndarray:
        """Input of the surface pass: a structured array of VERTEX, [N]."""
        count = len(pose.head)
        ambient = self._light.ambient(pose.head, self._surface.concavity(pose.head, pose.normals) - subject.concavity)
        vertices = np.empty(count, VERTEX)
        vertices["position"] = pose.camera
        np.multiply(pose.normals @ pose.rotation.T, ambient[:, None], out=vertices["normal"])
        vertices["key_light"] = self._light.directional(pose.rotation.T @ scene.key_direction, count)
        vertices["wrinkle"] = self._wrinkles.at(spec.au, 0.05 + 0.22 * subject.look.age**1.5)[:count]
        return vertices

    def _inner_parts(self, pose: _Pose) -> list[np.ndarray]:
        """Points of the eyes and, if the mouth is open, of the lips."""
        parts = [pose.camera[eye] for eye in self._eyes]
        if pose.inside:
            parts.append(pose.camera[self._mesh.landmarks[_OUTER_LIPS]])
        return parts

    def _strands(
        self, subject: Subject, pose: _Pose, scene: Scene, shot: Shot, gain: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lit lashes, hair, glasses and hand: float [N, 7] of position and paint, and their triangles."""
        parts = [strands.lashes(pose.head[self._mesh.landmarks[_LIDS]], subject.look)]
        if subject.worn is not None:
            parts.append(subject.worn)
        if shot.hand:
            parts.append(hands.hand(shot.seed, subject.look))
        drawn = strands.join(parts)
        places, paint = strands.lit(drawn, scene, gain, pose.rotation)
        return np.concatenate([places - _PIVOT @ pose.rotation.T, paint], axis=1), drawn.triangles


def _visible(
    depth: np.ndarray, places_xy: np.ndarray, landmarks: np.ndarray, camera: Camera, size_px: int
) -> np.ndarray:
    """bool [68]: whether each landmark (camera frame, [68, 3]; in the crop at ``places_xy``) is unoccluded."""
    pixel = np.round((places_xy + 0.5) * (len(depth) / size_px) - 0.5).astype(int)
    inside = ((pixel >= 0) & (pixel < len(depth))).all(axis=1)
    pixel = np.clip(pixel, 0, len(depth) - 1)
    nearest = camera.z_of_depth(depth[pixel[:, 1], pixel[:, 0]])
    seen: np.ndarray = inside & (landmarks[:, 2] + _HIDDEN_BEHIND_CM > nearest)
    return seen


def _span(chosen: np.ndarray) -> slice:
    """The vertices of one part, which are contiguous in the mesh."""
    where = np.flatnonzero(chosen)
    return slice(int(where[0]), int(where[-1]) + 1)

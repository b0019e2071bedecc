"""What all images of one subject share: identity, look, textures, hair and glasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import skin, strands, wrinkles
from .appearance import Look, draw_look
from .expression import Expressions
from .gl import Canvas
from .mesh import SKIN, FaceMesh
from .surface import Surface


@dataclass(frozen=True)
class Subject:
    """A subject at rest.

    Attributes:
        look: skin, hair, glasses.
        neutral: float32 [V, 3], centimetres, including the volume of the hair.
        concavity: float32 [outside], of the neutral head without hair.
        eye_centres: float [2, 3], the subject's right first.
        worn: hair and glasses; None if there are neither.
        textures: by the shaders' names. ``release`` frees those that only this subject uses.
    """

    look: Look
    neutral: np.ndarray
    concavity: np.ndarray
    eye_centres: np.ndarray
    worn: strands.Strands | None
    textures: dict[str, Any]

    def release(self) -> None:
        """Free the subject's own textures."""
        self.textures["albedo_map"].release()
        self.textures["detail_map"].release()


class SubjectMaker:
    """Creates subjects from identity coefficients and a look seed."""

    def __init__(self, mesh: FaceMesh, surface: Surface, expressions: Expressions, eyes: tuple[slice, slice]) -> None:
        self._mesh, self._surface, self._expressions, self._eyes = mesh, surface, expressions, eyes
        self._skin_map = skin.SkinMap(mesh.position_map, mesh.uv[mesh.landmarks])
        self._brow_ridge = _brow_ridge(mesh)
        self._furrows: Any = None

    def make(self, identity: np.ndarray, look_seed: int, domain: str, canvas: Canvas) -> Subject:
        """Create a subject. Raises InputError for an unknown domain."""
        look = draw_look(look_seed, domain)
        bare = self._expressions.lips_closed(self._shape(identity, look))
        textures = self._textures(look, canvas)
        normals = self._surface.normals(bare)
        neutral = bare + _hair_volume(self._mesh, look)[:, None] * normals
        moved = [(neutral[eye] - self._mesh.neutral[eye]).mean(axis=0) for eye in self._eyes]
        return Subject(
            look=look,
            neutral=neutral,
            concavity=self._surface.concavity(bare, normals),
            eye_centres=self._mesh.eye_centres + np.stack(moved),
            worn=self._worn(look, neutral),
            textures=textures,
        )

    def _shape(self, identity: np.ndarray, look: Look) -> np.ndarray:
        coefficients = np.asarray(identity, np.float32)[: len(self._mesh.identity)]
        shape = self._mesh.neutral + np.tensordot(coefficients, self._mesh.identity[: len(coefficients)], axes=1)
        deeper: np.ndarray = (shape + look.eye_depth * self._brow_ridge).astype(np.float32)
        return deeper

    def _textures(self, look: Look, canvas: Canvas) -> dict[str, Any]:
        if self._furrows is None:
            self._furrows = canvas.texture(wrinkles.texture(self._skin_map))
        albedo, detail = skin.paint(self._skin_map, look)
        return {
            "albedo_map": canvas.texture(albedo),
            "detail_map": canvas.texture(detail),
            "wrinkle_map": self._furrows,
        }

    def _worn(self, look: Look, neutral: np.ndarray) -> strands.Strands | None:
        points = neutral[self._mesh.landmarks]
        half_width = float(points[16, 0] - points[0, 0]) / 2
        front = neutral[(self._mesh.part == SKIN) & (neutral[:, 2] > 3)]
        eyes = np.stack([points[36:42].mean(axis=0), points[42:48].mean(axis=0)])
        brows_front = float(points[17:27, 2].max())
        parts = [strands.hair(look, front, half_width), strands.glasses(look, eyes, brows_front, half_width)]
        worn = [part for part in parts if part is not None]
        return strands.join(worn) if worn else None


def _brow_ridge(mesh: FaceMesh) -> np.ndarray:
    """A displacement float32 [V, 3] that makes the brow heavier, so the eyes look deeper set."""
    x, y = np.abs(mesh.neutral[:, 0]), mesh.neutral[:, 1]
    ridge = np.exp(-(((x - 2.8) / 2.2) ** 2) - ((y - 5.3) / 0.9) ** 2) * (mesh.part == SKIN)
    displacement: np.ndarray = ridge[:, None] * np.array([0.0, -0.06, 0.16])
    return displacement.astype(np.float32)


def _hair_volume(mesh: FaceMesh, look: Look) -> np.ndarray:
    """float32 [V], height of the hair above the scalp in centimetres."""
    if look.hair_style == "bald":
        return np.zeros(len(mesh.neutral), np.float32)
    x, y, z = mesh.neutral.T
    above = y - (9.9 - 0.028 * x**2 * (1 + 0.6 * (np.abs(x) > 4)))
    behind = np.minimum(y - 2.0, 2.6 - z)
    height = 0.5 + 1.2 * np.random.default_rng([10, look.seed]).random()
    covered = (mesh.part == SKIN) * np.clip(np.maximum(above, behind) / 1.2, 0, 1)
    return (height * covered).astype(np.float32)

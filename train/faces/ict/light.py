"""Light on the head: visibility per vertex, baked once per mesh, and exposure of the session's light."""

from __future__ import annotations

from typing import Any

import numpy as np

from .appearance import Look, Scene, Shot
from .gl import visibility
from .mesh import EYE, SOCKET, TEETH, FaceMesh
from .surface import Surface, ambient_light, hemisphere

_BAKED_DIRECTIONS = 90
_NEAREST_DIRECTIONS = 8
_UPPER_LIDS = [[37, 38], [43, 44]]  # landmarks on the upper lid of each eye, the subject's right first


class BakedLight:
    """Baked visibility of light from all directions, for each vertex of a mesh at rest.

    Args:
        eyes: the vertices of each eye, the subject's right first.
    """

    def __init__(self, context: Any, mesh: FaceMesh, surface: Surface, eyes: tuple[slice, slice]) -> None:
        self._eyes, self._lids = eyes, mesh.landmarks[_UPPER_LIDS]
        self._outside = int((mesh.part <= EYE).sum())
        self._directions = hemisphere(_BAKED_DIRECTIONS)
        opaque = mesh.triangles[mesh.part[mesh.triangles[:, 0]] != SOCKET]
        self._visibility = visibility(context, mesh.neutral, opaque, self._directions)
        self._ambient = ambient_light(self._visibility, self._directions, surface.normals(mesh.neutral))
        inside = mesh.part >= TEETH
        self._ambient[inside] = self._visibility[:, inside] = _light_in_mouth(mesh)

    def ambient(self, points: np.ndarray, folded: np.ndarray) -> np.ndarray:
        """How much ambient light arrives at each point, float32 [N] in 0.05..1.

        Args:
            points: float32 [N, 3], the first N vertices in the head's frame.
            folded: float32 [outside], how much more concave the skin is than at rest, which darkens it.
        """
        light = self._ambient[: len(points)].copy()
        light[: self._outside] *= np.exp(-np.clip(folded * 1.6, -0.2, 1.0))
        for eye, lid in zip(self._eyes, self._lids, strict=True):
            light[eye] = _light_on_eye(points[eye], points[lid, :2].mean(axis=0))
        return np.clip(light, 0.05, 1.0)

    def directional(self, direction: np.ndarray, count: int) -> np.ndarray:
        """float32 [count]: visibility of a light from a direction in the head's frame, interpolated."""
        weight = np.exp(25.0 * (self._directions @ direction - 1))
        near = np.argpartition(weight, -_NEAREST_DIRECTIONS)[-_NEAREST_DIRECTIONS:]
        share = (weight[near] / weight[near].sum()).astype(np.float32)
        light: np.ndarray = share @ self._visibility[near, :count]
        for eye in self._eyes:
            light[eye] = 0.15 + 0.6 * light[eye]
        return light


def _light_on_eye(points: np.ndarray, lid_xy: np.ndarray) -> np.ndarray:
    """Light on an eye in the shadow of its upper lid, darker towards the corners."""
    x, y = lid_xy
    below, inner = y - points[:, 1], np.abs(points[:, 0] - x) / 1.5
    shaded: np.ndarray = np.clip(0.10 + 0.9 * below, 0.1, 0.8) * np.clip(1.1 - 0.4 * inner**2, 0.3, 1)
    return shaded


def _light_in_mouth(mesh: FaceMesh) -> np.ndarray:
    """float32 [vertices from TEETH on]: gums near the teeth are lit like the teeth, the tongue behind them less."""
    from scipy.spatial import cKDTree

    inside = mesh.neutral[mesh.part >= TEETH]
    distance, _ = cKDTree(mesh.neutral[mesh.part == TEETH]).query(inside)
    light: np.ndarray = np.clip(1.0 - 0.8 * distance, 0.35, 0.9).astype(np.float32)
    return light


def exposure_gain(scene: Scene, shot: Shot, look: Look) -> np.ndarray:
    """float64 [3]: factors on linear RGB from automatic exposure and white balance."""
    brightness = float(
        np.mean(scene.key_colour * 0.6 + scene.fill_colour * 0.5 + scene.sky_colour * 0.7 + scene.ground_colour * 0.2)
    )
    light = scene.key_colour * 0.6 + scene.sky_colour * 0.6  # the tint that white balance sees and mostly removes
    light = light / light.mean()
    # A light meter sees both skin and background, so dark skin stays darker, but by less than its full ratio.
    metered = 0.36 / (brightness * float(look.skin.mean()) ** 0.55 * 0.38**0.45)
    gain: np.ndarray = metered * scene.exposure * shot.exposure * scene.white_balance / light**0.7
    return gain


def shader_values(scene: Scene, look: Look, gain: np.ndarray, rotation: np.ndarray, open_cm: float) -> dict[str, Any]:
    """The shaders' uniforms by name; ``open_cm`` is the distance between the lips."""
    halfway = scene.key_direction + np.array([0.0, 0.0, 1.0])
    return {
        "head": rotation.T,  # GLSL stores matrices in column order
        "key_direction": scene.key_direction, "key_colour": scene.key_colour,
        "fill_direction": scene.fill_direction, "fill_colour": scene.fill_colour,
        "sky_colour": scene.sky_colour, "ground_colour": scene.ground_colour,
        "gain": gain, "sqrt_gain": np.sqrt(gain), "halfway": halfway / np.linalg.norm(halfway),
        "iris_colour": look.iris, "teeth_colour": look.teeth, "iris_radius": look.iris_radius,
        "mouth_light": np.clip(0.45 + 0.25 * open_cm, 0.45, 0.85),
        "wrinkle_gain": look.furrows * (0.6 + 0.6 * look.age),
    }  # fmt: skip

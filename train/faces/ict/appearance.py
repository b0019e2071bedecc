"""Everything about an image that is not geometry, drawn from the seeds of a FrameSpec.

``look_seed`` determines what a subject keeps, ``scene_seed`` what a session keeps, and ``frame_seed`` what changes from
image to image. The domain ``heldout`` uses ranges that ``train`` leaves out: medium skin tones, dyed hair, light
spectacle frames, striped backgrounds, light from far to the side or from below, a camera closer than an arm's length,
and stronger compression.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeau.runtime.errors import InputError
from edgeau.train.faces.base import DOMAINS

# sRGB of human skin from light to dark, picked by eye along published tone scales.
SKIN_SRGB = np.array(
    [(243, 212, 196), (232, 192, 171), (219, 175, 152), (198, 152, 127), (159, 116, 95), (120, 85, 69), (86, 62, 52)]
)  # fmt: skip
_HELDOUT_TONE = (0.42, 0.58)
_HAIR_SRGB = np.array(
    [(24, 20, 19), (45, 32, 25), (78, 54, 38), (120, 86, 56), (172, 136, 92), (120, 60, 36), (150, 148, 146)]
)
_IRIS_SRGB = np.array([(58, 36, 22), (84, 56, 32), (104, 88, 52), (92, 112, 104), (98, 124, 146)])
_HAND_CHANCE = 0.06


@dataclass(frozen=True)
class Look:
    """A subject's appearance. Colours are linear RGB 0..1; amounts and ``tone`` (light to dark) are 0..1."""

    seed: int
    tone: float
    skin: np.ndarray
    redness: float
    mottling: float
    freckles: float
    gloss: float
    age: float
    furrows: float
    brow_colour: np.ndarray
    brow_density: float
    brow_thickness: float
    brow_rise: float
    lip_colour: np.ndarray
    eye_shadow: float
    lashes: float
    stubble: float
    beard: float
    hair_colour: np.ndarray
    hair_style: str
    iris: np.ndarray
    iris_radius: float
    teeth: np.ndarray
    glasses: str
    glasses_colour: np.ndarray
    eye_depth: float


@dataclass(frozen=True)
class Scene:
    """A session's light and camera. Directions point from the face to the light, in the camera frame."""

    seed: int
    key_direction: np.ndarray
    key_colour: np.ndarray
    fill_direction: np.ndarray
    fill_colour: np.ndarray
    sky_colour: np.ndarray
    ground_colour: np.ndarray
    distance_cm: float
    exposure: float
    white_balance: np.ndarray
    gamma: float
    contrast: float
    grey: bool
    softness: float
    quality: int
    noise: float
    saturation: float
    backdrop: str


@dataclass(frozen=True)
class Shot:
    """What differs between two images of a session. Jitter imitates a detector's, in eye distances."""

    seed: int
    exposure: float
    blur_px: float
    motion_px: tuple[float, float]
    noise: float
    quality: int
    point_jitter: np.ndarray
    shift: np.ndarray
    scale: float
    roll_deg: float
    hand: bool


def linear(srgb: np.ndarray) -> np.ndarray:
    """Convert sRGB 0..255 to linear RGB 0..1 (IEC 61966-2-1)."""
    value = np.asarray(srgb, np.float64) / 255
    converted: np.ndarray = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return converted


def _along(palette: np.ndarray, position: float) -> np.ndarray:
    place = np.clip(position, 0, 1) * (len(palette) - 1)
    low = min(int(place), len(palette) - 2)
    mixed: np.ndarray = palette[low] + (place - low) * (palette[low + 1].astype(np.float64) - palette[low])
    return mixed


def _generator(kind: int, seed: int, domain: str) -> np.random.Generator:
    if domain not in DOMAINS:
        raise InputError("domain", got=repr(domain), expected=" or ".join(DOMAINS))
    return np.random.default_rng([kind, seed, DOMAINS.index(domain)])


def draw_look(seed: int, domain: str) -> Look:
    """Draw a subject's appearance. Raises InputError for an unknown domain."""
    rng = _generator(1, seed, domain)
    low, high = _HELDOUT_TONE
    tone = rng.uniform(low, high) if domain == "heldout" else rng.uniform(0, 1 - (high - low))
    if domain == "train" and tone > low:
        tone += high - low
    srgb = _along(SKIN_SRGB, tone) + rng.normal(0, 1, 3) * [2.0, 2.0, 3.0]
    masculine = rng.random() < 0.5
    hair = _along(_HAIR_SRGB[:5], rng.random() ** 1.6 * (1 - 0.75 * tone))
    if rng.random() < 0.12:
        hair = _HAIR_SRGB[6] * rng.uniform(0.6, 1.2)
    elif rng.random() < 0.05 * (tone < 0.3):
        hair = _HAIR_SRGB[5].astype(float)
    if domain == "heldout" and rng.random() < 0.5:
        hair = rng.uniform(30, 220, 3)  # dyed
    brow = hair * rng.uniform(0.6, 1.0)
    brow = brow + rng.uniform(0.0, 0.5) * np.maximum(srgb - brow, 0)  # skin shows through thin brows
    rims = rng.uniform(120, 230, 3) if domain == "heldout" else rng.uniform([10, 10, 10], [70, 55, 50])
    painted = (not masculine) and rng.random() < 0.35
    natural = _along(SKIN_SRGB, tone) * [0.86, 0.66, 0.66] + [4, 0, 2]
    lip = rng.uniform([120, 25, 35], [190, 75, 85]) if painted else natural + rng.normal(0, 5, 3)
    shaven = rng.random()
    styles = ("bald", "short", "short", "fringe") if masculine else ("short", "long", "long", "fringe")
    return Look(
        seed=seed,
        tone=tone,
        skin=linear(np.clip(srgb, 20, 250)),
        redness=rng.uniform(0.2, 1.0),
        mottling=rng.uniform(0.2, 1.0),
        freckles=float(rng.random() < 0.2) * rng.uniform(0.2, 0.8),
        gloss=rng.uniform(0.15, 1.0),
        age=float(rng.beta(1.4, 1.8)),
        furrows=rng.uniform(0.0, 1.3),
        brow_colour=linear(np.clip(brow, 5, 200)),
        brow_density=rng.uniform(0.0, 1.0),
        brow_thickness=rng.uniform(0.6, 1.25) * (1.1 if masculine else 0.85),
        brow_rise=float(np.clip(rng.normal(-0.12, 0.2), -0.5, 0.3)),
        lip_colour=linear(np.clip(lip, 20, 245)),
        eye_shadow=float(painted and rng.random() < 0.5) * rng.uniform(0.2, 0.8),
        lashes=rng.uniform(0.25, 0.6) if masculine else rng.uniform(0.5, 1.0),
        stubble=float(masculine and shaven < 0.7) * rng.uniform(0.05, 0.8),
        beard=float(masculine and shaven < 0.22) * rng.uniform(0.4, 1.0),
        hair_colour=linear(np.clip(hair, 8, 235)),
        hair_style=str(rng.choice(styles)),
        iris=linear(_along(_IRIS_SRGB, rng.random() * (1 - 0.7 * tone))),
        iris_radius=rng.uniform(0.37, 0.41),
        teeth=linear(rng.uniform([205, 195, 170], [245, 240, 228])),
        glasses=str(rng.choice(["none", "thin", "thick"], p=[0.84, 0.08, 0.08])),
        glasses_colour=linear(rims),
        eye_depth=rng.normal(0, 1),
    )


def draw_scene(seed: int, domain: str) -> Scene:
    """Draw a session's light and camera. Raises InputError for an unknown domain."""
    rng = _generator(2, seed, domain)
    heldout = domain == "heldout"
    azimuth = np.radians(rng.choice([-1, 1]) * (rng.uniform(58, 80) if heldout else abs(rng.normal(0, 30)) % 55))
    elevation = np.radians(rng.uniform(-25, -5) if heldout and rng.random() < 0.4 else rng.uniform(5, 60))
    hardness = rng.uniform(0.15, 1.0) ** 1.2
    key = _tint(rng, 0.06) * (0.5 + 1.5 * hardness)
    fill_azimuth = -azimuth + rng.normal(0, 0.5)
    # Automatic exposure is mostly right and sometimes off.
    return Scene(
        seed=seed,
        key_direction=_direction(azimuth, elevation),
        key_colour=key,
        fill_direction=_direction(fill_azimuth, rng.uniform(-0.2, 0.5)),
        fill_colour=_tint(rng, 0.07) * rng.uniform(0.05, 0.55),
        sky_colour=_tint(rng, 0.06) * rng.uniform(0.25, 0.95),
        ground_colour=_tint(rng, 0.05) * [1.05, 1.0, 0.95] * rng.uniform(0.1, 0.5),
        distance_cm=rng.uniform(33, 42) if heldout else rng.uniform(45, 200),
        exposure=float(np.exp(rng.normal(0, 0.22))),
        white_balance=_tint(rng, 0.03),
        gamma=rng.uniform(0.88, 1.15),
        contrast=rng.uniform(0.92, 1.25),
        grey=bool(rng.random() < 0.06),
        softness=rng.uniform(0.0, 0.9) ** 2,
        quality=int(rng.uniform(28, 42)) if heldout else int(rng.uniform(50, 98)),
        noise=rng.uniform(0, 1) ** 2 * 5,
        saturation=float(np.clip(rng.normal(0.95, 0.22), 0.3, 1.3)),
        backdrop="stripes" if heldout else str(rng.choice(["wall", "things", "leaves"], p=[0.3, 0.45, 0.25])),
    )


def draw_shot(seed: int, scene: Scene, domain: str) -> Shot:
    """Draw what is specific to one image of a session. Raises InputError for an unknown domain."""
    rng = _generator(3, seed, domain)
    moving = rng.random() < 0.12
    angle = rng.uniform(0, np.pi)
    length = rng.uniform(1, 4) if moving else 0.0
    return Shot(
        seed=seed,
        exposure=float(np.exp(rng.normal(0, 0.05))),
        blur_px=scene.softness + abs(rng.normal(0, 0.2)),
        motion_px=(float(length * np.cos(angle)), float(length * np.sin(angle))),
        noise=scene.noise * rng.uniform(0.7, 1.3),
        quality=int(np.clip(scene.quality + rng.normal(0, 3), 20, 99)),
        point_jitter=rng.normal(0, 0.022, (5, 2)),
        shift=rng.normal(0, 0.035, 2),
        scale=float(np.exp(rng.normal(0, 0.03))),
        roll_deg=rng.normal(0, 1.2),
        hand=bool(rng.random() < _HAND_CHANCE),
    )


def _direction(azimuth: float, elevation: float) -> np.ndarray:
    return np.array(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], np.float64
    )


def _tint(rng: np.random.Generator, spread: float) -> np.ndarray:
    """White, slightly warmer or cooler, with a trace of green or magenta."""
    warm, green = rng.normal(0, spread), rng.normal(0, spread / 5)
    return np.array([1 + warm, 1 + green, 1 - 1.3 * warm])

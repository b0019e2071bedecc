"""Light and background around the built-in head, and the camera that turns light into a photo."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Surroundings:
    """A session's light, camera and background.

    Attributes:
        lights: float32 [L, 3], direction towards each light.
        light_rgb: float32 [L, 3], intensity of each light.
        ambient_sky, ambient_ground: float32 [3], light from above and from below.
        background: uint8 [S, S, 3].
        exposure: factor on brightness.
        gamma: exponent of brightness.
        balance: float32 [3], white balance.
        distance: from the camera, in interpupillary distances.
        blur_px, noise, jpeg_quality: of the camera, at the crop's resolution; quality 0 means no compression.
    """

    lights: np.ndarray
    light_rgb: np.ndarray
    ambient_sky: np.ndarray
    ambient_ground: np.ndarray
    background: np.ndarray
    exposure: float
    gamma: float
    balance: np.ndarray
    distance: float
    blur_px: float
    noise: float
    jpeg_quality: int


def surroundings(seed: int, size_px: int, heldout: bool) -> Surroundings:
    """Draw a session's surroundings. ``heldout`` has more light from the side, a closer camera and more noise."""
    rng = np.random.default_rng([seed, 23])
    key = rng.uniform(0.45, 0.8)
    side = rng.uniform(45, 75) * rng.choice([-1, 1]) if heldout else rng.normal(0, 30)
    rise = rng.uniform(-10, 15) if heldout else rng.uniform(8, 55)
    fill_side = -np.sign(side) * rng.uniform(30, 80)
    warm = rng.normal(0.01, 0.035)
    tint = np.array([1 + warm, 1.0, 1 - warm])
    lights = np.stack([_direction(side, rise), _direction(fill_side, rng.uniform(-10, 40))])
    light_rgb = np.stack([key * tint, key * rng.uniform(0.05, 0.5) * tint[::-1]])
    ambient = rng.uniform(0.2, 0.36) if heldout else rng.uniform(0.3, 0.55)
    return Surroundings(
        lights=lights.astype(np.float32),
        light_rgb=light_rgb.astype(np.float32),
        ambient_sky=(ambient * rng.normal(1, 0.015, 3)).astype(np.float32),
        ambient_ground=(ambient * rng.uniform(0.5, 0.9) * rng.normal(1, 0.025, 3)).astype(np.float32),
        background=_background(rng, size_px, heldout),
        exposure=float(np.exp(rng.normal(0.06, 0.14))),
        gamma=float(np.exp(rng.normal(-0.06, 0.09))),
        balance=rng.normal(1, 0.02, 3).astype(np.float32),
        distance=float(rng.uniform(6, 9) if heldout else rng.uniform(9, 28)),
        blur_px=float(rng.choice([0.0, rng.uniform(0.2, 1.0)], p=[0.4, 0.6])),
        noise=float(rng.uniform(4, 9) if heldout else abs(rng.normal(0, 3.5))),
        jpeg_quality=int(rng.integers(50, 95)) if rng.random() < 0.6 else 0,
    )


def _direction(side_deg: float, rise_deg: float) -> np.ndarray:
    side, rise = np.deg2rad([side_deg, rise_deg])
    return np.array([np.sin(side) * np.cos(rise), np.sin(rise), np.cos(side) * np.cos(rise)])


def _background(rng: np.random.Generator, size_px: int, heldout: bool) -> np.ndarray:
    """Blurred blocks with a brightness gradient: a room out of focus."""
    plain = not heldout and rng.random() < 0.4
    picture = np.full((size_px, size_px, 3), rng.uniform(30, 225), np.float32) + rng.normal(0, 10, 3).astype(np.float32)
    if not plain:
        for _ in range(int(rng.integers(3, 12))):
            x0, y0 = rng.integers(-size_px // 4, size_px, 2)
            x1, y1 = np.array((x0, y0)) + rng.integers(size_px // 8, size_px, 2)
            colour = np.clip(rng.uniform(10, 240) + rng.normal(0, 18, 3), 0, 255)
            cv2.rectangle(picture, (int(x0), int(y0)), (int(x1), int(y1)), colour.tolist(), -1)
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.01, 0.08)) * size_px)
    slope = np.linspace(-1, 1, size_px, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    shade = 1 + rng.uniform(0, 0.25) * (slope[None] * np.cos(angle) + slope[:, None] * np.sin(angle))
    return np.clip(picture * shade[..., None].astype(np.float32), 0, 255).astype(np.uint8)


def expose(image: np.ndarray, around: Surroundings, rng: np.random.Generator) -> np.ndarray:
    """Turn light into a photo: float32 [S, S, 3] with white at 255 -> uint8 [S, S, 3].

    Applies exposure with a soft shoulder, white balance, gamma, blur, noise and JPEG, in that order.
    """
    value = image * (around.exposure * around.balance / 255).astype(np.float32)
    over = np.maximum(value - 0.8, 0)
    value = np.minimum(value, 0.8) + 0.2 * (1 - np.exp(-over / 0.2))
    value = np.maximum(value, 0) ** np.float32(around.gamma)
    blur = around.blur_px * float(rng.uniform(0.6, 1.3))
    if blur > 0.15:
        value = cv2.GaussianBlur(value, (0, 0), blur)
    if around.noise > 0.3:
        value += rng.standard_normal(value.shape, np.float32) * np.float32(around.noise / 255)
    out = np.clip(value * 255, 0, 255).astype(np.uint8)
    return _jpeg(out, around.jpeg_quality) if around.jpeg_quality else out


def _jpeg(image_rgb: np.ndarray, quality: int) -> np.ndarray:
    _, data = cv2.imencode(".jpg", image_rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(decoded[..., ::-1])

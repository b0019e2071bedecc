"""What a camera and a file format do to a picture, and what stands behind the head."""

from __future__ import annotations

import cv2
import numpy as np

from .appearance import Scene, Shot, linear

BACKGROUND_PX = 64


def develop(picture: np.ndarray, size_px: int, scene: Scene, shot: Shot) -> np.ndarray:
    """Average down, blur, add noise, compress.

    Args:
        picture: uint8 [S, S, 3], RGB, S at least ``size_px``.

    Returns:
        uint8 [size_px, size_px, 3], RGB.
    """
    image = cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_AREA)
    if shot.blur_px > 0.15:
        image = cv2.GaussianBlur(image, (0, 0), shot.blur_px * size_px / 112)
    if any(shot.motion_px):
        image = cv2.filter2D(image, -1, _motion_kernel(shot.motion_px))
    if scene.grey:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if shot.noise > 0.3:
        image = _add_noise(image, shot, scene.grey)
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, shot.quality])
    decoded: np.ndarray = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    return np.ascontiguousarray(decoded)


def _motion_kernel(motion_px: tuple[float, float]) -> np.ndarray:
    half = 4
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    dx, dy = motion_px[0] / 2, motion_px[1] / 2
    start, end = (round(16 * (half - dx)), round(16 * (half - dy))), (round(16 * (half + dx)), round(16 * (half + dy)))
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_8, 4)
    return kernel / kernel.sum()


def _add_noise(image: np.ndarray, shot: Shot, grey: bool) -> np.ndarray:
    height, width = image.shape[:2]
    rng = np.random.default_rng([4, shot.seed])
    shade = rng.standard_normal((height, width, 1), np.float32)
    noise = shade if grey else 0.7 * shade + 0.6 * rng.standard_normal((height, width, 3), np.float32)
    found: np.ndarray = np.clip(image + shot.noise * noise + 0.5, 0, 255).astype(np.uint8)
    return found


def background(scene: Scene) -> np.ndarray:
    """uint8 [64, 64, 3]: the square root of linear RGB, as the shader reads it: walls, rooms out of focus, foliage."""
    rng = np.random.default_rng([5, scene.seed])
    size = BACKGROUND_PX
    base, other = (linear(_muted(rng)) for _ in range(2))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:size, 0:size] / (size - 1) - 0.5
    ramp = np.clip((np.cos(angle) * x + np.sin(angle) * y) * rng.uniform(0, 1.4) + 0.5, 0, 1)[..., None]
    image = (base * (1 - ramp) + other * ramp).astype(np.float32)
    kind = rng.random()
    if kind < 0.55:
        image = _blobs(image, rng, int(rng.integers(4, 16)))
    if 0.4 < kind < 0.75:
        noise = cv2.resize(rng.standard_normal((int(rng.integers(5, 30)),) * 2).astype(np.float32), (size, size))
        image *= np.exp(0.35 * noise)[..., None]
    blur = rng.uniform(0.5, 3.0)
    image = cv2.GaussianBlur(image, (0, 0), blur) * rng.uniform(0.3, 1.3)
    found: np.ndarray = (np.sqrt(np.clip(image, 0, 1)) * 255 + 0.5).astype(np.uint8)
    return found


def _muted(rng: np.random.Generator) -> np.ndarray:
    grey = rng.uniform(25, 240)
    return np.clip(grey + rng.normal(0, 22, 3), 5, 250)


def _blobs(image: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    size = len(image)
    for _ in range(count):
        colour = tuple(float(c) for c in linear(_muted(rng)))
        centre = tuple(int(c) for c in rng.integers(0, size, 2))
        if rng.random() < 0.5:
            cv2.circle(image, centre, int(rng.integers(2, 18)), colour, -1)
        else:
            far = tuple(int(c) for c in np.add(centre, rng.integers(4, 40, 2)))
            cv2.rectangle(image, centre, far, colour, -1)
    return image

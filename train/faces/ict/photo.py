"""Effects of the camera and of image compression, and the background behind the head."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from .appearance import Scene, Shot, linear

BACKGROUND_PX = 64


def develop(picture: np.ndarray, size_px: int, scene: Scene, shot: Shot) -> np.ndarray:
    """Turn a rendered image into a photo: tone curve, downscaling, blur, colour, noise and JPEG.

    Args:
        picture: uint8 [S, S, 3], RGB, S at least ``size_px``.

    Returns:
        uint8 [size_px, size_px, 3], RGB.
    """
    image = cv2.LUT(cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_AREA), _tone_curve(scene))
    if shot.blur_px > 0.15:
        image = cv2.GaussianBlur(image, (0, 0), shot.blur_px * size_px / 112)
    if any(shot.motion_px):
        image = cv2.filter2D(image, -1, _motion_kernel(shot.motion_px))
    if scene.grey:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    else:
        image = cv2.transform(image, _saturating(scene.saturation))
    if shot.noise > 0.3:
        image = _add_noise(image, shot, scene.grey)
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, shot.quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(decoded[..., ::-1])


def _tone_curve(scene: Scene) -> np.ndarray:
    """uint8 [256]: from the square root of linear light to display values, with highlights rolled off."""
    light = (np.arange(256) / 255) ** 2
    light = light * 1.25 / (1 + light * 0.25)
    display = light ** (scene.gamma / 2.2)
    return np.clip((0.5 + (display - 0.5) * scene.contrast) * 255 + 0.5, 0, 255).astype(np.uint8)


def _saturating(saturation: float) -> np.ndarray:
    """[3, 3]: matrix that moves RGB towards or away from its luma (ITU-R BT.601)."""
    matrix: np.ndarray = saturation * np.eye(3) + (1 - saturation) * np.array([[0.299, 0.587, 0.114]])
    return matrix


def _motion_kernel(motion_px: tuple[float, float]) -> np.ndarray:
    half = 4
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    dx, dy = motion_px[0] / 2, motion_px[1] / 2
    start, end = (round(16 * (half - dx)), round(16 * (half - dy))), (round(16 * (half + dx)), round(16 * (half + dy)))
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_8, 4)
    return kernel / kernel.sum()


def _add_noise(image: np.ndarray, shot: Shot, grey: bool) -> np.ndarray:
    """Add sensor noise: a window, at a position that depends on the frame, of a bank drawn once."""
    height, width = image.shape[:2]
    rng = np.random.default_rng([4, shot.seed])
    bank = _noise_bank(2 * max(height, width))
    top, left = rng.integers(0, len(bank) - height), rng.integers(0, len(bank) - width)
    window = bank[top : top + height, left : left + width]
    noise = cv2.merge([window[..., 0]] * 3) if grey else window
    return cv2.addWeighted(image, 1.0, noise, shot.noise, 0.0, dtype=cv2.CV_8U)


@lru_cache(maxsize=4)
def _noise_bank(size_px: int) -> np.ndarray:
    """float32 [S, S, 3]: Gaussian noise, partly shared by the three channels."""
    rng = np.random.default_rng(4)
    common = rng.standard_normal((size_px, size_px, 1), np.float32)
    return 0.7 * common + 0.6 * rng.standard_normal((size_px, size_px, 3), np.float32)


def background(scene: Scene) -> np.ndarray:
    """uint8 [64, 64, 3]: a wall, room, foliage or stripes, as the square root of linear RGB for the shader."""
    rng = np.random.default_rng([5, scene.seed])
    size = BACKGROUND_PX
    base, other = (linear(_muted(rng)) for _ in range(2))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:size, 0:size] / (size - 1) - 0.5
    ramp = np.clip((np.cos(angle) * x + np.sin(angle) * y) * rng.uniform(0, 1.4) + 0.5, 0, 1)[..., None]
    image = (base * (1 - ramp) + other * ramp).astype(np.float32)
    if scene.backdrop == "stripes":
        image = _stripes(image, rng)
    elif scene.backdrop == "things":
        image = _blobs(image, rng, int(rng.integers(4, 16)))
    elif scene.backdrop == "leaves":
        noise = cv2.resize(rng.standard_normal((int(rng.integers(5, 30)),) * 2).astype(np.float32), (size, size))
        image *= np.exp(0.35 * noise)[..., None]
    blur = rng.uniform(0.5, 3.0)
    image = cv2.GaussianBlur(image, (0, 0), blur) * rng.uniform(0.3, 1.3)
    encoded: np.ndarray = (np.sqrt(np.clip(image, 0, 1)) * 255 + 0.5).astype(np.uint8)
    return encoded


def _muted(rng: np.random.Generator) -> np.ndarray:
    grey = rng.uniform(25, 240)
    return np.clip(grey + rng.normal(0, 22, 3), 5, 250)


def _stripes(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blinds, planks or bookshelves: horizontal or vertical bands of random colours."""
    bands = np.stack([linear(_muted(rng)) for _ in range(int(rng.integers(5, 20)))])
    row = bands[(np.arange(len(image)) * len(bands)) // len(image)]
    striped = np.broadcast_to(row, image.shape) if rng.random() < 0.5 else np.broadcast_to(row[:, None], image.shape)
    return (0.4 * image + 0.6 * striped).astype(np.float32)


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

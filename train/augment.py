"""Augmentation of face crops: all random values of a batch are drawn at once, then each crop takes a few cv2 calls.

A batch's draw depends only on a seed and the step, so that resumed and distributed runs see the same pixels. A face and
its neutral share flip, light and most of the alignment error; each also has a small alignment error of its own, as two
detections of one person have.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# The 68 Multi-PIE points as a mirror sees them: point i of a mirrored face is point MIRROR_68[i] of the original.
MIRROR_68 = np.r_[
    16:-1:-1, 26:16:-1, 27:31, 35:30:-1, 45:41:-1, 47, 46, 39:35:-1, 41, 40, 54:47:-1, 59:54:-1, 64:59:-1, 67:64:-1
]
_NOISE_BANK = 16


@dataclass(frozen=True)
class AugmentOptions:
    """How strongly crops are altered. All values are our choice; 0 turns a part off.

    Attributes:
        flip: probability of mirroring; AU labels are the same on both sides.
        align: probability of a larger common alignment error (``rotate_deg``, ``zoom``, ``shift``).
        rotate_deg, zoom, shift: limits of that error; zoom relative, shift in fractions of the side.
        jitter: the error of each image on its own, relative to those limits.
        light: limit of relative brightness and contrast changes.
        colour: probability of a gamma and colour cast instead of plain light.
        blur, noise, jpeg, cutout: probabilities.
    """

    flip: float = 0.5
    align: float = 0.5
    rotate_deg: float = 10.0
    zoom: float = 0.08
    shift: float = 0.05
    jitter: float = 0.25
    light: float = 0.25
    colour: float = 0.3
    blur: float = 0.1
    noise: float = 0.25
    jpeg: float = 0.05
    cutout: float = 0.15


@dataclass(frozen=True)
class Draw:
    """Random values for the N samples of a batch.

    Attributes:
        flip: bool [N].
        face_matrix, neutral_matrix: float64 [N, 2, 3], from source pixels to crop pixels.
        neutral_moved: bool [N], False where the neutral is only mirrored.
        gain, offset: float64 [N], plain light: ``gain * x + offset``.
        colour_table: uint8 [N, 256, 3], in place of gain and offset where ``coloured`` (bool [N]).
        blur, noise, jpeg: per face; sigma in pixels (0 none), index into the noise bank (-1 none), quality (0 none).
        cutout: int [N, 4], x0, y0, x1, y1 (all 0 where none); cutout_colour: uint8 [N, 3].
    """

    flip: np.ndarray
    face_matrix: np.ndarray
    neutral_matrix: np.ndarray
    neutral_moved: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    coloured: np.ndarray
    colour_table: np.ndarray
    blur: np.ndarray
    noise: np.ndarray
    jpeg: np.ndarray
    cutout: np.ndarray
    cutout_colour: np.ndarray


def draw(source_px: np.ndarray, size_px: int, options: AugmentOptions, rng: np.random.Generator) -> Draw:
    """Draw for N samples whose stored crops have sides ``source_px`` (int [N]), to be resized to ``size_px``."""
    count = len(source_px)
    flip = rng.random(count) < options.flip
    moved = rng.random(count) < options.align
    common = _alignment(rng, count, options, 1.0) * moved[:, None]
    face = common + _alignment(rng, count, options, options.jitter)
    neutral = (common + _alignment(rng, count, options, options.jitter)) * moved[:, None]
    coloured = rng.random(count) < options.colour
    corner = rng.random((count, 2)) * 0.8
    extent = rng.uniform(0.1, 0.4, (count, 2))
    box = np.concatenate([corner, np.minimum(corner + extent, 1)], axis=1) * size_px
    return Draw(
        flip=flip,
        face_matrix=_matrices(face, flip, source_px, size_px),
        neutral_matrix=_matrices(neutral, flip, source_px, size_px),
        neutral_moved=moved | (source_px != size_px),
        gain=1 + options.light * rng.uniform(-1, 1, count),
        offset=127.5 * options.light * rng.uniform(-1, 1, count) * 0.5,
        coloured=coloured,
        colour_table=_colour_tables(rng, count, options.light),
        blur=np.where(rng.random(count) < options.blur, rng.uniform(0.5, 1.5, count) * size_px / 112, 0.0),
        noise=np.where(rng.random(count) < options.noise, rng.integers(0, _NOISE_BANK, count), -1),
        jpeg=np.where(rng.random(count) < options.jpeg, rng.integers(30, 90, count), 0),
        cutout=np.where((rng.random(count) < options.cutout)[:, None], box, 0).astype(np.int64),
        cutout_colour=rng.integers(0, 256, (count, 3)).astype(np.uint8),
    )


class Augmenter:
    """Applies draws. Noise is made once, from ``seed``, and reused: fresh noise would cost more than the rest."""

    def __init__(self, size_px: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        spread = rng.uniform(2, 10, (_NOISE_BANK, 1, 1, 1))
        noise = rng.normal(0, 1, (_NOISE_BANK, size_px, size_px, 3)) * spread
        self._brighter = np.clip(noise, 0, 255).astype(np.uint8)
        self._darker = np.clip(-noise, 0, 255).astype(np.uint8)

    def face(self, image: np.ndarray, drawn: Draw, row: int, out: np.ndarray) -> None:
        """Write the altered face of sample ``row`` into ``out``, uint8 [S, S, 3]."""
        _warp(image, drawn.face_matrix[row], out)
        _relight(drawn, row, out)
        if drawn.blur[row] > 0:
            cv2.GaussianBlur(out, (3, 3), drawn.blur[row], dst=out)
        if drawn.noise[row] >= 0:
            cv2.add(out, self._brighter[drawn.noise[row]], dst=out)
            cv2.subtract(out, self._darker[drawn.noise[row]], dst=out)
        if drawn.jpeg[row]:
            _, packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(drawn.jpeg[row])])
            out[:] = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        x0, y0, x1, y1 = drawn.cutout[row]
        out[y0:y1, x0:x1] = drawn.cutout_colour[row]

    def neutral(self, image: np.ndarray, drawn: Draw, row: int, out: np.ndarray) -> None:
        """Write the altered neutral of sample ``row`` into ``out``: same flip and light, its own alignment."""
        if drawn.neutral_moved[row]:
            _warp(image, drawn.neutral_matrix[row], out)
        elif drawn.flip[row]:
            cv2.flip(image, 1, dst=out)
        else:
            out[:] = image
        _relight(drawn, row, out)


def move_landmarks(points: np.ndarray, matrix: np.ndarray, flip: bool) -> np.ndarray:
    """Landmarks [68, 2] where ``matrix`` (float [2, 3]) puts them, renumbered where the face is mirrored."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return moved[MIRROR_68] if flip else moved


def _alignment(rng: np.random.Generator, count: int, options: AugmentOptions, strength: float) -> np.ndarray:
    limits = np.array([np.deg2rad(options.rotate_deg), options.zoom, options.shift, options.shift])
    return rng.uniform(-1, 1, (count, 4)) * limits * strength


def _matrices(alignment: np.ndarray, flip: np.ndarray, source_px: np.ndarray, size_px: int) -> np.ndarray:
    """float64 [N, 2, 3] about the centre; rows of ``alignment`` are angle, zoom, shift x, shift y."""
    angle, zoom, shift_x, shift_y = alignment.T
    cos, sin = np.cos(angle) * (1 + zoom), np.sin(angle) * (1 + zoom)
    mirror = np.where(flip, -1.0, 1.0)
    linear = np.stack([np.stack([cos * mirror, -sin], -1), np.stack([sin * mirror, cos], -1)], -2)
    linear = linear * (size_px / source_px)[:, None, None]
    centre = np.repeat(((source_px - 1) / 2)[:, None], 2, axis=1)
    target = (size_px - 1) / 2 + np.stack([shift_x, shift_y], -1) * size_px
    offset = target - np.einsum("nij,nj->ni", linear, centre)
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _colour_tables(rng: np.random.Generator, count: int, light: float) -> np.ndarray:
    gamma = np.exp(rng.uniform(-1.5, 1.5, (count, 1, 1)) * light)
    gain = 1 + light * rng.uniform(-1, 1, (count, 1, 1)) + 0.3 * light * rng.uniform(-1, 1, (count, 1, 3))
    level = (np.arange(256) / 255)[None, :, None]
    return np.clip(255 * gain * level**gamma, 0, 255).astype(np.uint8)


def _warp(image: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    size = (out.shape[1], out.shape[0])
    cv2.warpAffine(image, matrix, size, dst=out, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _relight(drawn: Draw, row: int, out: np.ndarray) -> None:
    if drawn.coloured[row]:
        cv2.LUT(out, drawn.colour_table[row][None], dst=out)
    else:
        # |x| instead of a clamp at 0 would fold dark pixels up, so darkening is done by subtraction.
        gain, offset = float(drawn.gain[row]), float(drawn.offset[row])
        cv2.convertScaleAbs(out, dst=out, alpha=gain, beta=max(offset, 0.0))
        if offset < 0:
            cv2.subtract(out, (-offset, -offset, -offset, 0), dst=out)

"""Augmentation of face crops: all random values of a batch are drawn at once, then each crop takes a few cv2 calls.

A batch's draw depends only on a seed and the step, so that resumed and distributed runs see the same pixels. A face and
its neutral share flip, light and most of the alignment error; each also has a small alignment error of its own, as two
detections of one person have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

# The 68 Multi-PIE points as a mirror sees them: point i of a mirrored face is point MIRROR_68[i] of the original.
MIRROR_68 = np.r_[
    16:-1:-1, 26:16:-1, 27:31, 35:30:-1, 45:41:-1, 47, 46, 39:35:-1, 41, 40, 54:47:-1, 59:54:-1, 64:59:-1, 67:64:-1
]
_NOISE_BANK = 16
_SHADE_BANK = 64
_UNSHADED = 128  # what uneven light holds where it changes nothing


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
        blur, noise, jpeg, cutout: probabilities; these are of the face alone.
        grey, shade, low_resolution, soft, compressed, cut_off: probabilities of what camera, light, size and file do to
            face and neutral alike: no colour, uneven light, ``lowest_px`` or more pixels, blur, strong compression, a
            picture that ends within the crop.
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
    grey: float = 0.0
    shade: float = 0.0
    low_resolution: float = 0.0
    lowest_px: int = 24
    soft: float = 0.0
    compressed: float = 0.0
    cut_off: float = 0.0


STRONG = AugmentOptions(
    light=0.4, colour=0.5, grey=0.3, shade=0.5, low_resolution=0.5, soft=0.2, compressed=0.3, cut_off=0.3
)
LEVELS: Mapping[str, AugmentOptions | None] = {"none": None, "plain": AugmentOptions(), "strong": STRONG}


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
        picture: what face and neutral share; None where nothing of it is asked for.
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
    picture: PictureDraw | None = None


@dataclass(frozen=True)
class PictureDraw:
    """What camera, light and file do to a face and its neutral alike, for N samples.

    Attributes:
        grey: bool [N].
        shade: int [N], index into the bank of uneven light, -1 none.
        low_px: int [N], resolution of the crop, 0 unchanged.
        soft: float [N], sigma of a blur in pixels, 0 none.
        quality: int [N], of JPEG at that resolution, 0 none.
        cut_off: int [N], rows at the bottom that repeat the last row above, 0 none.
    """

    grey: np.ndarray
    shade: np.ndarray
    low_px: np.ndarray
    soft: np.ndarray
    quality: np.ndarray
    cut_off: np.ndarray


def draw_picture(count: int, size_px: int, options: AugmentOptions, rng: np.random.Generator) -> PictureDraw:
    """Draw for N samples of side ``size_px``; resolutions are uniform in their logarithm."""
    low = options.lowest_px * (size_px / options.lowest_px) ** rng.random(count)
    return PictureDraw(
        grey=rng.random(count) < options.grey,
        shade=np.where(rng.random(count) < options.shade, rng.integers(0, _SHADE_BANK, count), -1),
        low_px=np.where(rng.random(count) < options.low_resolution, low.round().astype(int), 0),
        soft=np.where(rng.random(count) < options.soft, rng.uniform(0.5, 2.0, count) * size_px / 112, 0.0),
        quality=np.where(rng.random(count) < options.compressed, rng.integers(12, 70, count), 0),
        cut_off=np.where(rng.random(count) < options.cut_off, rng.uniform(0.03, 0.16, count) * size_px, 0).astype(int),
    )


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
        picture=draw_picture(count, size_px, options, rng) if _alters_pictures(options) else None,
    )


def _alters_pictures(options: AugmentOptions) -> bool:
    parts = (options.grey, options.shade, options.low_resolution, options.soft, options.compressed, options.cut_off)
    return max(parts) > 0


class Augmenter:
    """Applies draws. Noise is made once, from ``seed``, and reused: fresh noise would cost more than the rest."""

    def __init__(self, size_px: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        spread = rng.uniform(2, 10, (_NOISE_BANK, 1, 1, 1))
        noise = rng.normal(0, 1, (_NOISE_BANK, size_px, size_px, 3)) * spread
        self._brighter = np.clip(noise, 0, 255).astype(np.uint8)
        self._darker = np.clip(-noise, 0, 255).astype(np.uint8)
        self._shades = [_uneven_light(rng, size_px) for _ in range(_SHADE_BANK)]

    def face(self, image: np.ndarray, drawn: Draw, row: int, out: np.ndarray) -> None:
        """Write the altered face of sample ``row`` into ``out``, uint8 [S, S, 3]."""
        _warp(image, drawn.face_matrix[row], out)
        _relight(drawn, row, out)
        self._picture(drawn.picture, row, out)
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
        self._picture(drawn.picture, row, out)

    def _picture(self, drawn: PictureDraw | None, row: int, out: np.ndarray) -> None:
        if drawn is None:
            return
        if drawn.shade[row] >= 0:
            cv2.multiply(out, self._shades[drawn.shade[row]], dst=out, scale=1 / _UNSHADED)
        if drawn.grey[row]:
            cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB, dst=out)
        if drawn.soft[row] > 0:
            cv2.GaussianBlur(out, (0, 0), drawn.soft[row], dst=out)
        if drawn.low_px[row] or drawn.quality[row]:
            _degrade(int(drawn.low_px[row]), int(drawn.quality[row]), out)
        if drawn.cut_off[row]:
            out[-drawn.cut_off[row] :] = out[-drawn.cut_off[row] - 1]


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


def _uneven_light(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """uint8 [S, S, 3], _UNSHADED where light is unchanged: a soft edge of shadow, or a slope, in any direction."""
    angle, centre = rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.6)
    y, x = np.mgrid[-1 : 1 : size_px * 1j, -1 : 1 : size_px * 1j]
    along = np.cos(angle) * x + np.sin(angle) * y - centre
    edge = 1 / (1 + np.exp(-along / rng.uniform(0.05, 0.8)))
    dark, bright = rng.uniform(0.3, 0.9), rng.uniform(0.9, 1.5)
    gain = dark + (bright - dark) * edge
    return np.repeat((gain * _UNSHADED).round().astype(np.uint8)[..., None], 3, axis=2)


def _degrade(low_px: int, quality: int, out: np.ndarray) -> None:
    """Reduce to ``low_px`` (0: as it is), compress there (0: not), and enlarge again, in place."""
    size = out.shape[0]
    small = cv2.resize(out, (low_px, low_px), interpolation=cv2.INTER_AREA) if low_px else out
    if quality:
        _, packed = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
        small = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    cv2.resize(small, (size, size), dst=out, interpolation=cv2.INTER_LINEAR)


def _relight(drawn: Draw, row: int, out: np.ndarray) -> None:
    if drawn.coloured[row]:
        cv2.LUT(out, drawn.colour_table[row][None], dst=out)
    else:
        # |x| instead of a clamp at 0 would fold dark pixels up, so darkening is done by subtraction.
        gain, offset = float(drawn.gain[row]), float(drawn.offset[row])
        cv2.convertScaleAbs(out, dst=out, alpha=gain, beta=max(offset, 0.0))
        if offset < 0:
            cv2.subtract(out, (-offset, -offset, -offset, 0), dst=out)

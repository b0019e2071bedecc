"""Text on images, smooth at every size.

OpenCV's vector font is drawn large and scaled down: drawn small, it snaps to whole pixels and is hard to read.
"""

from __future__ import annotations

import functools
from typing import Tuple

import numpy as np

_CAPITAL_PX = 22.0  # height of capital letters of cv2's Hershey Duplex at scale 1
_OVERSAMPLING = 4
_THICKNESS = 0.14  # of a stroke, as a share of the capitals' height


def text_size(text: str, capital_px: int) -> Tuple[int, int]:
    """Width and height in pixels of a line of text whose capital letters are ``capital_px`` high."""
    height, width = _mask(text, capital_px).shape
    return width, height


def put_text(image: np.ndarray, text: str, left: int, top: int, capital_px: int, colour_bgr: Tuple[int, ...]) -> None:
    """Draw one line of text into an image; what lies outside of it is cut off.

    Args:
        image: uint8 [H, W, 3], changed in place.
        text: ASCII, one line.
        left, top: of the text's box, in pixels.
        capital_px: height of capital letters.
        colour_bgr: 0..255.
    """
    blend(image, _mask(text, capital_px), left, top, colour_bgr)


def blend(image: np.ndarray, mask: np.ndarray, left: int, top: int, colour_bgr: Tuple[int, ...]) -> None:
    """Paint a colour where a mask of weights, float32 [h, w] 0..1, lies on an image, uint8 [H, W, 3]."""
    height, width = image.shape[:2]
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(width, left + mask.shape[1]), min(height, top + mask.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    weight = mask[y0 - top : y1 - top, x0 - left : x1 - left, None]
    area = image[y0:y1, x0:x1]
    area[:] = (area + weight * (np.array(colour_bgr, np.float32) - area) + 0.5).astype(np.uint8)


@functools.lru_cache(maxsize=512)
def _mask(text: str, capital_px: int) -> np.ndarray:
    """Weights of a text's pixels, float32 [h, w]; its capitals touch the top and descenders reach the bottom."""
    import cv2

    scale = capital_px * _OVERSAMPLING / _CAPITAL_PX
    thickness = max(1, round(capital_px * _OVERSAMPLING * _THICKNESS))
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, thickness)
    edge, capitals = thickness, capital_px * _OVERSAMPLING
    large = np.zeros((max(height, capitals) + below + edge, width + 2 * edge), np.uint8)
    baseline = (edge, capitals - thickness // 2)
    cv2.putText(large, text, baseline, cv2.FONT_HERSHEY_DUPLEX, scale, 255, thickness, cv2.LINE_AA)
    size = (-(-large.shape[1] // _OVERSAMPLING), -(-large.shape[0] // _OVERSAMPLING))
    return cv2.resize(large, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255

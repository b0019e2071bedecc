"""Whether two crops show the same face, within one video.

A look is a histogram of gradient directions over the crop (Dalal and Triggs, "Histograms of Oriented Gradients", CVPR
2005), which the crop's alignment makes comparable. It is not face recognition: it distinguishes the people of one video
over seconds, and can't tell whether photos of different days show the same person.

Measured on press photos of 219 people, and on a clip of one woman who acts expressions: 5% of pairs of strangers reach
0.50, 1% reach 0.57 and 0.1% reach 0.66; 99% of the woman's pairs are above 0.74 over 4 frames, 0.61 over a second, and
0.39 over 8 seconds. Against one fixed picture, 83% of strangers are below 0.42 in a frame, and 69% in every frame of a
second; so is the woman in 2.9% of frames and 0.5% of seconds.
"""

from __future__ import annotations

from typing import Dict, Sequence

import numpy as np

SAME_NEXT_FRAME, SAME_AFTER_LOSS, SAME_ELSEWHERE = 0.5, 0.6, 0.7
UNLIKE = 0.42  # a face below this is taken for somebody else's

_SIDE_PX, _CELL_PX, _DIRECTIONS = 56, 8, 8
_CELLS = np.arange(_SIDE_PX) // _CELL_PX
_BINS = ((_CELLS[:, None] * (_SIDE_PX // _CELL_PX) + _CELLS) * _DIRECTIONS).ravel()
_BIN_COUNT = (_SIDE_PX // _CELL_PX) ** 2 * _DIRECTIONS
_FLAT = 600.0  # a cell with less gradient than this has no direction worth much


def look_of(crop_rgb: np.ndarray) -> np.ndarray:
    """The look of an aligned face.

    Args:
        crop_rgb: uint8 [S, S, 3], cut by the model's rule.

    Returns:
        float32 [392], of length 1.
    """
    import cv2

    grey = cv2.resize(cv2.cvtColor(crop_rgb, cv2.COLOR_RGB2GRAY), (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(grey, (0, 0), 0.7)
    strength, angle = cv2.cartToPolar(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    place = angle.ravel() * (_DIRECTIONS / np.pi)  # opposite directions are one
    low = np.floor(place)
    upper, strengths, first = place - low, strength.ravel(), low.astype(np.int64) % _DIRECTIONS
    histogram = np.bincount(_BINS + first, strengths * (1 - upper), _BIN_COUNT)
    histogram += np.bincount(_BINS + (first + 1) % _DIRECTIONS, strengths * upper, _BIN_COUNT)
    cells = histogram.reshape(-1, _DIRECTIONS)
    cells = cells / (np.linalg.norm(cells, axis=1, keepdims=True) + _FLAT)
    centred = (cells - cells.mean()).ravel()
    return (centred / max(1e-9, float(np.linalg.norm(centred)))).astype(np.float32)


class Looks:
    """The looks of one image's faces, each computed when it is first asked for.

    Args:
        crops_rgb: uint8 [S, S, 3] each.
    """

    def __init__(self, crops_rgb: Sequence[np.ndarray]) -> None:
        self._crops = crops_rgb
        self._known: Dict[int, np.ndarray] = {}

    def __contains__(self, face: int) -> bool:
        """Whether a face's look has been computed."""
        return face in self._known

    def __getitem__(self, face: int) -> np.ndarray:
        if face not in self._known:
            self._known[face] = look_of(self._crops[face])
        return self._known[face]


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two looks, -1..1."""
    return float(a @ b)

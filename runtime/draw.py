"""Draw results on images: a box around each face and a bar per action unit."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from .analyzer import Face

_PRESENT, _ABSENT, _TEXT, _PANEL = (80, 200, 120), (160, 150, 140), (245, 245, 245), (40, 36, 32)
_FONT_HEIGHT_PX = 22  # of cv2's Hershey Simplex at scale 1


def annotate(image_bgr: np.ndarray, faces: Sequence[Face], aus: Sequence[str]) -> np.ndarray:
    """Return a copy of the image with a box around each face and a panel of AU bars beside it.

    Args:
        image_bgr: uint8 [H, W, 3], BGR.
        faces: the results for this image.
        aus: the AUs to show, in this order.

    Returns:
        uint8 [H, W, 3], BGR. Bars are green where the AU is present; a tick marks 0.5 on the scale.
    """
    import cv2

    drawn = image_bgr.copy()
    line_px = max(1, round(min(drawn.shape[:2]) / 300))
    for face in faces:
        left, top, right, bottom = (round(v) for v in face.box_xyxy)
        cv2.rectangle(drawn, (left, top), (right, bottom), _PRESENT, line_px + 1, cv2.LINE_AA)
        for x, y in face.points_xy:
            cv2.circle(drawn, (round(float(x)), round(float(y))), line_px + 1, _TEXT, -1, cv2.LINE_AA)
        _panel(drawn, face, aus)
    return drawn


def _panel(drawn: np.ndarray, face: Face, aus: Sequence[str]) -> None:
    import cv2

    height, width = drawn.shape[:2]
    left, top, right, _ = (round(v) for v in face.box_xyxy)
    row = max(9, min(22, (height - 8) // (len(aus) + 1)))
    scale = row * 0.62 / _FONT_HEIGHT_PX
    name_px, bar_px = int(row * 3.0), int(row * 4.2)
    panel_width, panel_height = name_px + bar_px + row, row * (len(aus) + 1)
    x = right + row // 2 if right + row // 2 + panel_width <= width else max(0, left - row // 2 - panel_width)
    y = int(np.clip(top, 0, max(0, height - panel_height)))
    area = drawn[y : y + panel_height, x : x + panel_width]
    area[:] = (area * 0.3 + np.array(_PANEL) * 0.7).astype(np.uint8)
    label = f"face {face.track_id}" + ("" if face.neutral_ready else " (no neutral)")
    cv2.putText(
        drawn, label, (x + row // 3, y + int(row * 0.78)), cv2.FONT_HERSHEY_SIMPLEX, scale * 0.9, _TEXT, 1, cv2.LINE_AA
    )
    for i, au in enumerate(aus, 1):
        base = y + i * row
        value, colour = face.au[au], _PRESENT if face.present[au] else _ABSENT
        place = (x + row // 3, base + int(row * 0.78))
        cv2.putText(drawn, au, place, cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT, 1, cv2.LINE_AA)
        start = x + name_px
        cv2.rectangle(drawn, (start, base + 2), (start + round(bar_px * value), base + row - 3), colour, -1)
        cv2.line(drawn, (start + bar_px // 2, base + 1), (start + bar_px // 2, base + row - 2), _TEXT, 1)
        cv2.rectangle(drawn, (start, base + 2), (start + bar_px, base + row - 3), _ABSENT, 1)

"""Input and output of a face renderer, whichever face model it draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from edgeau.runtime.manifest import CropSpec

# What light, camera and skin are drawn from: the second keeps to settings that the first never shows.
DOMAINS = ("train", "heldout")


@dataclass(frozen=True)
class FrameSpec:
    """One image to render. Everything random is decided here, so that the same spec gives the same pixels.

    Attributes:
        identity: float32 [K], shape coefficients ~N(0, 1); a face model uses as many as it has.
        look_seed: the subject's skin, brows, hair, glasses, beard.
        scene_seed: the session's light, camera, background, exposure.
        frame_seed: noise, blur, JPEG and crop jitter of this image.
        au: FACS intensity 0..5 as (subject's right, subject's left) by AU name; AUs left out are 0.
        yaw_deg, pitch_deg, roll_deg: head pose; yaw to the subject's left, pitch up, roll to the subject's left.
        gaze_deg: (right, up) of the eyes in the head.
        blink: eyelid closure 0..1 beyond what AUs do.
        domain: ``train``, or ``heldout`` for light, camera and skin settings that training never sees.
    """

    identity: np.ndarray
    look_seed: int
    scene_seed: int
    frame_seed: int
    au: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    gaze_deg: tuple[float, float] = (0.0, 0.0)
    blink: float = 0.0
    domain: str = "train"


@dataclass(frozen=True)
class Rendered:
    """One rendered crop.

    Attributes:
        face: uint8 [S, S, 3], RGB, aligned by the crop rule.
        landmarks: float32 [68, 2], the 68 Multi-PIE points in crop pixels, x to the right, y down.
        visible: bool [68], False where another surface hides the point.
    """

    face: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray


class Renderer(Protocol):
    """Draws a face model. Not shared between processes."""

    def render(self, spec: FrameSpec, crop: CropSpec) -> Rendered:
        """Draw one crop of ``crop.size_px`` squared."""
        ...

    def close(self) -> None:
        """Free graphics resources."""
        ...

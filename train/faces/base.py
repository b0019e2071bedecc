"""Input and output of a face renderer, for any face model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from edgeau.runtime.manifest import CropSpec

# Where light, camera and skin are drawn from: ``heldout`` uses only settings that ``train`` never shows.
DOMAINS = ("train", "heldout")


@dataclass(frozen=True)
class FrameSpec:
    """One image to render. Everything random is decided here, so that the same spec gives the same pixels.

    Attributes:
        identity: float32 [K], shape coefficients ~N(0, 1); a face model with fewer uses the first ones.
        look_seed: seed of the subject's skin, brows, hair, glasses and beard.
        scene_seed: seed of the session's light, camera, background and exposure.
        frame_seed: seed of this image's noise, blur, JPEG quality and crop jitter.
        au: FACS intensity 0..5 as (subject's right, subject's left) by AU name; AUs left out are 0.
        yaw_deg, pitch_deg, roll_deg: head pose; yaw to the subject's left, pitch up, roll to the subject's left.
        gaze_deg: direction of gaze relative to the head, as (subject's right, up).
        blink: eyelid closure 0..1, in addition to the AUs.
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
        """Draw one square crop with sides of ``crop.size_px``."""
        ...

    def close(self) -> None:
        """Free graphics resources."""
        ...

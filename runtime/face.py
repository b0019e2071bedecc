"""One analysed face."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Tuple

import numpy as np

from .pose import HeadPose, head_pose


@dataclass(frozen=True)
class Face:
    """One analysed face.

    Attributes:
        track_id: the same number for the same face through a video; 0, 1, ... in a still, largest first.
        box_xyxy: left, top, right, bottom in pixels; may extend beyond the image.
        points_xy: float32 [5, 2], right eye, left eye, nose tip, right and left mouth corner (the subject's right), in
            pixels. They place the crop.
        score: the detector's, 0..1.
        au: presence 0..1 by AU name.
        present: whether presence reaches the AU's threshold.
        expression: probability by class; empty for models without an expression head.
        neutral_ready: False while the subject's neutral is not known and the face was compared with itself; True for
            models that need none.
        intensity: 0..5 by AU name; empty for models without an intensity output.
    """

    track_id: int
    box_xyxy: Tuple[float, float, float, float]
    points_xy: np.ndarray
    score: float
    au: Mapping[str, float]
    present: Mapping[str, bool]
    expression: Mapping[str, float]
    neutral_ready: bool
    intensity: Mapping[str, float] = field(default_factory=dict)

    @property
    def pose(self) -> HeadPose:
        """Where the head points, from the five points."""
        return head_pose(self.points_xy)

    def to_dict(self) -> Dict[str, Any]:
        """Plain values, as JSON takes them."""
        return {
            "track_id": self.track_id,
            "box_xyxy": list(self.box_xyxy),
            "points_xy": np.asarray(self.points_xy, np.float64).tolist(),
            "score": self.score,
            "au": dict(self.au),
            "present": dict(self.present),
            "intensity": dict(self.intensity),
            "expression": dict(self.expression),
            "neutral_ready": self.neutral_ready,
            "pose": self.pose.to_dict(),
        }

"""The neutral reference of one face, to which difference-image models compare each frame.

All policies are causal: a frame's reference depends on earlier frames only, so live and offline give the same values.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

import numpy as np

from .manifest import NeutralSpec

# With a running reference, every n-th frame is a new candidate, which adds a row to its batch.
PROBE_EVERY = 10


class NeutralReference:
    """Keeps one face's neutral.

    Args:
        spec: the policy.
        given: uint8 [H, W, 3] RGB crop for the policy ``given``.
    """

    def __init__(self, spec: NeutralSpec, given: Optional[np.ndarray] = None) -> None:
        self._spec = spec
        self._image = given if spec.policy == "given" else None
        self._calmest: List[Tuple[float, int, np.ndarray]] = []
        self._seen = 0

    @property
    def image(self) -> Optional[np.ndarray]:
        """uint8 [H, W, 3] RGB, or None until enough frames have been seen."""
        return self._image

    @property
    def wants_probe(self) -> bool:
        """Whether to pass the next frame's activity, computed without a reference, to ``add``."""
        if self._spec.policy == "running":
            return self._image is None or self._seen % PROBE_EVERY == 0
        return self._spec.policy == "first" and self._image is None

    def skip(self) -> None:
        """Count a frame that is not a candidate."""
        self._seen += 1

    def add(self, crop: np.ndarray, activity: float) -> None:
        """Offer a frame as a candidate.

        Args:
            crop: uint8 [H, W, 3] RGB.
            activity: mean AU presence of the frame computed without a reference; low for a face at rest.
        """
        self._seen += 1
        rank = activity if self._spec.policy == "running" else float(self._seen)
        self._calmest.append((rank, self._seen, crop))
        self._calmest.sort(key=lambda entry: entry[:2])
        kept = self._calmest[: self._spec.frames]
        changed = any(entry[1] == self._seen for entry in kept)
        self._calmest = kept
        if changed and len(kept) == self._spec.frames:
            self._image = np.median(np.stack([entry[2] for entry in kept]), axis=0).astype(np.uint8)

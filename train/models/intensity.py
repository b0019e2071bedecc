"""Intensity 0..5 from AU logits: an ordinal head that any model can have."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEVELS = 5  # FACS A to E


class IntensitySteps(nn.Module):
    """Logits of "the intensity is at least k", for k from 1 to 5, on each AU's one scale (McCullagh, 1980).

    Each AU's presence logit is scaled and shifted five times, so that presence and intensity can't disagree in order,
    and the head adds six numbers per AU to a model of any family.

    Args:
        aus: number of AUs.
    """

    def __init__(self, aus: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(aus, 1))
        # Presence is usually an intensity of 2 or more, so that this step starts as the presence logit itself.
        self.shift = nn.Parameter(2.0 - torch.arange(1.0, LEVELS + 1).repeat(aus, 1))

    def forward(self, au_logits: Tensor) -> Tensor:
        """[N, A] to step logits [N, A, 5]."""
        return au_logits.unsqueeze(2) * self.scale + self.shift


def expected_intensity(steps: Tensor) -> Tensor:
    """Step logits [N, A, 5] to intensities [N, A] in 0..5: the sum of the steps' probabilities."""
    return steps.sigmoid().sum(2)


def step_targets(intensity: Tensor) -> Tensor:
    """Intensities [N, A] to the share of each step that is reached, [N, A, 5] in 0..1; NaN stays NaN.

    Their sum is the intensity, also between whole numbers, as rendered faces have them.
    """
    below = torch.arange(LEVELS, dtype=intensity.dtype, device=intensity.device)
    return (intensity.unsqueeze(2) - below).clamp(0, 1)

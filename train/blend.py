"""Weights between those that a run started from and those that it reached.

A model that is trained on for a new place forgets some of what it knew. The weighted mean of both sets of weights keeps
most of the old and of the new: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def blend(start: Mapping[str, Tensor], reached: Mapping[str, Tensor], start_share: float) -> dict[str, Tensor]:
    """The weighted mean of two state dictionaries of one model; what is not floating-point is that reached.

    Args:
        start, reached: with the same names and shapes.
        start_share: weight of ``start``, 0..1.
    """
    return {
        name: torch.lerp(value, start[name].to(value), start_share) if value.is_floating_point() else value
        for name, value in reached.items()
    }

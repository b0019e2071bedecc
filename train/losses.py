"""The AU loss: masked binary cross-entropy with inverse-frequency weights, and the targets it is computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from edgeau.runtime.errors import InputError
from edgeau.train.models.eau import smooth_class_weights
from edgeau.train.models.intensity import step_targets

CLASS_WEIGHTS = ("auto", "frequency", "smooth", "none")


@dataclass(frozen=True)
class LossOptions:
    """Choices of the AU loss.

    Attributes:
        present_from: lowest FACS intensity that counts as present; 2 is DISFA's usual protocol.
        softness: half-width, in intensity steps, of a linear ramp around the boundary; 0 is the hard label that the
            protocols use, other values are our addition.
        smoothing: label smoothing towards one half.
        class_weights: ``frequency`` weighs each AU by its inverse frequency, normalised to mean 1 (as JAA-Net's and
            ME-GraphAU's published code does); ``smooth`` weighs present and absent of each AU (EAU's smooth
            class-weighted loss); ``none``; ``auto`` is ``smooth`` for EAU and ``frequency`` for the others.
        smoothness: for ``smooth``; 0 balances classes fully, 1 not at all.
        pos_weight_power: weighs positives of an AU ``(negatives / positives) ** power``; 0 is off, 1 balances fully.
        expression_weight: weight of the expression head's cross-entropy, if the model has one and the data is labelled.
        intensity_weight: weight of the intensity head's cross-entropy, if the model has one.
    """

    present_from: float = 2.0
    softness: float = 0.0
    smoothing: float = 0.0
    class_weights: str = "auto"
    smoothness: float = 0.5
    pos_weight_power: float = 0.0
    expression_weight: float = 0.2
    intensity_weight: float = 0.5

    def __post_init__(self) -> None:
        if self.class_weights not in CLASS_WEIGHTS:
            raise InputError("class weights", got=repr(self.class_weights), expected=", ".join(CLASS_WEIGHTS))


def presence_target(intensity: Tensor, options: LossOptions) -> Tensor:
    """Targets in 0..1 for FACS intensities [N, A]; NaN stays NaN."""
    if options.softness > 0:
        ramp = (intensity - options.present_from) / (2 * options.softness) + 0.5
        target = ramp.clamp(0, 1)
    else:
        target = (intensity >= options.present_from).to(intensity.dtype)
        target = torch.where(intensity.isnan(), intensity, target)
    return target * (1 - options.smoothing) + options.smoothing / 2


def frequencies(intensity: np.ndarray, present_from: float) -> np.ndarray:
    """Share of labelled samples in which each AU is present, float64 [A]; at least one sample's worth, never 1."""
    labelled = (~np.isnan(intensity)).sum(axis=0)
    present = (np.nan_to_num(intensity, nan=-1.0) >= present_from).sum(axis=0)
    floor = 1.0 / np.maximum(labelled, 2)
    return np.clip(present / np.maximum(labelled, 1), floor, 1 - floor)


def inverse_frequency_weights(frequency: np.ndarray) -> np.ndarray:
    """``(1 / r_i) / sum_j(1 / r_j) * A``: mean 1."""
    inverse = 1.0 / frequency
    return inverse / inverse.sum() * len(frequency)


class AuLoss(nn.Module):
    """Masked, weighted binary cross-entropy over AU logits.

    Args:
        frequency: share of positives per AU in the training data, float [A].
        options: see LossOptions.
    """

    present: Tensor
    absent: Tensor

    def __init__(self, frequency: np.ndarray, options: LossOptions) -> None:
        super().__init__()
        self.options = options
        rate = torch.tensor(frequency, dtype=torch.float32)
        present, absent = torch.ones_like(rate), torch.ones_like(rate)
        if options.class_weights == "smooth":
            present, absent = smooth_class_weights(rate, options.smoothness)
        elif options.class_weights != "none":
            present = absent = torch.tensor(inverse_frequency_weights(frequency), dtype=torch.float32)
        self.register_buffer("present", present * ((1 - rate) / rate) ** options.pos_weight_power, persistent=False)
        self.register_buffer("absent", absent, persistent=False)

    def forward(self, logits: Tensor, intensity: Tensor) -> Tensor:
        """Scalar loss of logits [N, A] against intensities [N, A] with NaN where not labelled."""
        target = presence_target(intensity, self.options)
        known = ~target.isnan()
        label, logits = target.nan_to_num(0.0), logits.float()
        positive, negative = self.present * label, self.absent * (1 - label)
        each = positive * functional.softplus(-logits) + negative * functional.softplus(logits)
        return masked_mean(each, known)


def intensity_loss(steps: Tensor, intensity: Tensor) -> Tensor:
    """Binary cross-entropy of step logits [N, A, 5] against intensities [N, A], NaN where not labelled."""
    target = step_targets(intensity)
    known = ~target.isnan()
    each = functional.binary_cross_entropy_with_logits(steps.float(), target.nan_to_num(0.0), reduction="none")
    return masked_mean(each, known)


def expression_loss(logits: Tensor, expression: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of logits [N, E] against classes [N], -1 where unknown; 0 where none is known.

    ``class_weights`` is float [E]; None weighs all classes alike.
    """
    known = expression >= 0
    each = functional.cross_entropy(logits.float(), expression.clamp_min(0), class_weights, reduction="none")
    return masked_mean(each, known)


def masked_mean(values: Tensor, known: Tensor) -> Tensor:
    """Mean over the known entries of the global batch, across processes.

    Averaging this over processes, as DDP averages gradients, gives the mean that one process would compute.
    """
    count = known.sum().to(torch.float32)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(count)
        count = count / dist.get_world_size()
    total = torch.where(known, values, torch.zeros_like(values)).sum()
    return total / count.clamp_min(1e-6)

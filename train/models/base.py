"""What every model is: uint8 crops in, AU logits out, with its configuration beside its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class ModelOutput:
    """What one forward pass gives.

    Attributes:
        au_logits: float [N, A].
        features: float [N, C, h, w], the last shared feature map: what feature distillation compares.
        expression_logits: float [N, E], or None for models without an expression head.
        losses: extra loss terms by name, each a scalar, already weighted by the model's configuration; empty outside training.
    """

    au_logits: Tensor
    features: Tensor
    expression_logits: Tensor | None = None
    losses: dict[str, Tensor] = field(default_factory=dict)


class AuModel(nn.Module):
    """Base of the four models.

    Attributes:
        family: ``cednn``, ``fan-trans``, ``sma-net`` or ``eau``.
        config: a frozen dataclass of plain values (size_px, aus, expressions and the model's own sizes), stored in the
            checkpoint; ``build_model(family, config_dict)`` makes the same model again.
        takes_neutral: whether ``forward`` uses the neutral image.
    """

    family: str = ""
    takes_neutral: bool = False
    config: Any

    def forward(self, face: Tensor, neutral: Tensor | None = None) -> ModelOutput:
        """Predict.

        Args:
            face: uint8 [N, H, W, 3], RGB 0..255, a crop by the crop rule.
            neutral: the subject's neutral, same shape; models on difference images need it.
        """
        raise NotImplementedError


def to_planes(image: Tensor, mean: float = 127.5, scale: float = 1 / 127.5) -> Tensor:
    """uint8 [N, H, W, 3] to float32 [N, 3, H, W], ``(x - mean) * scale``.

    The cast comes first: TensorRT can't transpose a UINT8 tensor.
    """
    return (image.to(torch.float32).permute(0, 3, 1, 2) - mean) * scale

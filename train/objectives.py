"""Objectives: modules that hold the models being trained and turn a batch into losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .batches import Batch
from .losses import AuLoss, expression_loss, intensity_loss
from .models import AuModel, ModelOutput


def feed(model: AuModel, batch: Batch) -> ModelOutput:
    """A model's output for a batch; crops are resized to the model's input size."""
    size = model.config.size_px
    neutral = None if batch.neutral is None else resized(batch.neutral, size)
    return model(resized(batch.face, size), neutral)


def resized(image: Tensor, size_px: int) -> Tensor:
    """uint8 [N, H, W, 3] resized to squares of ``size_px``."""
    if image.shape[1] == size_px:
        return image
    planes = image.permute(0, 3, 1, 2).float()
    fitted = functional.interpolate(planes, (size_px, size_px), mode="bilinear", antialias=True)
    return fitted.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


class Objective(nn.Module):
    """Base of all objectives.

    Attributes:
        members: the models being trained, by name. These are averaged and saved in checkpoints.
    """

    def __init__(self, members: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleDict(dict(members))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Named scalar losses, already weighted; their sum is minimised."""
        raise NotImplementedError

    def judged(self, member: nn.Module) -> nn.Module:
        """The model that validation evaluates for a member or its average; by default the member itself."""
        return member


class Supervised(Objective):
    """One or more models, each learning from the labels alone.

    Args:
        members: models by name.
        au_loss: loss over AU logits.
    """

    def __init__(self, members: Mapping[str, AuModel], au_loss: AuLoss) -> None:
        super().__init__(members)
        self.au_loss = au_loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.label_losses(self.outputs(batch), batch)

    def outputs(self, batch: Batch) -> dict[str, ModelOutput]:
        """Each member's output for the batch."""
        return {name: feed(cast(AuModel, model), batch) for name, model in self.members.items()}

    def label_losses(self, outputs: Mapping[str, ModelOutput], batch: Batch) -> dict[str, Tensor]:
        """Losses against the labels, and the models' own extra terms, named ``member/term``."""
        losses: dict[str, Tensor] = {}
        for name, output in outputs.items():
            losses[f"{name}/au"] = self.au_loss(output.au_logits, batch.intensity)
            steps_of, weight = cast(AuModel, self.members[name]).intensity, self.au_loss.options.intensity_weight
            if steps_of is not None and weight > 0:
                losses[f"{name}/intensity"] = weight * intensity_loss(steps_of(output.au_logits), batch.intensity)
            weight = self.au_loss.options.expression_weight
            if output.expression_logits is not None and weight > 0:
                losses[f"{name}/expression"] = weight * expression_loss(output.expression_logits, batch.expression)
            losses |= {f"{name}/{term}": value for term, value in output.losses.items()}
        return losses

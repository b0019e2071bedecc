"""Expressions that assist: photos with one word each teach AUs through a head that training throws away.

AU labels are scarce and expression labels plentiful, which is EAU's motive (see models/eau.py). A linear head reads the
AU logits, or the features before them, and is trained to name the expressions of the photos; what it learns flows back
into the AUs. A model with an expression head of its own, as EAU has with gates both ways, uses that one instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from edgeau.runtime.action_units import EXPRESSIONS
from edgeau.runtime.errors import InputError

from .batches import Batch
from .distill import feature_channels
from .extra import unlabelled
from .losses import AuLoss, expression_loss
from .models import AuModel
from .objectives import Supervised

READS = ("aus", "features")


@dataclass(frozen=True)
class AssistOptions:
    """Choices of the assisting head.

    Attributes:
        weight: of its cross-entropy.
        reads: ``aus``, the AU logits, or ``features``, the averaged last feature map.
    """

    weight: float = 0.3
    reads: str = "aus"

    def __post_init__(self) -> None:
        if self.reads not in READS or self.weight < 0:
            got = f"{self.reads}, weight {self.weight}"
            raise InputError("assisting head", got=got, expected=f"{' or '.join(READS)}, weight 0 or more")


class Assisted(Supervised):
    """Models that learn AUs from labels and from the expressions of photos.

    Args:
        members, au_loss: as for Supervised.
        options: see AssistOptions.
    """

    def __init__(self, members: Mapping[str, AuModel], au_loss: AuLoss, options: AssistOptions) -> None:
        super().__init__(members, au_loss)
        self.options = options
        self.heads = nn.ModuleDict()
        for name, model in members.items():
            if not model.config.expressions:
                width = len(model.config.aus) if options.reads == "aus" else feature_channels(model)
                self.heads[name] = nn.Linear(width, len(EXPRESSIONS))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        outputs = self.outputs(batch)
        losses = self.label_losses(outputs, batch)
        # Rendered faces have expressions too, by the renderer's rule; the head learns from the photos alone.
        expression = torch.where(unlabelled(batch), batch.expression, torch.full_like(batch.expression, -1))
        for name, output in outputs.items():
            if name in self.heads:
                read = output.au_logits if self.options.reads == "aus" else output.features.mean(dim=(2, 3))
                loss = expression_loss(cast(nn.Linear, self.heads[name])(read), expression)
                losses[f"{name}/assist"] = self.options.weight * loss
        return losses

"""Expressions that assist: photos with one word each teach AUs through a head that training throws away.

AU labels are scarce and expression labels plentiful, which is EAU's motive (see models/eau.py). A linear head reads the
AU logits, or the features before them, and is trained to name the expressions of the photos; what it learns flows back
into the AUs. A model with an expression head of its own, as EAU has with gates both ways, uses that one instead.

The head is fitted to the photos before training starts. A random one would bend the AUs towards its own accidents until
it has learnt (Kumar et al., "Fine-Tuning can Distort Pretrained Features", ICLR 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeau.runtime.action_units import EXPRESSIONS
from edgeau.runtime.errors import InputError

from .batches import Batch, BatchOptions, plain_batches
from .data import FaceData
from .distill import feature_channels
from .extra import unlabelled
from .losses import AuLoss, expression_loss
from .models import AuModel, ModelOutput
from .objectives import Supervised, feed

READS = ("aus", "features")
_BATCH = 64
_FIT_STEPS = 100
_RIDGE = 1e-3


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

    Rare expressions count more: each class has the weight ``frequency ** -0.5``, as in EAU's smooth class weights,
    scaled so that the mean over the photos is 1.

    Args:
        members, au_loss: as for Supervised.
        options: see AssistOptions.
    """

    class_weights: Tensor

    def __init__(self, members: Mapping[str, AuModel], au_loss: AuLoss, options: AssistOptions) -> None:
        super().__init__(members, au_loss)
        self.options = options
        self.register_buffer("class_weights", torch.ones(len(EXPRESSIONS)), persistent=False)
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
                guess = cast(nn.Linear, self.heads[name])(self._read(output))
                loss = expression_loss(guess, expression, self.class_weights)
                losses[f"{name}/assist"] = self.options.weight * loss
        return losses

    def fit_heads(self, photos: FaceData, rows: np.ndarray) -> None:
        """Weigh the classes by these photos, and fit each head to what its model says of them now.

        Args:
            photos: faces with an expression each.
            rows: the samples to use.
        """
        counts = np.bincount(photos.expression[rows], minlength=len(EXPRESSIONS))
        root = np.sqrt(counts / counts.sum())
        self.class_weights.copy_(torch.from_numpy(np.where(root > 0, 1 / np.maximum(root, 1e-9), 0.0) / root.sum()))
        for name, head in self.heads.items():
            read, expression = self._readings(cast(AuModel, self.members[name]), photos, rows)
            _fit(cast(nn.Linear, head), read, expression, self.class_weights)

    @torch.no_grad()
    def _readings(self, model: AuModel, photos: FaceData, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """What the model's head reads of each photo, float [N, R], and its expression, int64 [N]."""
        training = model.training
        options = BatchOptions(size_px=model.config.size_px, batch=_BATCH, takes_neutral=model.takes_neutral)
        device = next(model.parameters()).device
        model.eval()
        batches = [batch.to(device) for batch in plain_batches(photos, rows, options)]
        read = torch.cat([self._read(feed(model, batch)) for batch in batches])
        model.train(training)
        return read, torch.cat([batch.expression for batch in batches])

    def _read(self, output: ModelOutput) -> Tensor:
        return output.au_logits if self.options.reads == "aus" else output.features.mean(dim=(2, 3))


def _fit(head: nn.Linear, read: Tensor, expression: Tensor, class_weights: Tensor) -> None:
    """Multinomial logistic regression with a small ridge, from zero."""
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=_FIT_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        ridge = torch.stack([parameter.square().sum() for parameter in head.parameters()]).sum()
        # Not `expression_loss`, whose mean is over all processes: each fits alone, and may take other steps.
        loss = functional.cross_entropy(head(read), expression, class_weights, reduction="none").mean() + _RIDGE * ridge
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)

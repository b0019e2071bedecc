"""EAU: AUs and expressions learnt together, each task taking from the other what a gate lets through.

After the abstract of the paper on expression-assisted AU detection by Liu, Shi, Liu, Liu, Mi and Murase (ICSPS 2021,
Proc. SPIE 12171, 121710R; doi 10.1117/12.2631478), which says: expression recognition and AU detection are trained
jointly, an attention gate unit between the two tasks selects useful information from each other, and a smooth
class-weighted loss counters the dominance of negative AU classes. The trunk, the gate's and the loss's formulas and all
sizes are our choice and configurable defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeau.runtime.action_units import EXPRESSIONS
from edgeau.runtime.errors import InputError

from .base import AuModel, ModelConfig, ModelOutput, Pixels, Planes
from .trunk import ResidualBlock, Trunk, average


@dataclass(frozen=True)
class EauConfig(ModelConfig):
    """Sizes of an EAU model; all are our choice.

    Attributes:
        expressions: needed: the second task.
        widths, depths: of the shared trunk, see Trunk.
        branch_width: channels of each task's branch.
        exchanges: how often the branches exchange features, each time after one residual block.
        gate_width: channels inside a gate.
        dropout: before both heads.
    """

    expressions: tuple[str, ...] = EXPRESSIONS
    widths: tuple[int, ...] = (32, 64, 128)
    depths: tuple[int, ...] = (1, 1, 2)
    branch_width: int = 96
    exchanges: int = 2
    gate_width: int = 32
    dropout: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.expressions:
            raise InputError("EAU: expressions", got="none", expected="classes of the second task")
        if not self.widths or len(self.widths) != len(self.depths) or min(self.depths) < 1:
            raise InputError("EAU: depths", got=str(self.depths), expected=f"one per stage, of {len(self.widths)}")
        if min(self.branch_width, self.exchanges, self.gate_width) < 1:
            raise InputError("EAU: branch_width, exchanges, gate_width", got="zero or less", expected="at least 1")


class AttentionGate(nn.Module):
    """What one task takes from the other: an additive attention gate (after Attention U-Net; Oktay et al., 2018).

    ``own + g * W other`` with ``g = sigmoid(psi(relu(A own + B other)))``, a gate for each channel and place.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.own = nn.Conv2d(width, inner, 1, bias=False)
        self.other = nn.Conv2d(width, inner, 1)
        self.gate = nn.Conv2d(inner, width, 1)
        self.taken = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, own: Tensor, other: Tensor) -> Tensor:
        """Both [N, width, h, w]; the same out."""
        gate = self.gate(functional.relu(self.own(own) + self.other(other))).sigmoid()
        return own + gate * self.taken(other)


class Exchange(nn.Module):
    """One residual block in each branch, then a gate each way."""

    def __init__(self, inside: int, config: EauConfig) -> None:
        super().__init__()
        width = config.branch_width
        self.au_block = ResidualBlock(inside, width)
        self.expression_block = ResidualBlock(inside, width)
        self.au_gate = AttentionGate(width, config.gate_width)
        self.expression_gate = AttentionGate(width, config.gate_width)

    def forward(self, au: Tensor, expression: Tensor) -> tuple[Tensor, Tensor]:
        au, expression = self.au_block(au), self.expression_block(expression)
        return self.au_gate(au, expression), self.expression_gate(expression, au)


class Eau(AuModel):
    """See the module's docstring. ``features`` is the shared trunk's map."""

    family = "eau"

    def __init__(self, config: EauConfig) -> None:
        super().__init__()
        self._configure(config)
        self.planes = Planes()
        self.pixels = Pixels(config.pixels)
        self.trunk = Trunk(config.widths, config.depths)
        widths = [config.widths[-1]] + [config.branch_width] * (config.exchanges - 1)
        self.exchanges = nn.ModuleList(Exchange(width, config) for width in widths)
        self.dropout = nn.Dropout(config.dropout)
        self.au_head = nn.Linear(config.branch_width, len(config.aus))
        self.expression_head = nn.Linear(config.branch_width, len(config.expressions))

    def forward(self, face: Tensor, neutral: Tensor | None = None) -> ModelOutput:  # noqa: ARG002
        features = self.trunk(self.pixels(self.planes(face)))
        au, expression = features, features
        for exchange in self.exchanges:
            au, expression = exchange(au, expression)
        return ModelOutput(
            self.au_head(self.dropout(average(au))),
            features,
            self.expression_head(self.dropout(average(expression))),
        )


def smooth_class_weights(frequency: Tensor, smoothness: float = 0.5) -> tuple[Tensor, Tensor]:
    """Weights of the present and the absent class of each AU.

    ``w_present = (0.5 / r) ** (1 - s)`` and ``w_absent = (0.5 / (1 - r)) ** (1 - s)``, scaled so that the expected
    weight of an AU's samples is 1. Smoothness 0 balances both classes fully, 1 leaves them as they are; rare AUs'
    weights would otherwise explode. Our formula.

    Args:
        frequency: share r of samples in which each AU is present, float [A], above 0 and below 1.
        smoothness: s, 0..1.

    Returns:
        Weights of present and of absent samples, each float [A].
    """
    present = (0.5 / frequency) ** (1 - smoothness)
    absent = (0.5 / (1 - frequency)) ** (1 - smoothness)
    expected = frequency * present + (1 - frequency) * absent
    return present / expected, absent / expected


def smooth_class_weighted_loss(logits: Tensor, target: Tensor, frequency: Tensor, smoothness: float = 0.5) -> Tensor:
    """Binary cross-entropy in which the classes of each AU have ``smooth_class_weights``; a scalar.

    Args:
        logits: float [N, A].
        target: float [N, A] in 0..1, NaN where not labelled: such entries don't count.
        frequency, smoothness: as for ``smooth_class_weights``.
    """
    present, absent = smooth_class_weights(frequency, smoothness)
    known = ~target.isnan()
    label = torch.where(known, target, torch.zeros_like(target))
    each = present * label * functional.softplus(-logits) + absent * (1 - label) * functional.softplus(logits)
    return (each * known).sum() / known.sum().clamp_min(1)

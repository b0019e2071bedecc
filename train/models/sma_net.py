"""SMA-Net: several attention maps for each region, kept apart by a loss and refined by attending to one another.

After the abstract of "Your 'Attention' Deserves Attention: A Self-Diversified Multi-Channel Attention for Facial Action
Analysis" (Li, Li, Yang, Zhao, Yin; FG 2021; arXiv 2203.12570) and that of its journal extension. Those say: attention
maps made from different feature maps show the same region of interest differently, that a compact model keeps them
diverse, learns the "inter-attention" correlation for refined maps, and that it serves AU and expression recognition.
The trunk, one region an AU, the number of maps and every formula below are our choice and configurable defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeau.runtime.errors import InputError

from .base import AuModel, ModelConfig, ModelOutput, Pixels, Planes
from .trunk import Trunk, average


@dataclass(frozen=True)
class SmaNetConfig(ModelConfig):
    """Sizes of an SMA-Net; all are our choice.

    Attributes:
        widths, depths: of the trunk, see Trunk.
        attention_channels: attention maps for each region; a region belongs to an AU.
        relation_width: of the queries and keys by which maps of a region attend to one another.
        diversity_weight: of the diversity loss in training.
        dropout: before the heads.
    """

    widths: tuple[int, ...] = (32, 64, 128)
    depths: tuple[int, ...] = (1, 1, 2)
    attention_channels: int = 4
    relation_width: int = 32
    diversity_weight: float = 0.1
    dropout: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.widths or len(self.widths) != len(self.depths) or min(self.depths) < 1:
            raise InputError("SMA-Net: depths", got=str(self.depths), expected=f"one per stage, of {len(self.widths)}")
        if self.attention_channels < 1 or self.widths[-1] % self.attention_channels:
            raise InputError(
                "SMA-Net: attention_channels",
                got=str(self.attention_channels),
                expected=f"a divisor of the last width, {self.widths[-1]}",
            )


class MultiChannelAttention(nn.Module):
    """Attention maps for each region, each channel from feature maps of its own.

    [N, width, h, w] to [N, regions, channels, h * w], every map summing to 1.
    """

    def __init__(self, width: int, regions: int, channels: int) -> None:
        super().__init__()
        self.regions, self.channels = regions, channels
        # Grouped: channel k reads the k-th part of the features only, for all regions.
        self.score = nn.Conv2d(width, channels * regions, 1, groups=channels)

    def forward(self, features: Tensor) -> Tensor:
        scores = self.score(features).flatten(2).unflatten(1, (self.channels, self.regions))
        return scores.softmax(dim=-1).transpose(1, 2)


class InterAttention(nn.Module):
    """Maps of one region attend to one another, and each is mixed with what it attends to."""

    def __init__(self, width: int, relation_width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, relation_width)
        self.key = nn.Linear(width, relation_width)
        self.share = nn.Parameter(torch.tensor(-1.0))

    def forward(self, maps: Tensor, seen: Tensor) -> Tensor:
        """Refine.

        Args:
            maps: [N, regions, channels, h * w].
            seen: [N, regions, channels, width], the features that each map picks.

        Returns:
            Refined maps, [N, regions, channels, h * w], every map still summing to 1.
        """
        query, key = self.query(seen), self.key(seen)
        correlation = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(dim=-1)
        share = self.share.sigmoid()
        return maps * (1 - share) + (correlation @ maps) * share


class SmaNet(AuModel):
    """See the module's docstring. In training the output's losses hold ``diversity``."""

    family = "sma-net"

    def __init__(self, config: SmaNetConfig) -> None:
        super().__init__()
        self._configure(config)
        width, regions = config.widths[-1], len(config.aus)
        self.planes = Planes()
        self.pixels = Pixels(config.pixels)
        self.trunk = Trunk(config.widths, config.depths)
        self.attention = MultiChannelAttention(width, regions, config.attention_channels)
        self.inter_attention = InterAttention(width, config.relation_width)
        self.dropout = nn.Dropout(config.dropout)
        # One linear classifier a region, on the features that all of its maps pick.
        seen = config.attention_channels * width
        self.au_weight = nn.Parameter(torch.randn(regions, seen) * seen**-0.5)
        self.au_bias = nn.Parameter(torch.zeros(regions))
        self.expression_head = nn.Linear(2 * width, len(config.expressions)) if config.expressions else None

    def forward(self, face: Tensor, neutral: Tensor | None = None) -> ModelOutput:  # noqa: ARG002
        features = self.trunk(self.pixels(self.planes(face)))
        maps = self.attention(features)
        seen = pick(features, self.inter_attention(maps, pick(features, maps)))
        # As a product of matrices: OpenVINO 2026.4 reads a multiplication and a sum wrongly from row 15, the number of
        # regions, of a batch on.
        au_logits = (self.dropout(seen.flatten(2)).unsqueeze(2) @ self.au_weight.unsqueeze(2)).flatten(1) + self.au_bias
        output = ModelOutput(au_logits, features)
        if self.expression_head is not None:
            whole = torch.cat([average(features), seen.sum(dim=(1, 2)) / maps[0, ..., 0].numel()], dim=1)
            output.expression_logits = self.expression_head(self.dropout(whole))
        if self.training and self.config.attention_channels > 1:
            output.losses["diversity"] = self.config.diversity_weight * diversity_loss(maps)
        return output


def pick(features: Tensor, maps: Tensor) -> Tensor:
    """Averages of features [N, C, h, w] under maps [N, regions, channels, h * w]: [N, regions, channels, C]."""
    values = features.flatten(2).transpose(1, 2).unsqueeze(1)
    return maps @ values


def diversity_loss(maps: Tensor) -> Tensor:
    """How alike the maps of one region are: their mean pairwise cosine, 1 where all are the same, 0 where none overlap.

    Args:
        maps: non-negative [N, regions, channels, h * w], at least two channels.
    """
    direction = functional.normalize(maps, dim=-1)
    cosine = direction @ direction.transpose(-2, -1)
    channels = maps.shape[2]
    own = cosine.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    return ((cosine.sum(dim=(-2, -1)) - own) / (channels * (channels - 1))).mean()

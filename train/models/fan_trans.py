"""FAN-Trans: features of a frozen face alignment network, one vector per AU, and a transformer across AUs.

After the abstract and the start of the introduction of "FAN-Trans: Online Knowledge Distillation for Facial Action Unit
Detection" (Yang, Shen, Lin, Hristov, Pantic; WACV 2023; arXiv 2211.06143). They name the parts: intermediate features
of a pretrained face alignment network, a small learnable add-on convolutional subnet, per-AU features, transformer
blocks with learnable attention drop, and a classifier that predicts each AU from all AUs' features. That the network
is a frozen 2-stack FAN, and which of its features are taken, is inferred from the same authors' published AU-Net. Every
layout, size and formula below is our choice and a configurable default. Distillation among peers is the trainer's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeau.runtime.errors import InputError

from .base import AuModel, ModelConfig, ModelOutput, Pixels, Planes
from .fan import ConvBlock, Fan, FanConfig, FanOutput


@dataclass(frozen=True)
class FanTransConfig(ModelConfig):
    """Sizes of a FAN-Trans. The defaults are a full-size model on 256 pixels; all but the FAN's are our choice.

    Attributes:
        fan_stacks, fan_width, fan_depth, fan_pooling: see FanConfig; the defaults fit ibug's ``2dfan2`` weights.
        difference: also use the difference from the subject's neutral: twice the difference of the FAN's features
            enters the add-on subnet by its own convolution, like that of neighbouring frames in the authors' AU-Net.
            Whether FAN-Trans does so is not known; off is the single image of its abstract.
        freeze_fan: do not train the FAN: no gradient, and batch norm uses its stored statistics.
        width: channels of the add-on subnet and of each AU's feature.
        addon_blocks: residual blocks of the add-on subnet, each followed by halving while the map is larger than 8.
        layers, heads: transformer blocks, and attention heads in each.
        expansion: width of a block's hidden layer, in multiples of ``width``.
        attention_drop: initial share of the attention between different AUs that is dropped.
        temperature: of the relaxed drop; lower is closer to dropping all or nothing.
        dropout: in transformer blocks and before the classifier.
    """

    size_px: int = 256
    fan_stacks: int = 2
    fan_width: int = 256
    fan_depth: int = 4
    fan_pooling: str = "max"
    difference: bool = False
    freeze_fan: bool = True
    width: int = 128
    addon_blocks: int = 3
    layers: int = 2
    heads: int = 4
    expansion: int = 2
    attention_drop: float = 0.1
    temperature: float = 0.5
    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        step = 4 * 2**self.fan_depth
        if self.size_px % step:
            raise InputError("FAN-Trans: size_px", got=str(self.size_px), expected=f"a multiple of {step}, by its FAN")
        if self.width % 16 or self.width % self.heads:
            raise InputError("FAN-Trans: width", got=str(self.width), expected=f"a multiple of 16 and of {self.heads}")
        if not 0 < self.attention_drop < 1:
            raise InputError("FAN-Trans: attention_drop", got=str(self.attention_drop), expected="between 0 and 1")

    @property
    def fan(self) -> FanConfig:
        """The FAN's sizes."""
        return FanConfig(self.fan_stacks, self.fan_width, self.fan_depth, self.fan_pooling)


class AttentionDrop(nn.Module):
    """Learnable attention drop: each head learns how much of AU j's attention to AU k to keep.

    In training a relaxed Bernoulli mask is drawn (the binary concrete distribution; Maddison, Mnih and Teh, ICLR 2017),
    so that the drop rates get gradients; otherwise its expectation is used, a constant. Attention of an AU to itself is
    always kept. Masks multiply the attention before it is normalised, hence are added as logarithms.
    """

    keep_self: Tensor

    def __init__(self, aus: int, heads: int, drop: float, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        keep = torch.full((heads, aus, aus), 1 - drop)
        self.keep_logit = nn.Parameter(torch.logit(keep))
        self.register_buffer("keep_self", torch.eye(aus, dtype=torch.bool), persistent=False)

    def forward(self, scores: Tensor) -> Tensor:
        """Attention scores before softmax, [N, heads, A, A], to scores of what is kept."""
        logit: Tensor = self.keep_logit
        if self.training:
            uniform = torch.rand_like(scores).clamp(1e-6, 1 - 1e-6)
            logit = (torch.logit(uniform) + logit) / self.temperature
        kept = functional.logsigmoid(logit)
        return scores + kept.masked_fill(self.keep_self, 0.0)


class TransformerBlock(nn.Module):
    """Attention among AUs and a small network for each, with norms before: [N, A, width], the same out."""

    def __init__(self, config: FanTransConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.attention_drop = AttentionDrop(len(config.aus), config.heads, config.attention_drop, config.temperature)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.hidden = nn.Sequential(
            nn.Linear(width, config.expansion * width), nn.ReLU(), nn.Linear(config.expansion * width, width)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self._attend(self.norm1(x)))
        return x + self.dropout(self.hidden(self.norm2(x)))

    def _attend(self, x: Tensor) -> Tensor:
        query, key, value = (self._split(part(x)) for part in (self.query, self.key, self.value))
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        attention = self.attention_drop(scores).softmax(dim=-1)
        return self.project((attention @ value).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """[N, A, width] to [N, heads, A, width / heads]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class PerAuFeatures(nn.Module):
    """One vector per AU: the average of the map, weighted by that AU's attention. [N, width, h, w] to [N, A, width]."""

    def __init__(self, width: int, aus: int) -> None:
        super().__init__()
        self.where = nn.Conv2d(width, aus, 1)
        self.name = nn.Parameter(torch.randn(aus, width) * 0.02)

    def forward(self, features: Tensor) -> Tensor:
        where = self.where(features).flatten(2).softmax(dim=-1)
        return where @ features.flatten(2).transpose(1, 2) + self.name


class FanTrans(AuModel):
    """See the module's docstring. A batch that also needs landmarks takes them from ``landmark_maps``."""

    family = "fan-trans"

    def __init__(self, config: FanTransConfig) -> None:
        super().__init__()
        self._configure(config)
        self.planes = Planes()
        self.pixels = Pixels(config.pixels)
        self.fan = Fan(config.fan)
        self.takes_neutral = config.difference
        self.addon = _addon(config)
        self.difference = _entry(config) if config.difference else None
        self.per_au = PerAuFeatures(config.width, len(config.aus))
        self.blocks = nn.Sequential(*(TransformerBlock(config) for _ in range(config.layers)))
        self.norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        seen = config.width * len(config.aus)
        self.classifier = nn.Linear(seen, len(config.aus))
        self.expression_classifier = nn.Linear(seen, len(config.expressions)) if config.expressions else None
        self.fan.requires_grad_(not config.freeze_fan)

    def train(self, mode: bool = True) -> FanTrans:
        super().train(mode)
        if self.config.freeze_fan:
            self.fan.eval()
        return self

    def forward(self, face: Tensor, neutral: Tensor | None = None) -> ModelOutput:
        features = self.addon[1:](self._entered(face, neutral))
        every_au = self.dropout(self.norm(self.blocks(self.per_au(features))).flatten(1))
        expression = self.expression_classifier(every_au) if self.expression_classifier is not None else None
        return ModelOutput(self.classifier(every_au), features, expression)

    def _entered(self, face: Tensor, neutral: Tensor | None) -> Tensor:
        """Input of the add-on subnet, [N, width, H / 4, W / 4]; without a neutral the difference is 0."""
        # A frozen FAN needs no `no_grad`: neither its weights nor pixels want gradients, so none are kept for it.
        seen = self.landmark_maps(face).features()
        entered: Tensor = self.addon[0](seen)
        if self.difference is not None:
            reference = seen if neutral is None else self.landmark_maps(neutral).features()
            entered = entered + self.difference(2 * (seen - reference))
        return entered

    def landmark_maps(self, face: Tensor) -> FanOutput:
        """The FAN's output for uint8 [N, H, W, 3] faces; heatmaps are [N, 68, H / 4, W / 4]."""
        output: FanOutput = self.fan(self.pixels(self.planes(face)))
        return output

    def load_fan(self, fan: Fan) -> None:
        """Load a trained FAN's weights. Raises InputError if its sizes or pooling differ."""
        if fan.config != self.config.fan:
            raise InputError("FAN weights", got=str(fan.config), expected=str(self.config.fan))
        self.fan.load_state_dict(fan.state_dict())


def _entry(config: FanTransConfig) -> nn.Sequential:
    """A FAN's features narrowed: [N, fan_width * (1 + stacks), h, h] to [N, width, h, h]."""
    return nn.Sequential(
        nn.Conv2d(config.fan_width * (1 + config.fan_stacks), config.width, 1, bias=False),
        nn.BatchNorm2d(config.width),
    )


def _addon(config: FanTransConfig) -> nn.Sequential:
    """The add-on subnet: [N, fan_width * (1 + stacks), h, h] to [N, width, h', h']."""
    layers: list[nn.Module] = [_entry(config)]
    side = config.size_px // 4
    for _ in range(config.addon_blocks):
        layers.append(ConvBlock(config.width, config.width))
        if side > 8 and side % 2 == 0:
            layers.append(nn.MaxPool2d(2))
            side //= 2
    return nn.Sequential(*layers, nn.BatchNorm2d(config.width), nn.ReLU())

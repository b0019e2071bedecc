"""CEDNN: a small network guided by where the face differs from the subject's neutral.

After the abstract of "Computational efficient deep neural network with difference attention maps for facial action unit
detection" (Chen, Wang, Wang, Liu; arXiv 2011.12082). The abstract names the parts: a difference image made by image
processing, five binary images of it by five thresholds as spatial attention maps, selectively fed into the input of
each block, group convolution with skip connections and 1x1 convolutions, and a classifier that alone depends on the
number of AUs. A related article's abstract (doi 10.1007/s10489-021-02755-y) adds that the maps are down-sampled and
added. Every size, threshold, pooling and placement below is our choice and a configurable default, not the paper's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeau.runtime.errors import InputError

from .base import AuModel, ModelConfig, ModelOutput, Pixels, Planes

# ITU-R BT.601 luma.
GREY_WEIGHTS = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class CednnConfig(ModelConfig):
    """Sizes of a CEDNN. All defaults are our choice.

    Attributes:
        difference: ``grey`` (luma of the difference) or ``max`` (the channel that differs most).
        difference_stride: the difference is averaged over squares of this side before thresholding, which keeps the
            maps small and free of sensor noise.
        thresholds: a map is 1 where the absolute difference exceeds its threshold, in grey levels 0..255.
        block_maps: for each block, the indices of the maps added at its input; blocks beyond its end get none.
        stem_width: channels of the first convolution, which has stride 2.
        widths, depths: channels and number of blocks per stage; every stage after the first halves its input.
        group_width: channels per group of the 3x3 convolutions; 1 makes them depthwise. 16 fills the vectors of
            current CPUs and the tiles of tensor cores; narrower groups cost more time than they save arithmetic.
        head_grid: side of the grid of averages that the classifier sees; 1 is global average pooling, 0 no pooling.
        dropout: before the classifier, in training.
    """

    difference: str = "grey"
    difference_stride: int = 2
    thresholds: tuple[float, ...] = (6.0, 12.0, 20.0, 32.0, 48.0)
    block_maps: tuple[tuple[int, ...], ...] = ((0,), (1,), (2,), (3,), (4,))
    stem_width: int = 32
    widths: tuple[int, ...] = (32, 64, 96, 160)
    depths: tuple[int, ...] = (1, 2, 2, 2)
    group_width: int = 16
    head_grid: int = 1
    dropout: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.difference not in ("grey", "max"):
            raise InputError("CEDNN: difference", got=repr(self.difference), expected="grey or max")
        if not self.widths or len(self.widths) != len(self.depths) or min(self.depths) < 1:
            raise InputError(
                "CEDNN: widths and depths", got=f"{self.widths} and {self.depths}", expected="one of each per stage"
            )
        if self.group_width < 1 or any(width % self.group_width for width in (self.stem_width, *self.widths)):
            raise InputError("CEDNN: group_width", got=str(self.group_width), expected="a divisor of every width")
        chosen = {number for maps in self.block_maps for number in maps}
        if len(self.block_maps) > sum(self.depths) or not chosen <= set(range(len(self.thresholds))):
            raise InputError(
                "CEDNN: block_maps",
                got=str(self.block_maps),
                expected=f"at most {sum(self.depths)} blocks, maps 0..{len(self.thresholds) - 1}",
            )
        if self.size_px % (2 ** len(self.widths)) or self.last_px % self.grid:
            raise InputError(
                "CEDNN: size_px",
                got=f"{self.size_px} with {len(self.widths)} stages and a head grid of {self.head_grid}",
                expected="a size that the stages and the grid divide",
            )
        if self.difference_stride not in (1, 2):
            raise InputError("CEDNN: difference_stride", got=str(self.difference_stride), expected="1 or 2")

    @property
    def grid(self) -> int:
        """Side of the grid that the classifier sees."""
        return self.head_grid or self.last_px

    @property
    def last_px(self) -> int:
        """Side of the last feature map."""
        return self.size_px // 2 ** len(self.widths)


class DifferenceMaps(nn.Module):
    """Face and neutral to binary attention maps, one per threshold."""

    luma: Tensor
    thresholds: Tensor

    def __init__(self, config: CednnConfig) -> None:
        super().__init__()
        self.by_channel = config.difference == "max"
        self.stride = config.difference_stride
        # Averaging and luma are both linear, so one fixed strided convolution of the signed difference does both.
        luma = torch.tensor(GREY_WEIGHTS).view(1, 3, 1, 1) / self.stride**2
        self.register_buffer("luma", luma.expand(1, 3, self.stride, self.stride).clone(), persistent=False)
        # A difference is a multiple of 0.001 / stride^2. Half of that on top keeps rounding, which differs between
        # runtimes, from deciding a comparison.
        thresholds = torch.tensor(config.thresholds).view(1, -1, 1, 1) + 0.0005 / self.stride**2
        self.register_buffer("thresholds", thresholds, persistent=False)

    def forward(self, face: Tensor, neutral: Tensor) -> Tensor:
        """Both float [N, 3, H, W], 0..255; gives 0 or 1 as float [N, maps, H / stride, W / stride]."""
        return (self.difference(face, neutral) > self.thresholds).to(face.dtype)

    def difference(self, face: Tensor, neutral: Tensor) -> Tensor:
        """The difference image: float [N, 1, H / stride, W / stride], grey levels 0..255."""
        signed = face - neutral
        if not self.by_channel:
            return nn.functional.conv2d(signed, self.luma, stride=self.stride).abs()
        if self.stride > 1:
            signed = nn.functional.avg_pool2d(signed, self.stride)
        # Slices and Max rather than Split or ReduceMax, which operator sets 17 and 18 write differently.
        each = signed.abs()
        return torch.maximum(torch.maximum(each[:, 0:1], each[:, 1:2]), each[:, 2:3])


class Block(nn.Module):
    """Grouped 3x3 and mixing 1x1 convolution with a skip, maps added at the input.

    Args:
        inside, outside: channels in and out.
        stride: 1, or 2 to halve the image.
        group_width: channels in each group of the 3x3 convolution.
        maps: numbers of the attention maps that this block takes.
    """

    def __init__(self, inside: int, outside: int, stride: int, group_width: int, maps: tuple[int, ...]) -> None:
        super().__init__()
        self.maps = maps
        # One learnable scale per map and channel. Written as a 1x1 convolution, which runtimes fuse with the addition.
        self.map_scale = nn.Conv2d(len(maps), inside, 1, bias=False) if maps else None
        self.grouped = nn.Sequential(
            nn.Conv2d(inside, inside, 3, stride, 1, groups=inside // group_width, bias=False),
            nn.BatchNorm2d(inside),
            nn.ReLU(),
        )
        self.mix = nn.Sequential(nn.Conv2d(inside, outside, 1, bias=False), nn.BatchNorm2d(outside))
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inside != outside:
            # Averaging first keeps what a strided 1x1 convolution would throw away.
            pool: nn.Module = nn.AvgPool2d(2) if stride == 2 else nn.Identity()
            self.skip = nn.Sequential(pool, nn.Conv2d(inside, outside, 1, bias=False), nn.BatchNorm2d(outside))
        self.act = nn.ReLU()

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        """Features [N, inside, h, w] and maps [N, all maps, h, w], already at this size."""
        if self.map_scale is not None:
            x = x + self.map_scale(self.chosen(maps))
        return self.act(self.mix(self.grouped(x)) + self.skip(x))

    def chosen(self, maps: Tensor) -> Tensor:
        """The maps of this block: [N, len(self.maps), h, w]."""
        return torch.cat([maps[:, number : number + 1] for number in self.maps], dim=1)


class Cednn(AuModel):
    """See the module's docstring. ``takes_neutral``; without a neutral the face is its own, and all maps are 0."""

    family = "cednn"
    takes_neutral = True

    def __init__(self, config: CednnConfig) -> None:
        super().__init__()
        self._configure(config)
        self.planes = Planes()
        self.pixels = Pixels(config.pixels)
        self.difference = DifferenceMaps(config)
        self.stem = nn.Sequential(
            nn.Conv2d(3, config.stem_width, 3, 2, 1, bias=False), nn.BatchNorm2d(config.stem_width), nn.ReLU()
        )
        self.blocks = nn.ModuleList(_blocks(config))
        self.shrink = nn.AvgPool2d(2)
        cell = config.last_px // config.grid
        self.pool: nn.Module = nn.AvgPool2d(cell) if cell > 1 else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.widths[-1] * config.grid**2, len(config.aus) + len(config.expressions))
        _initialise(self)

    def forward(self, face: Tensor, neutral: Tensor | None = None) -> ModelOutput:
        planes = self.planes(face)
        reference = planes if neutral is None else self.planes(neutral)
        maps = self.difference(planes, reference)
        features = self.features(self.pixels(planes), maps)
        logits = self.classifier(self.dropout(self.pool(features).flatten(1)))
        count = len(self.config.aus)
        expression = logits[:, count:] if self.config.expressions else None
        return ModelOutput(logits[:, :count] if self.config.expressions else logits, features, expression)

    def features(self, image: Tensor, maps: Tensor) -> Tensor:
        """Stem and blocks: image [N, 3, H, W] as Pixels gives it and maps to [N, widths[-1], last_px, last_px]."""
        x = self.stem(image)
        for number, block in enumerate(self.blocks):
            while number < len(self.config.block_maps) and maps.shape[-1] > x.shape[-1]:
                maps = self.shrink(maps)
            x = block(x, maps)
        return x


def _blocks(config: CednnConfig) -> list[Block]:
    blocks: list[Block] = []
    inside = config.stem_width
    for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
        for index in range(depth):
            number = len(blocks)
            maps = config.block_maps[number] if number < len(config.block_maps) else ()
            stride = 2 if stage > 0 and index == 0 else 1
            blocks.append(Block(inside, width, stride, config.group_width, maps))
            inside = width
    return blocks


def _initialise(model: Cednn) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

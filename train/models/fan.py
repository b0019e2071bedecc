"""FAN, the stacked-hourglass face alignment network, with the public weights' names and arithmetic.

After "How far are we from solving the 2D & 3D face alignment problem?" (Bulat and Tzimiropoulos, ICCV 2017; arXiv
1703.07332), as two public projects hold it: face-alignment (BSD-3, 4 stacks, average pooling) and ibug's face_alignment
(MIT, 2 stacks, max pooling). Parameters have their names, so that their weights load; the pooling can't be read off the
weights and must be specified. Width, depth and stacks are parameters, so that a small FAN can be trained.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeau.runtime.errors import InputError
from edgeau.runtime.files import PathLike

from .tensors_file import read_tensors

POOLINGS = ("max", "avg")


@dataclass(frozen=True)
class FanConfig:
    """Sizes of a FAN. The defaults are ibug's ``2dfan2``.

    Attributes:
        stacks: hourglasses, one after the other.
        width: channels; a multiple of 16.
        depth: number of times each hourglass halves its input.
        pooling: ``max`` (ibug's 2dfan2 and 2dfan2_alt) or ``avg`` (face-alignment's 2DFAN4 and ibug's 2dfan4).
        landmarks: heatmaps; 68 for the public weights.
    """

    stacks: int = 2
    width: int = 256
    depth: int = 4
    pooling: str = "max"
    landmarks: int = 68

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise InputError("FAN: pooling", got=repr(self.pooling), expected=" or ".join(POOLINGS))
        if self.width % 16 or min(self.width, self.stacks, self.depth, self.landmarks) < 1:
            raise InputError("FAN: sizes", got=str(self), expected="a width that 16 divides, and positive counts")


@dataclass
class FanOutput:
    """A FAN's output, all at a quarter of the image's resolution.

    Attributes:
        heatmaps: one [N, landmarks, H / 4, W / 4] per stack; the last is the best.
        stem: [N, width, H / 4, W / 4].
        stacks: one [N, width, H / 4, W / 4] per stack.
    """

    heatmaps: list[Tensor]
    stem: Tensor
    stacks: list[Tensor]

    def features(self) -> Tensor:
        """The stem, and the stacks' features where landmarks are: [N, width * (1 + stacks), H / 4, W / 4].

        The same tensor as ``return_features=True`` of ibug's FANPredictor: the stacks are multiplied by the last
        heatmaps' sum.
        """
        where = self.heatmaps[-1].sum(dim=1, keepdim=True)
        return torch.cat([self.stem, torch.cat(self.stacks, dim=1) * where], dim=1)


class ConvBlock(nn.Module):
    """Three 3x3 convolutions, each reading the one before, concatenated and added to the input: [N, in] to [N, out]."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        half, quarter = outside // 2, outside // 4
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv1 = nn.Conv2d(inside, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, quarter, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(quarter)
        self.conv3 = nn.Conv2d(quarter, quarter, 3, padding=1, bias=False)
        self.downsample: nn.Module | None = None
        if inside != outside:
            self.downsample = nn.Sequential(
                nn.BatchNorm2d(inside), nn.ReLU(), nn.Conv2d(inside, outside, 1, bias=False)
            )

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv1(functional.relu(self.bn1(x)))
        second = self.conv2(functional.relu(self.bn2(first)))
        third = self.conv3(functional.relu(self.bn3(second)))
        residual = x if self.downsample is None else self.downsample(x)
        return torch.cat([first, second, third], dim=1) + residual


class HourGlass(nn.Module):
    """Down ``depth`` times and up again, with a branch kept at each resolution: [N, width, h, w], the same out."""

    def __init__(self, config: FanConfig) -> None:
        super().__init__()
        self.config = config
        for level in range(config.depth, 0, -1):
            self.add_module(f"b1_{level}", ConvBlock(config.width, config.width))
            self.add_module(f"b2_{level}", ConvBlock(config.width, config.width))
        self.add_module("b2_plus_1", ConvBlock(config.width, config.width))
        for level in range(1, config.depth + 1):
            self.add_module(f"b3_{level}", ConvBlock(config.width, config.width))

    def forward(self, x: Tensor) -> Tensor:
        return self._level(self.config.depth, x)

    def _level(self, level: int, x: Tensor) -> Tensor:
        kept = self.get_submodule(f"b1_{level}")(x)
        low = self.get_submodule(f"b2_{level}")(pool(x, self.config.pooling))
        low = self._level(level - 1, low) if level > 1 else self.get_submodule("b2_plus_1")(low)
        low = self.get_submodule(f"b3_{level}")(low)
        return kept + functional.interpolate(low, scale_factor=2, mode="nearest")


class Fan(nn.Module):
    """See the module's docstring."""

    def __init__(self, config: FanConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.conv1 = nn.Conv2d(3, width // 4, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(width // 4)
        self.conv2 = ConvBlock(width // 4, width // 2)
        self.conv3 = ConvBlock(width // 2, width // 2)
        self.conv4 = ConvBlock(width // 2, width)
        for stack in range(config.stacks):
            self.add_module(f"m{stack}", HourGlass(config))
            self.add_module(f"top_m_{stack}", ConvBlock(width, width))
            self.add_module(f"conv_last{stack}", nn.Conv2d(width, width, 1))
            self.add_module(f"bn_end{stack}", nn.BatchNorm2d(width))
            self.add_module(f"l{stack}", nn.Conv2d(width, config.landmarks, 1))
            if stack < config.stacks - 1:
                self.add_module(f"bl{stack}", nn.Conv2d(width, width, 1))
                self.add_module(f"al{stack}", nn.Conv2d(config.landmarks, width, 1))

    def forward(self, image: Tensor) -> FanOutput:
        """Float [N, 3, H, W] RGB, as the weights expect it (public ones 0..1); sides multiples of 4 * 2^depth."""
        x = self.conv2(functional.relu(self.bn1(self.conv1(image))))
        x = self.conv4(self.conv3(pool(x, self.config.pooling)))
        output = FanOutput([], x, [])
        for stack in range(self.config.stacks):
            seen = self._part("top_m_", stack)(self._part("m", stack)(x))
            seen = functional.relu(self._part("bn_end", stack)(self._part("conv_last", stack)(seen)))
            heatmaps = self._part("l", stack)(seen)
            if stack < self.config.stacks - 1:
                # What the public code calls the stack's features is what it hands on to the next stack.
                seen = self._part("bl", stack)(seen)
                x = x + seen + self._part("al", stack)(heatmaps)
            output.heatmaps.append(heatmaps)
            output.stacks.append(seen)
        return output

    def _part(self, name: str, stack: int) -> nn.Module:
        return self.get_submodule(f"{name}{stack}")


def pool(x: Tensor, pooling: str) -> Tensor:
    """Halve the resolution."""
    return functional.max_pool2d(x, 2) if pooling == "max" else functional.avg_pool2d(x, 2)


def load_fan_weights(path: PathLike, pooling: str | None) -> Fan:
    """A FAN with weights from a file: a public one, or one trained here.

    Args:
        path: a plain state dict written by ``torch.save``, such as ibug's ``2dfan2.pth`` or face-alignment's
            ``2DFAN4-11f355bf06.pth.tar``. TorchScript archives of older releases are not read.
        pooling: ``max`` or ``avg``, or None for `public_pooling`; not stored in the file, and the wrong one gives wrong
            heatmaps.

    Returns:
        The network in eval mode; stacks, width and depth are read off the weights.

    Raises:
        InputError: missing, unreadable, or not the weights of a FAN.
    """
    what, expected = f"FAN weights {path}", "a state dict of FAN, such as 2dfan2.pth"
    weights = read_tensors(path, what, expected)
    if isinstance(weights, Mapping) and isinstance(weights.get("state_dict"), Mapping):
        weights = weights["state_dict"]
    try:
        weights = {name.removeprefix("module."): tensor for name, tensor in weights.items()}
        stacks = fan_config_of(weights, POOLINGS[0]).stacks
        fan = Fan(fan_config_of(weights, pooling or public_pooling(stacks)))
        fan.load_state_dict(weights)
    except (KeyError, AttributeError, RuntimeError, ValueError) as error:
        raise InputError(what, got="weights of something else", expected=expected) from error
    return fan.eval()


def public_pooling(stacks: int) -> str:
    """The pooling of public weights: average in the two with 4 stacks (2DFAN4, 2dfan4), maximum in those with 2."""
    return "avg" if stacks >= 4 else "max"


def fan_pixels(path: PathLike) -> str:
    """The preparation that FAN weights expect: what the metrics of the run beside them say, ``scaled`` for others."""
    try:
        metrics = json.loads((Path(path).parent / "metrics.json").read_text(encoding="utf-8"))
        return str(metrics["pixels"])
    except (OSError, ValueError, KeyError, TypeError):
        return "scaled"


def fan_config_of(weights: Mapping[str, Tensor], pooling: str) -> FanConfig:
    """The sizes that FAN weights were made with. Raises KeyError or ValueError where they are no FAN's."""
    stacks = {int(match[1]) for name in weights if (match := re.match(r"m(\d+)\.", name))}
    levels = {int(match[1]) for name in weights if (match := re.match(r"m0\.b1_(\d+)\.", name))}
    landmarks, width = weights["l0.weight"].shape[:2]
    return FanConfig(len(stacks), width, max(levels), pooling, landmarks)

"""The interface of all models: uint8 crops in, AU logits out, and a configuration stored with the weights."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest_rules import LARGEST_CROP_PX

from .intensity import IntensitySteps

C = TypeVar("C", bound="ModelConfig")
PIXELS = ("standardised", "scaled")


@dataclass(frozen=True)
class ModelConfig:
    """Configuration common to all models. Values are plain, so that checkpoints and JSON can hold them.

    Attributes:
        aus: AU names, in the order of the output.
        expressions: expression classes of the second head; empty for a model without one.
        size_px: side of the square input crop.
        intensity: whether the model also predicts intensities.
        pixels: ``standardised`` gives each crop's channels mean 0 and deviation 1; ``scaled`` divides by 255, as public
            weights and checkpoints from before this option expect.
    """

    aus: tuple[str, ...] = ()
    expressions: tuple[str, ...] = ()
    size_px: int = 112
    pixels: str = "standardised"
    intensity: bool = False

    def __post_init__(self) -> None:
        if not self.aus or len(set(self.aus)) != len(self.aus):
            raise InputError("model configuration: aus", got=str(list(self.aus)), expected="distinct AU names")
        if not 32 <= self.size_px <= LARGEST_CROP_PX or self.size_px % 16:
            expected = f"a multiple of 16 from 32 to {LARGEST_CROP_PX}"
            raise InputError("model configuration: size_px", got=str(self.size_px), expected=expected)

        if self.pixels not in PIXELS:
            raise InputError("model configuration: pixels", got=repr(self.pixels), expected=" or ".join(PIXELS))

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``config_from`` reads them back."""
        return dataclasses.asdict(self)


def config_from(kind: type[C], values: Mapping[str, Any]) -> C:
    """Build a configuration from plain values; lists become tuples.

    Raises:
        InputError: an unknown name, or a value whose type differs from its default's.
    """
    known = {f.name: f.default for f in dataclasses.fields(kind)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InputError(f"configuration of {kind.__name__}", got=f"{unknown[0]!r}", expected=", ".join(known))
    return kind(**{name: _checked(name, known[name], value) for name, value in values.items()})


def _checked(name: str, default: Any, value: Any) -> Any:
    value = _frozen(value)
    expected = float if isinstance(default, float) else type(default)
    if expected is float and type(value) is int:
        return float(value)
    if type(value) is not expected:
        raise InputError(f"configuration value {name}", got=repr(value), expected=f"{expected.__name__}: {default}")
    return value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, (list, tuple)) else value


@dataclass
class ModelOutput:
    """The result of one forward pass.

    Attributes:
        au_logits: float [N, A].
        features: float [N, C, h, w], the last shared feature map, which feature distillation compares.
        expression_logits: float [N, E], or None for models without an expression head.
        losses: extra loss terms by name, each a scalar, already weighted by the model's configuration; empty outside
            training.
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
            checkpoint; ``build_model(family, config_dict)`` builds the same architecture.
        takes_neutral: whether ``forward`` uses the neutral image.
        intensity: turns ``au_logits`` into intensity steps; None for a model that predicts presence only.
    """

    family: str = ""
    takes_neutral: bool = False
    intensity: IntensitySteps | None
    config: Any

    def forward(self, face: Tensor, neutral: Tensor | None = None) -> ModelOutput:
        """Predict.

        Args:
            face: uint8 [N, H, W, 3], RGB 0..255, a crop by the crop rule.
            neutral: the subject's neutral, same shape; required by models on difference images.
        """
        raise NotImplementedError

    def _configure(self, config: ModelConfig) -> None:
        """Set what every model has."""
        self.config = config
        self.intensity = IntensitySteps(len(config.aus)) if config.intensity else None

    if typing.TYPE_CHECKING:

        def __call__(self, face: Tensor, neutral: Tensor | None = None) -> ModelOutput: ...


class Planes(nn.Module):
    """uint8 [N, H, W, 3] to float32 [N, 3, H, W], still 0..255. A module, so that exported nodes carry its name."""

    def forward(self, image: Tensor) -> Tensor:
        # The cast comes first: TensorRT can't transpose a UINT8 tensor.
        return image.to(torch.float32).permute(0, 3, 1, 2)


class Pixels(nn.Module):
    """Planes float32 [N, 3, H, W] in 0..255 to the image that a network's first layer reads.

    Standardising takes a crop's own exposure and colour cast out. Means are written as poolings over the whole crop,
    which every operator set and TensorRT have. An even crop becomes 0: the deviation counts as at least one grey level.

    Args:
        kind: see ModelConfig.pixels.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, planes: Tensor) -> Tensor:
        # A pure scale, so that export folds it into the first convolution exactly, borders included.
        scaled = planes / 255
        if self.kind == "scaled":
            return scaled
        side = scaled.shape[-1]
        centred = scaled - functional.avg_pool2d(scaled, side)
        variance = functional.avg_pool2d(centred * centred, side)
        return centred / (variance + 255**-2).sqrt()

"""Quantization-aware fine-tuning: a student trained with simulated INT8 rounding, guided by its teacher.

For models that lose accuracy in post-training quantization. The forward pass rounds weights and activations as the
final INT8 files will; gradients pass through the rounding unchanged (the straight-through estimator; Bengio et al.,
2013, and for whole networks Jacob et al., CVPR 2018). Only training rounds. The result is an ordinary FP32 checkpoint,
so export, calibration and the steps for each target stay the same. NNCF's own training in torch would need another
path: its graphs have zero points behind Identity nodes, which no target here wants.

What is rounded follows the quantized exported graph:

- Convolutions that read pixels or features learnt from them. Those that read difference maps stay in float. A gradient
  trace distinguishes the two, because a comparison passes no gradient; it uses no names, so it covers every family.
- Weights: symmetric, one scale per output channel. Export folds batch norm into them, which multiplies whole output
  channels; rounding gives the same integers before and after, so nothing is folded here.
- Inputs: one scale per tensor, symmetric and signed, as TensorRT expects. That is the coarsest of the targets:
  unsigned values after a ReLU, as in ONNX Runtime and OpenVINO, have twice as many steps.
- Linear layers stay in float: classifiers do in INT8 files too, and the others are a small part of the arithmetic. The
  inputs of a skip's addition are not rounded separately.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.func import functional_call

from edgeau.runtime.errors import InputError
from edgeau.train.models.base import Planes

from .batches import Batch
from .distill import Distilled, DistillOptions
from .losses import AuLoss
from .models import AuModel, ModelOutput
from .objectives import feed

WEIGHT_LEVELS, INPUT_LOW, INPUT_HIGH = 127, -128, 127
_TINY = 1e-12


@dataclass(frozen=True)
class QatOptions:
    """Choices of quantization-aware fine-tuning; the defaults are ours.

    Attributes:
        settle_steps: batch norm statistics follow the rounded network for this many steps and are then frozen, so that
            the network trained at the end is the one that is exported.
        range_decay: the range of an input is the largest magnitude seen, which decays by this factor each step.
            Calibration uses the maximum over all its crops, hence a maximum rather than a mean.
    """

    settle_steps: int = 100
    range_decay: float = 0.99

    def __post_init__(self) -> None:
        if self.settle_steps < 0 or not 0 < self.range_decay <= 1:
            raise InputError(
                "quantization-aware training", got=f"settle {self.settle_steps}, range decay {self.range_decay}",
                expected="0 steps or more, and a decay above 0 and up to 1",
            )  # fmt: skip


def rounded_weight(weight: Tensor) -> Tensor:
    """A kernel [out, in / groups, h, w] rounded to 255 levels per output channel; gradients pass unchanged."""
    scale = weight.detach().abs().amax(dim=tuple(range(1, weight.dim()))).clamp_min(_TINY).float() / WEIGHT_LEVELS
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -WEIGHT_LEVELS, WEIGHT_LEVELS)


def rounded_input(x: Tensor, limit: Tensor) -> Tensor:
    """A tensor rounded to 256 levels from ``-limit`` to ``limit``; gradients pass only within this range."""
    scale = limit.clamp_min(_TINY).float() / INPUT_HIGH
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_tensor_affine(x.float(), scale, zero, INPUT_LOW, INPUT_HIGH).to(x.dtype)


class Ranges(nn.Module):
    """Largest magnitude at the input of each rounded convolution, tracked while the model trains.

    Args:
        model: the model whose convolutions are to be rounded; traced once.
        decay: see QatOptions.

    Attributes:
        layers: names of the convolutions.
        limit: float [layers]; part of the state to resume from, but not of checkpoints.
    """

    limit: Tensor

    def __init__(self, model: AuModel, decay: float) -> None:
        super().__init__()
        self.layers, self.decay = rounded_layers(model), decay
        self.register_buffer("limit", torch.zeros(len(self.layers), device=next(model.parameters()).device))

    @torch.no_grad()
    def follow(self, number: int, x: Tensor) -> None:
        """Update the range of layer ``number`` with its next input, over all processes."""
        limit = torch.maximum(self.limit[number] * self.decay, x.detach().abs().amax().float())
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(limit, dist.ReduceOp.MAX)
        self.limit[number] = limit


class AsInt8(AuModel):
    """A model that rounds as its INT8 files will. It has no weights of its own; it uses the model's.

    Args:
        model: the model, which keeps its weights, buffers and mode.
        ranges: of the inputs; updated while the model is in training mode.
    """

    def __init__(self, model: AuModel, ranges: Ranges) -> None:
        super().__init__()
        self.model, self.ranges = model, ranges
        self.family, self.config, self.takes_neutral = model.family, model.config, model.takes_neutral
        self.intensity = model.intensity
        self.training = model.training

    def forward(self, face: Tensor, neutral: Tensor | None = None) -> ModelOutput:
        names = [f"{name}.weight" for name in self.ranges.layers]
        rounded = {name: rounded_weight(self.model.get_parameter(name)) for name in names}
        with self._rounding_inputs():
            output: ModelOutput = functional_call(self.model, rounded, (face, neutral))
        return output

    @contextmanager
    def _rounding_inputs(self) -> Iterator[None]:
        with ExitStack() as hooks:
            for number, name in enumerate(self.ranges.layers):
                layer = self.model.get_submodule(name)
                hooks.enter_context(_removed(layer.register_forward_pre_hook(self._rounder(number))))
            yield

    def _rounder(self, number: int) -> Any:
        def before(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            if self.model.training:
                self.ranges.follow(number, inputs[0])
            return (rounded_input(inputs[0], self.ranges.limit[number]), *inputs[1:])

        return before


class QuantizationAware(Distilled):
    """A student that rounds like INT8, learning from labels and from a teacher that does not (its own float self, say).

    Args:
        members, au_loss, teacher, options: as for Distilled; one member.
        qat: see QatOptions.

    Raises:
        InputError: teacher and student share no AU, or the student has no convolution to round.
    """

    steps: Tensor

    def __init__(
        self,
        members: Mapping[str, AuModel],
        au_loss: AuLoss,
        teacher: AuModel,
        options: DistillOptions,
        qat: QatOptions = QatOptions(),
    ) -> None:
        super().__init__(members, au_loss, teacher, options)
        ((self._name, model),) = members.items()
        self.qat = qat
        self.ranges = Ranges(model, qat.range_decay)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def outputs(self, batch: Batch) -> dict[str, ModelOutput]:
        student = self.members[self._name]
        assert isinstance(student, AuModel)
        if self.steps >= self.qat.settle_steps:
            freeze_statistics(student)
        self.steps += 1
        return {self._name: feed(AsInt8(student, self.ranges), batch)}

    def judged(self, member: nn.Module) -> AuModel:
        assert isinstance(member, AuModel)
        return AsInt8(member, self.ranges)


def freeze_statistics(model: nn.Module) -> None:
    """Make batch norm use its stored statistics without updating them, in training too."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def rounded_layers(model: AuModel) -> tuple[str, ...]:
    """Names of the convolutions whose input depends on the pixels with a gradient, in execution order.

    Raises:
        InputError: there are none.
    """
    names: dict[nn.Module, str] = {m: name for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    traced: dict[str, None] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].requires_grad:
            traced[names[layer]] = None

    def want_gradient(_planes: nn.Module, _inputs: Any, pixels: Tensor) -> Tensor:
        return pixels.detach().requires_grad_()

    size, training = model.config.size_px, model.training
    blank = torch.zeros(1, size, size, 3, dtype=torch.uint8, device=next(model.parameters()).device)
    learning = [parameter.requires_grad_(False) for parameter in model.parameters() if parameter.requires_grad]
    with ExitStack() as hooks, torch.enable_grad():
        for module in model.modules():
            if isinstance(module, Planes):
                hooks.enter_context(_removed(module.register_forward_hook(want_gradient)))
        for layer in names:
            hooks.enter_context(_removed(layer.register_forward_pre_hook(note)))
        model.eval()(blank, blank if model.takes_neutral else None)
    for parameter in learning:
        parameter.requires_grad_()
    model.train(training)
    if not traced:
        raise InputError(f"{model.family} student", got="no convolution over pixels", expected="one for INT8 to round")
    return tuple(traced)


@contextmanager
def _removed(handle: torch.utils.hooks.RemovableHandle) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()

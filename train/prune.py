"""Structured pruning of a CEDNN: remove whole channel groups and keep a smaller, dense model.

Channels belong to spaces: one for the stem, and one per stage, whose skips tie its blocks together. If a skip without a
convolution joins the stem to the first stage, the two share a space. Within a space, whole groups of the grouped
convolutions are kept or dropped, so the group width, which makes these convolutions fast, does not change.

The importance of a group is how strongly its channels are written times how strongly they are read: the scale of the
batch norms that write them (as in network slimming; Liu et al., ICCV 2017), times the L1 norm of the kernels that read
them. The product does not change when a factor moves from one to the other. The formula is our choice.

The pruned weights alone promise no accuracy: they are the starting point for fine-tuning or distillation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from edgeau.runtime.errors import InputError
from edgeau.train.models.cednn import Block, Cednn

from .checkpoint import Checkpoint, model_from_checkpoint

STEM = 0


@dataclass(frozen=True)
class _Place:
    """A block, its path in the state dict, and the spaces that it reads and writes: STEM, or a stage counted from 1."""

    block: Block
    path: str
    reads: int
    writes: int


def prune_checkpoint(checkpoint: Checkpoint, share: float) -> Checkpoint:
    """A smaller model's checkpoint, without metrics, which belong to the larger model.

    Args:
        checkpoint: of a CEDNN.
        share: of each space's channels to drop, above 0 and below 1; rounded to whole groups, at least one is kept.

    Raises:
        InputError: another family, an impossible share, or one that removes no group.
    """
    model = model_from_checkpoint(checkpoint)
    if not isinstance(model, Cednn):
        raise InputError("--prune", got=f"a {checkpoint.family}", expected="a cednn, whose channels can be dropped")
    smaller = prune(model, share)
    source = {name: value for name, value in checkpoint.provenance.items() if name != "metrics"}
    return replace(
        checkpoint, config=smaller.config.to_dict(), state_dict=smaller.state_dict(), trainer=None,
        provenance={**source, "pruned": share},
    )  # fmt: skip


def prune(model: Cednn, share: float) -> Cednn:
    """A smaller model with the weights of the most important groups, in eval mode; ``model`` is unchanged."""
    if not 0 < share < 1:
        raise InputError("--prune", got=str(share), expected="a share above 0 and below 1, such as 0.3")
    kept = _choose(model, share)
    stem_width, *widths = (len(channels) for channels in kept)
    config = replace(model.config, stem_width=stem_width, widths=tuple(widths))
    if config == model.config:
        raise InputError(
            "--prune", got=str(share), expected=f"enough to drop one group of {config.group_width} channels somewhere"
        )
    smaller = Cednn(config)
    smaller.load_state_dict(_sliced(model, kept))
    return smaller.eval()


def _places(model: Cednn) -> Iterator[_Place]:
    number, reads = 0, STEM
    for stage, depth in enumerate(model.config.depths, 1):
        for _ in range(depth):
            block = model.blocks[number]
            assert isinstance(block, Block)
            yield _Place(block, f"blocks.{number}.", reads, stage)
            number, reads = number + 1, stage


def _choose(model: Cednn, share: float) -> list[Tensor]:
    """Channels to keep in each space, int64, ascending."""
    group = model.config.group_width
    scores = [score.view(-1, group).sum(1) for score in _strengths(model)]
    tied = isinstance(next(_places(model)).block.skip, nn.Identity)
    if tied:
        scores[:2] = [scores[0] + scores[1]] * 2
    counts = [max(1, round(len(score) * (1 - share))) for score in scores]
    if not tied and counts[0] == counts[1]:
        # With equal widths, the skip between the two would lose its convolution.
        counts[0 if len(scores[0]) > len(scores[1]) else 1] += 1
    kept = (score.topk(count).indices.sort().values for score, count in zip(scores, counts, strict=True))
    return [(groups[:, None] * group + torch.arange(group)).flatten() for groups in kept]


@torch.no_grad()
def _strengths(model: Cednn) -> list[Tensor]:
    """Importance of each channel of each space."""
    widths = (model.config.stem_width, *model.config.widths)
    written, read = ([torch.zeros(width) for width in widths] for _ in range(2))
    written[STEM] += _scale(model.stem[1])
    for place in _places(model):
        block = place.block
        if block.map_scale is not None:
            written[place.reads] += block.map_scale.weight.abs().sum((1, 2, 3))
        read[place.reads] += _scale(block.grouped[1]) * _read_norm(block.mix[0])
        written[place.writes] += _scale(block.mix[1])
        if isinstance(block.skip, nn.Sequential):
            read[place.reads] += _read_norm(block.skip[1])
            written[place.writes] += _scale(block.skip[2])
    read[-1] += model.classifier.weight.abs().sum(0).view(widths[-1], -1).sum(1)
    return [first * second for first, second in zip(written, read, strict=True)]


def _scale(norm: nn.Module) -> Tensor:
    assert isinstance(norm, nn.BatchNorm2d)
    return norm.weight.abs()


def _read_norm(mixing: nn.Module) -> Tensor:
    """L1 norm, by input channel, of a 1x1 convolution's kernel."""
    assert isinstance(mixing, nn.Conv2d)
    return mixing.weight.abs().sum((0, 2, 3))


def _sliced(model: Cednn, kept: list[Tensor]) -> dict[str, Tensor]:
    """The weights of the channels that are kept, under the same names."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def keep(prefix: str, outside: Tensor, inside: Tensor | None = None) -> None:
        for name in [name for name in state if name.startswith(prefix) and state[name].dim() > 0]:
            state[name] = state[name][outside] if inside is None else state[name][outside][:, inside]

    keep("stem.", kept[STEM])
    for place in _places(model):
        inside, outside = kept[place.reads], kept[place.writes]
        keep(f"{place.path}map_scale.", inside)
        keep(f"{place.path}grouped.", inside)
        keep(f"{place.path}mix.0.", outside, inside)
        keep(f"{place.path}mix.1.", outside)
        keep(f"{place.path}skip.1.", outside, inside)
        keep(f"{place.path}skip.2.", outside)
    cells = model.config.grid**2
    columns = (kept[-1][:, None] * cells + torch.arange(cells)).flatten()
    state["classifier.weight"] = state["classifier.weight"][:, columns]
    return state

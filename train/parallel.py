"""Training in several processes, started by ``torchrun``, which average gradients and share batch statistics.

Each process takes its share of every batch, and batch normalisation uses the whole batch, so that the loss curve is
that of one process (up to rounding, and dropout, whose random numbers differ).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from edgeau.runtime.errors import InputError

# The others wait while the first process crops a data set, which takes hours; torch gives up after 10 or 30 minutes.
_LONGEST_WAIT = timedelta(days=2)


@dataclass(frozen=True)
class World:
    """This process: ``rank`` of ``size``, on ``device``."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process evaluates, writes and reports."""
        return self.rank == 0


@contextmanager
def joined_world(device: str) -> Iterator[World]:
    """Join the processes that ``torchrun`` started (according to its environment variables), or be the only one.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        InputError: this machine does not have that device.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = find_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if size == 1:
        yield World(0, 1, chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_LONGEST_WAIT)
    try:
        yield World(dist.get_rank(), dist.get_world_size(), chosen)
    finally:
        dist.destroy_process_group()


@contextmanager
def first_then_others(world: World) -> Iterator[None]:
    """A block that the first process runs before the others begin it, so that what it leaves on disk is made once."""
    if world.size > 1 and not world.first:
        dist.barrier()
    yield
    if world.size > 1 and world.first:
        dist.barrier()


def distribute(module: nn.Module, world: World) -> nn.Module:
    """The module for training: itself, or wrapped so that processes share gradients and batch statistics."""
    if world.size == 1:
        return module
    if world.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(module)
    else:
        for child in module.modules():
            if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
                child.forward = _SharedStatistics(child)  # type: ignore[assignment, method-assign]
    return DistributedDataParallel(module, broadcast_buffers=False)


def any_process(flag: bool, world: World) -> bool:
    """Whether the flag is set in any process; all processes get the same answer."""
    if world.size == 1:
        return flag
    votes = torch.tensor([float(flag)], device=world.device)
    dist.all_reduce(votes)
    return bool(votes.item() > 0)


def mean_over_processes(values: Mapping[str, Tensor], world: World) -> dict[str, float]:
    """Scalars averaged over the processes: what one process would have computed from the whole batch."""
    stacked = torch.stack([value.float() for value in values.values()])
    if world.size > 1:
        dist.all_reduce(stacked)
    return dict(zip(values, (stacked / world.size).tolist(), strict=True))


class _SharedStatistics:
    """Forward pass of batch normalisation over the batches of all processes, for devices without SyncBatchNorm.

    torch's SyncBatchNorm needs an accelerator. Mean and variance come from all-reduced sums, through which gradients
    flow back to every process.
    """

    def __init__(self, module: _BatchNorm) -> None:
        self.module = module

    def __call__(self, x: Tensor) -> Tensor:
        module = self.module
        if not module.training:
            return type(module).forward(module, x)
        dtype, x = x.dtype, x.float()  # statistics in fp32, as in torch under autocast
        over = [d for d in range(x.dim()) if d != 1]
        count = x.numel() / x.shape[1] * dist.get_world_size()
        mean = all_reduce(x.sum(over)) / count
        shape = [1, -1] + [1] * (x.dim() - 2)
        centred = x - mean.view(shape)
        variance = all_reduce(centred.square().sum(over)) / count
        self._remember(mean.detach(), variance.detach() * count / max(count - 1, 1))
        result = centred * torch.rsqrt(variance + module.eps).view(shape)
        if module.affine:
            result = result * module.weight.view(shape) + module.bias.view(shape)
        return result.to(dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        module = self.module
        if module.running_mean is None or module.running_var is None or module.num_batches_tracked is None:
            return
        module.num_batches_tracked.add_(1)
        momentum = module.momentum if module.momentum is not None else 1.0 / float(module.num_batches_tracked)
        module.running_mean.lerp_(mean, momentum)
        module.running_var.lerp_(variance, momentum)


def find_device(name: str, local_rank: int = 0) -> torch.device:
    """The device of that name; ``auto`` is CUDA if available. Raises InputError if the device can't be used."""
    if name == "auto":
        name = f"cuda:{local_rank}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        got = str(error).splitlines()[0]
        raise InputError(f"device {name}", got=got, expected="cpu, or cuda if torch sees a GPU") from error
    return device

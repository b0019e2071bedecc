"""The training loop shared by all models.

AdamW, a cosine schedule with warm-up, gradient clipping, mixed precision, averaged weights (EMA), early stopping on a
validation score, and a state from which a run resumes to the same numbers.
"""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from edgeau.runtime.errors import EdgeauError, InputError

from .batches import Batch
from .objectives import Objective
from .parallel import World, any_process, distribute, mean_over_processes

M = TypeVar("M", bound=nn.Module)
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class TrainOptions:
    """How to train. The defaults are our choice.

    Attributes:
        steps: optimiser steps.
        lr: peak learning rate, reached after ``warmup_steps`` and lowered to ``lr * final_lr`` along a cosine.
        weight_decay: applied to matrices and kernels, not to biases and normalisations.
        clip_norm: largest norm of the gradient; 0 turns clipping off.
        ema_decay: decay of the averaged weights, which are the ones evaluated and saved.
        precision: ``auto`` is bf16 where the device computes in it (CUDA from Ampere, CPUs with AVX-512 BF16 or AMX),
            fp16 on other CUDA devices and fp32 elsewhere. Weights and optimiser stay in fp32.
        eval_every: steps between validations.
        patience: stop after this many validations without improvement; 0 never stops early.
        log_every: steps between log entries.
    """

    steps: int = 2000
    lr: float = 2e-3
    warmup_steps: int = 100
    final_lr: float = 0.01
    weight_decay: float = 0.02
    clip_norm: float = 5.0
    ema_decay: float = 0.998
    precision: str = "auto"
    eval_every: int = 200
    patience: int = 0
    log_every: int = 20

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError("precision", got=repr(self.precision), expected=", ".join(PRECISIONS))
        if self.steps < 1 or self.eval_every < 1 or self.log_every < 1:
            raise InputError("steps, eval_every, log_every", got=f"{self.steps}, {self.eval_every}, {self.log_every}",
                             expected="1 or more")  # fmt: skip


class BatchSource(Protocol):
    """A source of training batches."""

    def start(self, step: int) -> Generator[Batch, None, None]:
        """Batches from ``step`` on, until the iterator is closed."""


class Log(Protocol):
    """Receives the losses and scores of the training loop."""

    def losses(self, step: int, values: Mapping[str, float]) -> None:
        """Losses and learning rate at a step."""

    def score(self, step: int, values: Mapping[str, float]) -> None:
        """Validation scores, by member."""


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        step: optimiser steps done.
        best: best validation score so far, by member.
        stale: validations since the last improvement.
    """

    step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    stale: int = 0


class Ema(Generic[M]):
    """Exponential moving average of a module's weights; buffers are copied."""

    def __init__(self, module: M, decay: float) -> None:
        self.module: M = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Update with the weights after ``step`` steps; the first steps weigh more, to forget the initial weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        learned = [
            (a, p) for a, p in zip(self.module.parameters(), module.parameters(), strict=True) if p.requires_grad
        ]
        if learned:
            averages, values = zip(*learned, strict=True)
            torch._foreach_lerp_(list(averages), [v.detach() for v in values], 1 - decay)
        for average, value in zip(self.module.buffers(), module.buffers(), strict=True):
            average.copy_(value)


class Trainer:
    """Trains the members of an objective.

    Args:
        objective: what to minimise, already on the world's device.
        batches: source of training batches.
        options: see TrainOptions.
        world: this process (see World).
        score: validation score of a member's averaged weights, higher is better; None disables validation.
        keep: called with name, averaged member and step whenever a member reaches its best score, or at the end if
            there is no ``score``.
        save: called with the state to resume from, after every validation and on interruption.
        log: receives losses and scores.
    """

    def __init__(
        self,
        objective: Objective,
        batches: BatchSource,
        options: TrainOptions,
        world: World,
        *,
        score: Callable[[nn.Module], float] | None,
        keep: Callable[[str, nn.Module, int], None],
        save: Callable[[dict[str, Any]], None],
        log: Log,
    ) -> None:
        self.objective, self.batches, self.options, self.world = objective, batches, options, world
        self.score, self.keep, self.save, self.log = score, keep, save, log
        self.ema = Ema(objective.members, options.ema_decay)
        self.parallel = distribute(objective, world)
        self.optimizer = torch.optim.AdamW(_groups(objective, options.weight_decay), lr=options.lr, betas=(0.9, 0.99))
        self.dtype = autocast_dtype(options.precision, world.device)
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=self.dtype == torch.float16)
        self.progress = Progress()
        self.waited_s = 0.0

    def fit(self) -> None:
        """Train to the last step, or until validation stops improving.

        Raises:
            KeyboardInterrupt: after Ctrl-C or SIGTERM, once the state has been saved.
            EdgeauError: the loss is no longer finite.
        """
        progress, options = self.progress, self.options
        self.objective.train()
        with closing(self.batches.start(progress.step)) as batches, _interruption() as interrupted:
            while progress.step < options.steps and not self._stale():
                losses = self._step(self._next(batches))
                progress.step += 1
                self.ema.update(self.objective.members, progress.step)
                if progress.step % options.log_every == 0 or progress.step == 1:
                    self._report(losses)
                if progress.step % options.eval_every == 0 or progress.step == options.steps:
                    self._validate()
                if any_process(interrupted.is_set(), self.world):
                    self._save()
                    raise KeyboardInterrupt
        self._finish()

    def state(self) -> dict[str, Any]:
        """Everything needed to resume, as plain values and tensors."""
        cuda = self.world.device.type == "cuda"
        return {
            "objective": self.objective.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state() if cuda else None},
            "progress": {"step": self.progress.step, "best": dict(self.progress.best), "stale": self.progress.stale},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a state. Raises InputError if it belongs to other models."""
        try:
            self.objective.load_state_dict(state["objective"])
            self.ema.module.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise InputError("state to resume from", got="that of other models", expected="that of this run") from error
        self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"]["cpu"])
        if state["random"]["cuda"] is not None and self.world.device.type == "cuda":
            torch.cuda.set_rng_state(state["random"]["cuda"])
        self.progress = Progress(**state["progress"])

    def _next(self, batches: Iterator[Batch]) -> Batch:
        began = time.perf_counter()
        batch = next(batches)
        self.waited_s += time.perf_counter() - began
        return batch.to(self.world.device)

    def _step(self, batch: Any) -> dict[str, Tensor]:
        rate = learning_rate(self.progress.step, self.options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.world.device.type, self.dtype, enabled=self.dtype is not None):
            losses: dict[str, Tensor] = self.parallel(batch)
        total = torch.stack([value.float() for value in losses.values()]).sum()
        self.scaler.scale(total).backward()
        self.scaler.unscale_(self.optimizer)
        if self.options.clip_norm > 0:
            learned = [p for p in self.objective.parameters() if p.requires_grad]
            nn.utils.clip_grad_norm_(learned, self.options.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return {"loss": total.detach(), **{name: value.detach() for name, value in losses.items()}}

    def _report(self, losses: Mapping[str, Tensor]) -> None:
        values = mean_over_processes(losses, self.world)
        if not math.isfinite(values["loss"]):
            raise EdgeauError(f"the loss is {values['loss']} at step {self.progress.step}; use a smaller --lr")
        values["lr"] = learning_rate(self.progress.step - 1, self.options)
        if self.world.first:
            self.log.losses(self.progress.step, values)

    def _validate(self) -> None:
        if self.score is None:
            self._save()
            return
        improved = False
        if self.world.first:
            scores = {name: self.score(member) for name, member in self.ema.module.items()}
            self.log.score(self.progress.step, scores)
            for name, value in scores.items():
                if value > self.progress.best.get(name, -math.inf):
                    self.progress.best[name] = value
                    self.keep(name, self.ema.module[name], self.progress.step)
                    improved = True
        improved = any_process(improved, self.world)
        self.progress.stale = 0 if improved else self.progress.stale + 1
        self._save()

    def _stale(self) -> bool:
        return 0 < self.options.patience <= self.progress.stale

    def _save(self) -> None:
        if self.world.first:
            self.save(self.state())

    def _finish(self) -> None:
        if self.world.first and self.score is None:
            for name, member in self.ema.module.items():
                self.keep(name, member, self.progress.step)


def learning_rate(step: int, options: TrainOptions) -> float:
    """Linear warm-up, then a cosine from ``lr`` to ``lr * final_lr`` (Loshchilov and Hutter, 2017)."""
    warmup = min(options.warmup_steps, options.steps // 2)
    if step < warmup:
        return options.lr * (step + 1) / warmup
    done = (step - warmup) / max(1, options.steps - warmup)
    low = options.lr * options.final_lr
    return low + (options.lr - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The type of mixed precision on this device; None for plain fp32."""
    if precision == "auto":
        if device.type != "cuda":
            return torch.bfloat16 if cpu_computes_bf16() else None
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def cpu_computes_bf16() -> bool:
    """Whether this CPU has instructions for bf16; without them torch emulates it, slower than fp32."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def _groups(objective: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    learned = [p for p in objective.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learned if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() <= 1], "weight_decay": 0.0},
    ]


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """An event set by Ctrl-C and SIGTERM, so that the current step finishes; a second signal interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""A run's log: a progress bar on standard error, a history in JSON lines, and TensorBoard if it is installed."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm


class RunLog:
    """Log of one run.

    Args:
        out: the run's folder; values go to ``history.jsonl``, TensorBoard events to ``tensorboard/``.
        steps: total number of steps.
        resume: append to the logs of an interrupted run.
        enabled: False in processes other than the first.
    """

    def __init__(self, out: Path, steps: int, *, resume: bool = False, enabled: bool = True) -> None:
        self._bar = tqdm(total=steps, unit="step", file=sys.stderr, disable=not enabled, mininterval=1.0)
        self._history = None
        self._board: Any = None
        if enabled:
            out.mkdir(parents=True, exist_ok=True)
            if not resume:
                shutil.rmtree(out / "tensorboard", ignore_errors=True)
            self._history = (out / "history.jsonl").open("a" if resume else "w", encoding="utf-8")
            self._board = _tensorboard(out / "tensorboard")

    def losses(self, step: int, values: Mapping[str, float]) -> None:
        """Losses and learning rate of a step."""
        self._bar.update(step - self._bar.n)
        self._bar.set_postfix(loss=f"{values['loss']:.4f}", refresh=False)
        self._write(step, "train", values)

    def score(self, step: int, values: Mapping[str, float]) -> None:
        """Validation scores, by member."""
        self._bar.set_description(" ".join(f"{name} {value:.3f}" for name, value in values.items()), refresh=False)
        self._write(step, "val", values)

    def _write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        if self._history is not None:
            self._history.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
            self._history.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        if self._history is not None:
            self._history.close()
        if self._board is not None:
            self._board.close()


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))

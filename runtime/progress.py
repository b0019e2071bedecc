"""Progress of a long run: a bar in a terminal, and a line every few seconds elsewhere."""

from __future__ import annotations

import time

from .terminal import Status, note

_BAR_EVERY_S, _NOTE_EVERY_S = 0.2, 5.0
_BAR_CELLS, _NAME_CELLS = 24, 24


class ProgressBar:
    """Counts the frames of one source.

    Args:
        name: of the source.
        total: how many frames there are; 0 if unknown.
    """

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total, self.done = name, total, 0
        self._status = Status()
        self._every_s = _BAR_EVERY_S if self._status.visible else _NOTE_EVERY_S
        self._started = self._shown = time.monotonic()

    @property
    def per_second(self) -> float:
        """Frames per second so far."""
        return self.done / max(1e-9, time.monotonic() - self._started)

    def step(self) -> None:
        """Count a frame."""
        self.done += 1
        now = time.monotonic()
        if now - self._shown < self._every_s:
            return
        self._shown = now
        if self._status.visible:
            self._status.show(f"{self._name[:_NAME_CELLS]}  {self._bar()}  {self.per_second:.0f} frames/s")
        else:
            note(f"{self.done} of {self._total or '?'} frames, {self.per_second:.0f} per second")

    def _bar(self) -> str:
        """The bar, the share that is done, and the time that is left; the number of frames if the end is unknown."""
        if not self._total:
            return f"{self.done} frames"
        share = min(1.0, self.done / self._total)
        filled = round(share * _BAR_CELLS)
        left_s = max(0, self._total - self.done) / self.per_second
        bar = "#" * filled + "-" * (_BAR_CELLS - filled)
        return f"[{bar}] {share:4.0%}  {int(left_s // 60)}:{int(left_s % 60):02d} left"

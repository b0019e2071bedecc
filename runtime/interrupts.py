"""Turn signals that end a command into exceptions, so that files are closed and results kept."""

from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType
from typing import Iterator, Optional

# SIGINT is Python's own: it raises KeyboardInterrupt.
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """A signal other than Ctrl-C asked this process to end.

    Args:
        number: the signal's number.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def exit_code(error: KeyboardInterrupt) -> int:
    """The exit code that shells expect: 128 plus the signal's number, 130 for Ctrl-C."""
    return 128 + (error.number if isinstance(error, Terminated) else signal.SIGINT)


@contextlib.contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise Terminated if the process is asked to end while the block runs.

    A signal that is ignored (as under ``nohup``) or already handled is left alone. Only the main thread can do this;
    elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    mine = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in mine:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


def _raise(number: int, _frame: Optional[FrameType]) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the closing
    raise Terminated(number)

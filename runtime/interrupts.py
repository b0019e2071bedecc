"""Signals that end a command: each becomes an exception, so that what was computed is closed and kept."""

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
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def exit_code(error: KeyboardInterrupt) -> int:
    """What a shell expects: 128 and the signal's number, 130 for Ctrl-C."""
    return 128 + (error.number if isinstance(error, Terminated) else signal.SIGINT)


@contextlib.contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise Terminated where the process is asked to end while the block runs.

    A signal that is ignored (as under ``nohup``) or handled already stays so. Only the main thread can do this;
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

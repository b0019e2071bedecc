"""Live sources: cameras and streams, of which only the newest frame is kept.

A thread reads continuously and keeps one frame. A consumer slower than the camera gets the newest frame and skips those
in between, so that its results are never older than one call. A lost connection is reopened, with waits that double.
"""

from __future__ import annotations

import threading
import time
import warnings
from dataclasses import dataclass
from typing import Callable, Iterator, Optional, Tuple

import numpy as np

from .errors import EdgeauWarning, InputError
from .video import Capture


@dataclass(frozen=True)
class Retry:
    """When to retry a lost connection.

    Attributes:
        first_wait_s: wait before the first attempt; doubles up to ``longest_wait_s``.
        give_up_s: the source has failed after this long without a frame.
    """

    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0
    give_up_s: float = 60.0


class LiveSource:
    """The newest frame of a camera or stream.

    Args:
        capture: the source, opened.
        name: for messages.
        connect: reopens the source after it was lost; raises InputError if it can't. None for a source that is not
            reopened.
        retry: when to try.

    Attributes:
        read_count: number of frames read.
        reconnects: number of times a lost connection was reopened.
    """

    def __init__(
        self, capture: Capture, name: str, connect: Optional[Callable[[], Capture]] = None, retry: Retry = Retry()
    ) -> None:
        self.name, self.read_count, self.reconnects = name, 0, 0
        self._capture, self._connect, self._retry = capture, connect, retry
        self._condition = threading.Condition()
        self._stop = threading.Event()
        self._newest: Optional[Tuple[int, float, np.ndarray]] = None
        self._lost, self._ended, self._failure = False, False, ""
        self._thread = threading.Thread(target=self._read, name=f"read {name}", daemon=True)

    def __iter__(self) -> Iterator[Tuple[int, float, np.ndarray]]:
        """Yield (number from 0, seconds since the start, uint8 [H, W, 3] BGR); numbers of skipped frames are missing.

        Raises InputError if no frame arrives, or a lost connection can't be reopened.
        """
        self._thread.start()
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._newest is not None or self._lost or self._ended)
                newest, self._newest = self._newest, None
                lost, self._lost = self._lost, False
            if lost:
                text = f"{self.name} was lost after {self.read_count} frames: connecting again"
                warnings.warn(text, EdgeauWarning, stacklevel=2)
            if newest is not None:
                yield newest
            elif not lost:
                break
        if self._failure or self.read_count == 0:
            raise InputError(self.name, got=self._failure or "no frame", expected="a camera or stream that sends")

    def close(self) -> None:
        """Release the source; a read that hangs is abandoned."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2)
        elif self._thread.ident is None:
            self._capture.release()

    def _read(self) -> None:
        started = last_frame = time.monotonic()
        wait_s = 0.0
        while not self._stop.is_set():
            ok, frame = self._capture.read()
            now = time.monotonic()
            if ok:
                last_frame, wait_s = now, 0.0
                self._keep(now - started, frame)
                continue
            if self._connect is None or self.read_count == 0:
                break
            wait_s = min(2 * wait_s or self._retry.first_wait_s, self._retry.longest_wait_s)
            if not self._connected_again(self._connect, last_frame, wait_s):
                break
        self._capture.release()
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    def _keep(self, time_s: float, frame: np.ndarray) -> None:
        with self._condition:
            self._newest = (self.read_count, time_s, frame)
            self.read_count += 1
            self._condition.notify_all()

    def _connected_again(self, connect: Callable[[], Capture], last_frame: float, wait_s: float) -> bool:
        """Reopen the source, with waits that double. False if that failed for too long, or it was closed."""
        self._capture.release()
        with self._condition:
            self._lost = True
            self._condition.notify_all()
        while not self._stop.wait(wait_s):
            if time.monotonic() - last_frame > self._retry.give_up_s:
                self._failure = f"no frame for {self._retry.give_up_s:.0f} s"
                return False
            try:
                self._capture = connect()
            except InputError:
                wait_s = min(2 * wait_s, self._retry.longest_wait_s)
                continue
            self.reconnects += 1
            return True
        return False

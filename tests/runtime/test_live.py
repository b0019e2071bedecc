"""The newest frame of a live source, and reconnecting."""

from __future__ import annotations

import threading
from typing import Callable

import numpy as np
import pytest

from edgeau.runtime import live
from edgeau.runtime.errors import EdgeauWarning, InputError
from edgeau.runtime.live import LiveSource, Retry

PATIENT = Retry(first_wait_s=0.01, longest_wait_s=0.04, give_up_s=600)


class FakeCamera:
    """Gives one frame for each that the test sends, filled with its number."""

    def __init__(self, first: int = 0, frames: int = 0) -> None:
        self.number, self.ended, self.released = first, False, 0
        self._sent = threading.Semaphore(frames)

    def send(self, count: int) -> None:
        for _ in range(count):
            self._sent.release()

    def end(self) -> None:
        self.ended = True
        self.send(1)

    def read(self) -> tuple[bool, np.ndarray]:
        if not self._sent.acquire(timeout=60) or (self.ended and not self._sent.acquire(blocking=False)):
            return False, np.empty(0)
        self.number += 1
        return True, np.full((2, 2, 3), self.number - 1, np.uint8)

    def get(self, number: int) -> float:
        return 0.0

    def release(self) -> None:
        self.released += 1


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never happened")


def test_a_slow_consumer_gets_the_newest_frame_and_the_numbers_show_the_gap() -> None:
    camera = FakeCamera(frames=1)
    source = LiveSource(camera, "camera")
    frames = iter(source)
    assert next(frames)[0] == 0
    camera.send(5)
    wait_until(lambda: source.read_count == 6)
    number, _, frame = next(frames)
    assert number == frame[0, 0, 0] == 5
    camera.end()
    assert list(frames) == []
    assert camera.released == 1


def test_each_frame_is_given_once_with_increasing_times() -> None:
    camera = FakeCamera(frames=1)
    seen = []
    for number, time_s, _ in LiveSource(camera, "camera"):
        seen.append((number, time_s))
        if number < 2:
            camera.send(1)
        else:
            camera.end()
    assert [number for number, _ in seen] == [0, 1, 2]
    assert 0 <= seen[0][1] <= seen[1][1] <= seen[2][1]


def test_a_lost_connection_is_reopened() -> None:
    first, away, second = FakeCamera(frames=1), [True, True, True], FakeCamera(first=1, frames=1)

    def connect() -> FakeCamera:
        if away and away.pop():
            raise InputError("camera", got="nothing")
        return second

    source = LiveSource(first, "camera", connect, PATIENT)
    frames = iter(source)
    next(frames)
    first.end()
    with pytest.warns(EdgeauWarning, match="camera was lost after 1 frames"):
        number, _, frame = next(frames)
    assert number == frame[0, 0, 0] == 1
    assert (first.released, source.reconnects) == (1, 1)
    second.end()
    source.close()


def test_waits_double_up_to_a_maximum_and_a_minute_without_frames_raises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, waits = [0.0], []

    def connect() -> FakeCamera:
        raise InputError("camera", got="nothing")

    camera = FakeCamera(frames=1)
    source = LiveSource(camera, "camera", connect)

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        clock[0] += seconds
        return False

    monkeypatch.setattr(source._stop, "wait", wait)
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    frames = iter(source)
    next(frames)
    camera.end()
    with pytest.warns(EdgeauWarning), pytest.raises(InputError, match="camera: got no frame for 60 s"):
        next(frames)
    assert waits[:6] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert 60 < sum(waits) <= 70


def test_a_source_without_frames_raises() -> None:
    camera = FakeCamera()
    camera.end()
    with pytest.raises(InputError, match="camera: got no frame"):
        list(LiveSource(camera, "camera", lambda: camera, PATIENT))


def test_close_ends_the_thread_and_releases_the_camera() -> None:
    camera = FakeCamera(frames=1)
    source = LiveSource(camera, "camera to close", lambda: camera, PATIENT)
    next(iter(source))
    source._stop.set()
    camera.end()
    source.close()
    wait_until(lambda: not any(thread.name == "read camera to close" for thread in threading.enumerate()))
    assert camera.released


def test_close_before_the_first_frame_releases_the_camera() -> None:
    camera = FakeCamera()
    LiveSource(camera, "camera").close()
    assert camera.released == 1

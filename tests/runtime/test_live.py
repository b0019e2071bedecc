"""The newest frame of a source that doesn't wait, and a connection that comes back."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edgeau.runtime.errors import EdgeauWarning, InputError
from edgeau.runtime.live import LiveSource, Retry

QUICK = Retry(first_wait_s=0.01, longest_wait_s=0.04, give_up_s=0.3)


class FakeCamera:
    """Gives ``count`` frames, whose pixels are their numbers, one each ``period_s``; then nothing."""

    def __init__(self, count: int, period_s: float = 0.0, first: int = 0) -> None:
        self.next, self.last, self.period_s, self.released = first, first + count, period_s, 0

    def read(self) -> tuple[bool, np.ndarray]:
        time.sleep(self.period_s)
        if self.next == self.last:
            return False, np.empty(0)
        self.next += 1
        return True, np.full((2, 2, 3), self.next - 1, np.uint8)

    def get(self, number: int) -> float:
        return 0.0

    def release(self) -> None:
        self.released += 1


def values(source: LiveSource) -> list[int]:
    return [int(frame[0, 0, 0]) for _, _, frame in source]


def test_a_slow_consumer_gets_the_newest_frame_and_the_numbers_show_the_gap() -> None:
    camera = FakeCamera(40, period_s=0.005)
    seen = []
    for number, _, frame in LiveSource(camera, "camera"):
        assert frame[0, 0, 0] == number
        seen.append(number)
        time.sleep(0.05)
    assert seen == sorted(set(seen))
    assert len(seen) < 20  # a tenth would do
    assert seen[-1] == 39
    assert camera.released == 1


def test_a_frame_is_given_once() -> None:
    source = LiveSource(FakeCamera(3, period_s=0.05), "camera")
    assert values(source) == [0, 1, 2]
    assert source.read_count == 3


def test_times_do_not_go_back_and_start_near_zero() -> None:
    times = [time_s for _, time_s, _ in LiveSource(FakeCamera(3, period_s=0.02), "camera")]
    assert times == sorted(times)
    assert 0 < times[0] < 1


def test_a_lost_connection_is_made_again() -> None:
    first, away, second = FakeCamera(2, 0.02), [True, True, True], FakeCamera(2, 0.02, first=2)

    def connect() -> FakeCamera:
        if away and away.pop():
            raise InputError("camera", got="nothing")
        return second if second.next < second.last else FakeCamera(0)

    source = LiveSource(first, "camera", connect, QUICK)
    frames = iter(source)
    with pytest.warns(EdgeauWarning, match="camera was lost after 2 frames"):
        seen = [int(next(frames)[2][0, 0, 0]) for _ in range(4)]
    source.close()
    assert seen == [0, 1, 2, 3]
    assert first.released == 1
    assert source.reconnects >= 1


def test_waits_double_until_a_frame_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    source = LiveSource(FakeCamera(1, 0.01), "camera", lambda: FakeCamera(0), QUICK)
    waits: list[float] = []
    wait = source._stop.wait

    def noted(seconds: float) -> bool:
        waits.append(seconds)
        return wait(seconds)

    monkeypatch.setattr(source._stop, "wait", noted)
    with pytest.warns(EdgeauWarning), pytest.raises(InputError, match="no frame for 0"):
        values(source)
    assert waits[:3] == [0.01, 0.02, 0.04]
    assert max(waits) == 0.04


def test_a_source_that_never_sends_says_so() -> None:
    with pytest.raises(InputError, match="camera: got no frame"):
        values(LiveSource(FakeCamera(0), "camera", lambda: FakeCamera(0), QUICK))


def test_closing_ends_the_thread_and_lets_the_camera_go() -> None:
    camera = FakeCamera(10_000, 0.001)
    source = LiveSource(camera, "camera")
    next(iter(source))
    source.close()
    assert camera.released == 1
    assert not any(thread.name == "read camera" for thread in threading.enumerate())


def test_closing_before_the_first_frame_lets_the_camera_go() -> None:
    camera = FakeCamera(1)
    LiveSource(camera, "camera").close()
    assert camera.released == 1

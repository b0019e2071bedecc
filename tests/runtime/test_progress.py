"""Progress of a long run in a terminal and in a log."""

from __future__ import annotations

import io
import sys

import pytest

from edgeau.runtime import progress
from edgeau.runtime.progress import ProgressBar
from edgeau.runtime.terminal import note


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_terminal_shows_a_bar_with_frames_per_second_and_notes_replace_it(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    shown = ProgressBar("clip.mp4", 400)
    for _ in range(100):
        clock[0] += 0.01
        shown.step()
    last = terminal.getvalue().split("\r\x1b[K")[-1]
    assert last.startswith("clip.mp4  [")
    assert "#" in last
    assert "100 frames/s" in last
    assert "0:03 left" in last
    note("done")
    assert terminal.getvalue().endswith("\r\x1b[Kdone\n")
    note("more")
    assert terminal.getvalue().endswith("done\nmore\n")


def test_output_that_is_not_a_terminal_gets_a_line_every_few_seconds(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = ProgressBar("clip.mp4", 0)
    for _ in range(12):
        clock[0] += 1
        shown.step()
    assert capsys.readouterr().err.splitlines() == ["5 of ? frames, 1 per second", "10 of ? frames, 1 per second"]

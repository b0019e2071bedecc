"""Whatever ends a verb that writes, the old or the new is there, whole. `make kill-test` does ten times as much."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_nothing_is_lost_whenever_a_verb_is_ended() -> None:
    """In a process of its own, which forks before anything starts threads."""
    script = Path(__file__).with_name("kills.py")
    done = subprocess.run([sys.executable, str(script), "20", "7"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 interruptions" in done.stdout

"""Interrupted verbs leave either the old or the new files, complete. `make kill-test` does ten times as many runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_interrupting_verbs_at_random_moments_loses_nothing() -> None:
    """Uses a separate process, which forks before any threads are started."""
    script = Path(__file__).with_name("kills.py")
    done = subprocess.run([sys.executable, str(script), "20", "7"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 interruptions" in done.stdout

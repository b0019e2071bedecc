"""Where lines of progress go: to a caller that shows them, or nowhere."""

from __future__ import annotations

from typing import Callable

Report = Callable[[str], None]


def silent(_: str) -> None:
    """A Report that says nothing."""

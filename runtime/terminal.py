"""Output of commands: results to standard output, notes to standard error, and exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import unicodedata
from typing import Any, TextIO

_CLEAR_LINE = "\r\x1b[K"
_under_status = [False]  # whether the terminal's last line is a status
EXIT_OK, EXIT_FAILED, EXIT_WRONG_INPUT = 0, 1, 2


def emit_json(value: Any) -> None:
    """Print one JSON document to standard output, for ``--json``."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def say(text: str = "") -> None:
    """Print a line of a command's result to standard output, replacing characters that the encoding lacks."""
    _write_line(sys.stdout, text)


def note(text: str) -> None:
    """Print a line of progress or advice to standard error, so that standard output holds only the result.

    Where it can't be written (a full disk, a pipe that nobody reads), the work goes on without it.
    """
    try:
        _write_line(sys.stderr, text)
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Discard what a stream has buffered and will get, so that Python's own flush at exit can't fail either."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


class Status:
    """One line of progress at the bottom of the terminal, which every new one replaces; silent where standard error is
    not a terminal, or where the result is printed on the same one."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty() and not sys.stdout.isatty()

    @property
    def visible(self) -> bool:
        """Whether anybody sees it."""
        return self._shown

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._shown:
            width = shutil.get_terminal_size().columns - 1
            _write(sys.stderr, f"{_CLEAR_LINE}{printable(text)[:width]}")
            _under_status[0] = True


def printable(text: str) -> str:
    """A text without control and format characters, except line feeds and tabs.

    File names, manifests and responses from other machines may contain terminal escape sequences.
    """
    return "".join(letter for letter in text if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf"))


def _write_line(stream: TextIO, text: str) -> None:
    start = ""
    if stream is sys.stderr and _under_status[0]:
        start, _under_status[0] = _CLEAR_LINE, False
    _write(stream, f"{start}{printable(text)}\n")


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()

"""Output of commands: results to standard output, notes to standard error, and exit codes."""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import Any, TextIO

EXIT_OK, EXIT_FAILED, EXIT_WRONG_INPUT = 0, 1, 2


def emit_json(value: Any) -> None:
    """Print one JSON document to standard output, for ``--json``."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def say(text: str = "") -> None:
    """Print a line of a command's result to standard output, replacing characters that the encoding lacks."""
    _write_line(sys.stdout, text)


def note(text: str) -> None:
    """Print a line of progress or advice to standard error, so that standard output holds only the result."""
    _write_line(sys.stderr, text)


def printable(text: str) -> str:
    """A text without control and format characters, except line feeds and tabs.

    File names, manifests and responses from other machines may contain terminal escape sequences.
    """
    return "".join(letter for letter in text if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf"))


def _write_line(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(printable(text).encode(encoding, "replace").decode(encoding) + "\n")
    stream.flush()

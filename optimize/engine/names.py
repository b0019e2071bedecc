"""Names that are safe in scripts, configuration files and paths, whatever a folder or manifest calls itself."""

from __future__ import annotations

import re

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SAFE_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def slug(text: str, otherwise: str = "package") -> str:
    """ASCII letters, digits, dots, dashes and underscores of a text, beginning with none of ``.-``; others are dashes.

    Args:
        text: any text.
        otherwise: the result if nothing of it is left.
    """
    return _UNSAFE.sub("-", text).strip("-").lstrip(".-") or otherwise


def is_safe_file_name(name: str) -> bool:
    """Whether a name, such as one that another machine sent, is a plain file name of a slug's letters."""
    return _SAFE_FILE.fullmatch(name) is not None

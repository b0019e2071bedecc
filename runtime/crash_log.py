"""Report unexpected errors in one line, and write the traceback to a file."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Optional

from .detect import cache_folder

# Shows the traceback on the terminal as well.
DEBUG_VARIABLE = "EDGEAU_DEBUG"
_KEPT = 20


def describe_crash(error: BaseException) -> str:
    """Write the traceback to a file, and return a line for the user that names the file."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if os.environ.get(DEBUG_VARIABLE):
        with contextlib.suppress(OSError):
            sys.stderr.write(text.encode("ascii", "backslashreplace").decode())
    message = " ".join(str(error).split()) or "no reason given"
    if isinstance(error, MemoryError):
        return f"not enough memory ({message})"
    file = _write(text)
    where = f"its traceback is in {file}" if file else f"{DEBUG_VARIABLE}=1 shows its traceback"
    return f"unexpected {type(error).__name__}: {message[:300]}; this is a defect of edgeau, {where}"


def _write(text: str) -> Optional[Path]:
    head = f"edgeau {' '.join(map(repr, sys.argv[1:]))}\nPython {platform.python_version()} on {platform.platform()}\n"
    data = (head + text).encode("utf-8", "backslashreplace")
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    for folder in (cache_folder() / "log", Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
            for old in sorted(folder.glob("crash-*.log"))[:-_KEPT]:
                old.unlink()
            return folder / name
    return None

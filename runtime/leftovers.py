"""Temporary files and folders, and the removal of those that a killed process left behind.

A temporary is named ``.edgeau-tmp-RANDOM`` plus the suffix of the file it will become, and the process that writes it
holds a lock on it (``flock``). The kernel drops the lock when that process ends, however it ends. So a temporary that
can be locked is a leftover, and the next write into the same folder removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Callable, Iterator, Optional, Set, Tuple

PREFIX = ".edgeau-tmp-"

_swept: Set[str] = set()


@contextlib.contextmanager
def temporary_file(folder: Optional[Path] = None, suffix: str = "") -> Iterator[Path]:
    """Yield an empty file in ``folder`` (default: the system's temporary folder), removed at the end if still there."""
    with _locked(Path(folder or tempfile.gettempdir()), suffix, _make_file) as path:
        try:
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


@contextlib.contextmanager
def temporary_folder(folder: Optional[Path] = None) -> Iterator[Path]:
    """Yield an empty folder, as ``temporary_file`` yields a file."""
    with _locked(Path(folder or tempfile.gettempdir()), "", os.mkdir) as path:
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def is_temporary(name: str) -> bool:
    """Whether a file name is that of a temporary of edgeau."""
    return name.startswith(PREFIX)


def sweep(folder: Path) -> None:
    """Remove the temporaries in ``folder`` that no living process holds. What can't be removed stays."""
    try:
        names = [entry.name for entry in os.scandir(folder) if is_temporary(entry.name)]
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError):
            _remove_unless_locked(folder / name)


def _remove_unless_locked(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(folder: Path, suffix: str, make: Callable[[Path], None]) -> Iterator[Path]:
    if str(folder) not in _swept:
        _swept.add(str(folder))
        sweep(folder)
    path, handle = _make_locked(folder, suffix, make)
    try:
        yield path
    finally:
        os.close(handle)


def _make_locked(folder: Path, suffix: str, make: Callable[[Path], None]) -> Tuple[Path, int]:
    while True:
        path = folder / f"{PREFIX}{uuid.uuid4().hex[:12]}{suffix}"
        make(path)
        # Another process may sweep between these lines. It then removes the path, and a new one is made.
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        with contextlib.suppress(OSError):  # a file system without locks: its leftovers are not swept
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(path):
            return path, handle
        os.close(handle)


def _make_file(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))

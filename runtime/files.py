"""Files that are either the old or the new one, whole: every file that edgeau writes is written here.

A file is written beside its target under a temporary name, brought to disk, and renamed. The target keeps its mode and
owner; a symbolic link stays, and the file it points to is replaced. What is not a regular file (a device, a FIFO,
``/dev/stdout``) is written through, as is ``-``, which means standard output.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Any, Iterator, List, Optional, Union

from .errors import InputError
from .leftovers import temporary_file

PathLike = Union[str, "os.PathLike[str]"]

STANDARD_OUTPUT = "-"
_STREAMS = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")


@contextlib.contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path that takes the name ``path`` when the block ends, and is removed if the block fails.

    The file's suffix is kept, so that libraries which choose a format by suffix write the right one.

    Raises:
        InputError: the path is a folder, or a file that may not be written to.
        OSError: it can't be created, or the disk is full.
    """
    target = Path(path)
    if not is_replaceable(target):
        with temporary_file(suffix=target.suffix) as temporary:
            yield temporary
            _write_through(temporary, target)
        return
    target = Path(os.path.realpath(target))
    with made_parents(target):
        with temporary_file(target.parent, target.suffix) as temporary:
            yield temporary
            _take_mode(temporary, target)
            sync(temporary)
            os.replace(temporary, target)
        sync(target.parent)


def is_replaceable(path: PathLike) -> bool:
    """Whether writing means replacing a file, rather than writing through a device, a FIFO or standard output.

    Raises:
        InputError: the path is a folder, or a file that may not be written to.
    """
    text = os.fspath(path)
    if text == STANDARD_OUTPUT or text.startswith(_STREAMS):
        return False
    try:
        mode = os.stat(text).st_mode
    except FileNotFoundError:
        _check_place(Path(text))
        return True
    except OSError as error:  # such as a link to itself, or a name that is too long
        raise InputError(f"output {text}", got=(error.strerror or "").lower(), expected="a file") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"output {text}", got="a folder", expected="a file to write")
    if not os.access(text, os.W_OK):
        raise InputError(f"output {text}", got="a file that may not be written to", hint="give another name")
    return stat.S_ISREG(mode)


def _check_place(path: Path) -> None:
    """Raise InputError where a new file can't be made, so that it is said before the work."""
    folder = Path(os.path.realpath(path)).parent
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        got = "no folder" if not folder.is_dir() else "a folder that may not be written to"
        raise InputError(f"output {path}: {folder}", got=got, expected="a folder to write into")


def refuse_same(output: PathLike, *inputs: Optional[PathLike]) -> None:
    """Raise InputError where the output is one of the inputs, by whatever name."""
    if os.fspath(output) == STANDARD_OUTPUT:
        return
    for given in inputs:
        if given is None:
            continue
        same = os.path.exists(output) and os.path.exists(given) and os.path.samefile(output, given)
        if same or os.path.realpath(output) == os.path.realpath(given):
            raise InputError(f"output {os.fspath(output)}", got="the input itself", expected="another name")


def utf8_path(path: PathLike) -> str:
    """A path for libraries that take names in UTF-8 only, and crash with others. Raises InputError."""
    text = os.fspath(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        shown = text.encode("utf-8", "backslashreplace").decode("utf-8")
        raise InputError(f"file {shown}", got="a name that is not UTF-8", hint="rename it") from None
    return text


def write_bytes(path: PathLike, data: bytes) -> None:
    """Write a whole file or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: PathLike, text: str) -> None:
    """Write a whole UTF-8 file or nothing, whatever the locale.

    Half characters, as in names of files that are not UTF-8, are written as ``\\udcff``, which JSON reads as the same.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: PathLike, value: Any) -> None:
    """Write JSON with two spaces of indent, ending in a newline; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_file(path: PathLike) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def made_parents(path: Path) -> Iterator[None]:
    """Make the folders above ``path``; where the block fails, remove those that were made."""
    missing: List[Path] = []
    parent = path.parent
    while not parent.exists():
        missing.append(parent)
        parent = parent.parent
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _write_through(source: Path, target: Path) -> None:
    if os.fspath(target) == STANDARD_OUTPUT:
        sys.stdout.flush()
        with open(source, "rb") as data:
            shutil.copyfileobj(data, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    # Appending, because /dev/stdout may be a file to which others write as well.
    with open(source, "rb") as data, os.fdopen(os.open(target, os.O_WRONLY | os.O_APPEND), "wb") as stream:
        shutil.copyfileobj(data, stream)


def _take_mode(temporary: Path, target: Path) -> None:
    """Give the new file the mode and owner of the one that it replaces."""
    try:
        old = os.stat(target)
    except FileNotFoundError:
        return
    new = os.stat(temporary)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with contextlib.suppress(OSError):
            os.chown(temporary, old.st_uid, old.st_gid)
    os.chmod(temporary, stat.S_IMODE(old.st_mode))


def sync(path: Path) -> None:
    """Bring a file or a folder's entries to disk, so that a power cut finds the old or the new one."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file systems can't sync folders. A full disk must not pass.
        if not os.path.isdir(path):
            raise error
    finally:
        os.close(handle)

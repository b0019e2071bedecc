"""Folders that are either the old or the new one, whole; and nothing that edgeau didn't write is ever replaced.

An existing folder is replaced only if it is one of the same kind, complete, with nothing else in it. The new one takes
its place in one step (``renameat2`` with ``RENAME_EXCHANGE``, Linux 3.15). Where a file system has no such step there
are two renames, and ``recover`` finds the old folder again if the process was killed between them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fnmatch
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Optional, Sequence

from .errors import EdgeauError, InputError
from .files import STANDARD_OUTPUT, PathLike, made_parents, refuse_same, sync
from .leftovers import is_temporary, temporary_folder

_RETIRED = ".edgeau-old-"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_LARGEST_MARKER = 64 << 20


@dataclass(frozen=True)
class Contents:
    """What belongs into a folder: paths relative to it, with forward slashes.

    Attributes:
        required: files without which it is not whole.
        allowed: patterns (``fnmatch``) of other files that edgeau may have written there.
    """

    required: Sequence[str] = ()
    allowed: Sequence[str] = ()


@dataclass(frozen=True)
class FolderKind:
    """A format of folders, and how one is recognised.

    Attributes:
        name: for messages, such as ``model package``.
        marker: the file that every such folder has.
        contents: from the marker's bytes, what belongs into the folder; None where they are not of this kind. It may
            raise ValueError, LookupError, TypeError or AttributeError for the same.
    """

    name: str
    marker: str
    contents: Callable[[bytes], Optional[Contents]]


@contextlib.contextmanager
def atomic_folder(path: PathLike, kind: FolderKind, *inputs: PathLike) -> Iterator[Path]:
    """Yield a temporary folder that takes the name ``path`` when the block ends, and is removed if the block fails.

    Args:
        path: the folder to write. One of the same kind that stands there is replaced.
        kind: what is written.
        inputs: what is read while writing, which the output must not be.

    Raises:
        InputError: ``path`` is a file, or a folder with anything else in it. It is left as it is.
    """
    check_folder(path, kind, *inputs)
    target = Path(os.path.realpath(path))
    with made_parents(target), temporary_folder(target.parent) as temporary:
        yield temporary
        _replace(temporary, target, kind)


def check_folder(path: PathLike, kind: FolderKind, *inputs: PathLike) -> None:
    """Raise InputError where ``path`` may not be written as a new folder of this kind. Call it before long work."""
    if os.fspath(path) == STANDARD_OUTPUT:
        raise InputError("output -", got="standard output", expected=f"a folder, to write a {kind.name}")
    recover(path)
    refuse_same(path, *inputs)
    for given in inputs:
        if os.path.realpath(path).startswith(os.path.realpath(given) + os.sep) and os.path.isdir(given):
            raise InputError(f"output {path}", got=f"a place inside the input {given}", expected="another folder")
    reason = obstacle(Path(path), kind)
    if reason is not None:
        expected = f"a new name, or a whole {kind.name} to replace"
        raise InputError(f"output {path}", got=reason, expected=expected, hint="nothing was changed")


def claim_folder(path: PathLike, kind: FolderKind) -> Path:
    """Make the folder to write into piece by piece. One of the same kind, or an empty one, is taken as it is.

    Raises:
        InputError: ``path`` is a file, or a folder with something else in it.
    """
    folder = Path(path)
    reason = obstacle(folder, kind, whole=False)
    if reason is not None:
        expected = f"a new folder, or a {kind.name}"
        raise InputError(f"output {path}", got=reason, expected=expected, hint="nothing was changed")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def obstacle(path: Path, kind: FolderKind, *, whole: bool = True) -> Optional[str]:
    """Why nothing may be written at ``path``; None where it is absent, empty, or a folder of this kind and no more."""
    if not os.path.lexists(path):
        return None
    if not path.is_dir():
        return "a file" if path.exists() else "a link to nothing"
    contents = _contents(path, kind)
    if contents is None:  # one file is enough to know; there may be millions, as in a home folder
        first = next(_files(path), None)
        return None if first is None else f"a folder with {first} in it, which is no {kind.name}"
    present = list(_files(path))
    missing = [name for name in contents.required if not (path / name).is_file()]
    if whole and missing:
        return f"a {kind.name} without its {missing[0]}"
    known = {kind.marker, *contents.required}
    others = [n for n in present if n not in known and not any(fnmatch.fnmatch(n, p) for p in contents.allowed)]
    return f"a {kind.name} with {others[0]} in it, which edgeau did not write" if others else None


def recover(path: PathLike) -> None:
    """Bring back the folder that was there before, where a process was killed between two renames."""
    target = Path(os.path.realpath(path))
    if os.path.lexists(target):
        return
    retired = _retired(target)
    if retired.is_dir():
        with contextlib.suppress(OSError):
            os.rename(retired, target)


def _replace(temporary: Path, target: Path, kind: FolderKind) -> None:
    """Put ``temporary`` in the place of ``target``, and remove the old one once it is certain that it is ours."""
    for name in _files(temporary):
        sync(temporary / name)
    if obstacle(target, kind) is not None or not target.is_dir() or not os.listdir(target):
        os.rename(temporary, target)  # fails where something else came there in the meantime
        return
    os.chmod(temporary, target.stat().st_mode & 0o7777)
    if _exchange(temporary, target):
        if obstacle(temporary, kind) is not None:  # a file was added while this one was written
            _exchange(temporary, target)
            check_folder(target, kind)
        return
    retired = _retired(target)
    shutil.rmtree(retired, ignore_errors=True)  # left by a process that was killed after its second rename
    os.rename(target, retired)
    try:
        os.rename(temporary, target)
    except BaseException:
        os.rename(retired, target)
        raise
    shutil.rmtree(retired)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step. False where the kernel, the C library or the file system can't."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    result = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if result == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _retired(target: Path) -> Path:
    """Where a folder waits between two renames: a name that can be found again from its own."""
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    return target.with_name(_RETIRED + digest)


def _files(folder: Path) -> Iterator[str]:
    """Everything below a folder but folders and temporaries, as relative paths; empty folders count."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_temporary(name))
        here = Path(place).relative_to(folder)
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from ((here / name).as_posix() for name in (*sorted(names), *links) if not is_temporary(name))
        if not names and not folders and here != Path():
            yield here.as_posix() + "/"


def _contents(folder: Path, kind: FolderKind) -> Optional[Contents]:
    marker = folder / kind.marker
    try:
        if not marker.is_file() or marker.stat().st_size > _LARGEST_MARKER:
            return None
        return kind.contents(marker.read_bytes())
    except (EdgeauError, OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None

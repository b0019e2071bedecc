"""Arrays from ``.npy`` and ``.npz`` files that anybody may have written: whole, without pickles, or refused."""

from __future__ import annotations

import contextlib
import os
import struct
import tokenize
import zipfile
import zlib
from typing import Dict, Iterator, Optional

import numpy as np

from .errors import InputError
from .files import PathLike

# What numpy and zipfile raise for damaged files: a header is Python text, and a zip file may ask for anything.
_DAMAGE = (
    OSError, ValueError, EOFError, LookupError, TypeError, AttributeError, SyntaxError, MemoryError, RecursionError,
    OverflowError, NotImplementedError, RuntimeError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def load_arrays(file: PathLike, what: str, *, hint: Optional[str] = None) -> Dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file. Raises InputError that begins with ``what`` if it can't be read."""
    with _described(file, what, hint):
        with zipfile.ZipFile(os.fspath(file)) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > _memory_bytes():
                raise ValueError(f"{size} bytes when unpacked, more than this machine's memory")
        with np.load(file) as arrays:
            return {key: np.asarray(arrays[key]) for key in arrays.files}


def map_array(file: PathLike, what: str, *, hint: Optional[str] = None) -> np.ndarray:
    """An ``.npy`` file's array, mapped into memory. Raises InputError that begins with ``what`` if it can't be read."""
    with _described(file, what, hint):
        array: np.ndarray = np.lib.format.open_memmap(os.fspath(file), mode="r")
        return array


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@contextlib.contextmanager
def _described(file: PathLike, what: str, hint: Optional[str]) -> Iterator[None]:
    try:
        if os.path.exists(file) and not os.path.isfile(file):
            raise ValueError("not a file")
        yield
    except _DAMAGE as error:
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(what, got=f"unreadable ({told})", expected="whole arrays of numbers", hint=hint) from error

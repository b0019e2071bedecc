"""Rows in a Parquet file, which pandas, polars, DuckDB and Spark read with types."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any, List, Optional, Sequence, Type

from .errors import InputError, MissingExtraError
from .files import STANDARD_OUTPUT, atomic_path, is_replaceable
from .records import Row

_ROWS_PER_GROUP = 8192
_MAGIC = b"PAR1"
_TEXTS, _WHOLE_NUMBERS, _FLAGS = ("source", "error"), ("frame", "track_id"), ("success", "neutral_ready")


class ParquetFile:
    """Writes a Parquet file. Use it with ``with``.

    A Parquet file can be read only with the index at its end, so the file takes its name when the block ends, also by
    an error or a signal that can be caught; after SIGKILL there is no file. Rows are compressed and written in groups,
    so that memory doesn't grow with the length of a video.

    Args:
        path: the file. An older Parquet file is replaced.
        columns: names, from ``records.rows_of``.

    Raises:
        MissingExtraError: pyarrow is not installed.
        InputError: the path is standard output, or another file.
    """

    def __init__(self, path: Optional[Path], columns: Sequence[str]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ModuleNotFoundError as error:
            raise MissingExtraError("pyarrow", "parquet", "writing Parquet") from error
        path = Path(STANDARD_OUTPUT) if path is None else path
        _refuse_others(path)
        self._schema = pyarrow.schema([(name, _type(pyarrow, name)) for name in columns])
        self._table, self._open = pyarrow.Table.from_pylist, pyarrow.parquet.ParquetWriter
        self._path = path
        self._waiting: List[Row] = []
        self._stack = contextlib.ExitStack()
        self._writer: Any = None

    @property
    def continued(self) -> bool:
        """False: a Parquet file can't be continued."""
        return False

    def last(self, _source: str, /) -> None:
        """None: there are no earlier rows."""

    def tracks(self, _source: str, /) -> int:
        """0: there are no earlier rows."""
        return 0

    def write(self, rows: Sequence[Row]) -> None:
        """Add the rows of one frame."""
        self._waiting += rows
        if len(self._waiting) >= _ROWS_PER_GROUP:
            self._flush()

    def __enter__(self) -> ParquetFile:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        try:
            if self._waiting:
                self._flush()
            if self._writer is not None:
                self._writer.close()
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise
        self._stack.close()

    def _flush(self) -> None:
        if self._writer is None:
            temporary = self._stack.enter_context(atomic_path(self._path))
            self._writer = self._open(str(temporary), self._schema, compression="zstd")
        self._writer.write_table(self._table(self._waiting, schema=self._schema))
        self._waiting = []


def _type(pyarrow: Any, column: str) -> Any:
    if column in _TEXTS:
        return pyarrow.string()
    if column in _WHOLE_NUMBERS:
        return pyarrow.int64()
    if column in _FLAGS or column.endswith("_present"):
        return pyarrow.int8()
    return pyarrow.float64() if column == "time_s" else pyarrow.float32()


def _refuse_others(path: Path) -> None:
    if os.fspath(path) == STANDARD_OUTPUT or not is_replaceable(path):
        raise InputError(f"output {path}", got="a stream", expected="a file, to write Parquet")
    if path.exists() and path.stat().st_size:
        with open(path, "rb") as stream:
            if stream.read(len(_MAGIC)) != _MAGIC:
                raise InputError(f"output {path}", got="a file with other content", expected="a new name")

"""Files of measurements: JSON with a schema, gzipped if the name ends in ``.gz``.

A file holds ``schema``, ``records`` (`Measurement.to_json`), ``failures``, ``peaks`` of the device and ``stages``.
Files of the first schema, which had no rounds, are read too.
"""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.runtime.errors import InputError
from edgeau.runtime.files import write_bytes
from edgeau.runtime.timing import latency

from .measurement import PROTOCOL

_FIRST_PROTOCOL = "edgeau-bench-1"
# What every reader of a record needs.
_REQUIRED = ("package", "variant", "backend", "threads", "batch", "latency", "device", "data", "protocol", "samples_ms")
# Records of the first schema are cut into this many rounds of consecutive calls.
_ROUNDS_OF_FIRST = 12
_HINT = "give a file that `edgeau bench -o` wrote"


def write_records(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all; the same value always gives the same bytes. NaN and infinity are refused."""
    if path.suffix == ".gz":
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = gzip.compress(text.encode("utf-8"), mtime=0)
    else:
        data = (json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode("utf-8")
    write_bytes(path, data)


def read_records(path: Path) -> Any:
    """Read JSON that `write_records` wrote. Raises InputError if the file is missing or holds no JSON."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")
        data = path.read_bytes()
        return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except FileNotFoundError as error:
        raise InputError(str(path), got="no such file", expected="a file of records", hint=_HINT) from error
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise InputError(str(path), got="something unreadable", expected="JSON records", hint=_HINT) from error


def document(
    records: list[dict[str, Any]],
    failures: list[dict[str, Any]],
    peaks: list[dict[str, Any]],
    stages: list[dict[str, Any]],
) -> dict[str, Any]:
    """What a file of measurements holds."""
    return {"schema": PROTOCOL, "records": records, "failures": failures, "peaks": peaks, "stages": stages}


def read_measurements(path: Path) -> list[dict[str, Any]]:
    """The records of a file, in the present schema. Raises InputError if it is another kind of file."""
    value = read_records(path)
    records = value.get("records") if isinstance(value, dict) else None
    if not isinstance(records, list) or not records:
        raise InputError(str(path), got="no records", expected="records of `edgeau bench`", hint=_HINT)
    return [_read(record, path) for record in records]


def _read(record: Any, path: Path) -> dict[str, Any]:
    missing = [name for name in _REQUIRED if not isinstance(record, dict) or name not in record]
    if missing:
        raise InputError(
            str(path), got=f"a record without {missing[0]}", expected="records of `edgeau bench`", hint=_HINT
        )
    if record["protocol"] == _FIRST_PROTOCOL:
        return _upgraded(record)
    if record["protocol"] != PROTOCOL:
        got = f"records of schema {record['protocol']}"
        raise InputError(
            str(path), got=got, expected=f"{PROTOCOL} or {_FIRST_PROTOCOL}", hint="use the edgeau that wrote it"
        )
    return dict(record)


def _upgraded(record: dict[str, Any]) -> dict[str, Any]:
    """A record of the first schema: consecutive calls are taken as rounds, and there is no yardstick.

    Its ``protocol`` stays, since that is how it was measured. ``speedup`` was a ratio of medians without an interval,
    and warnings of scatter are what the intervals show now; both go.
    """
    samples = np.asarray(record["samples_ms"], np.float64)
    parts = [part for part in np.array_split(samples, _ROUNDS_OF_FIRST) if len(part)]
    rounds = {
        "p50_ms": [float(np.median(part)) for part in parts],
        "min_ms": [float(part.min()) for part in parts],
        "yardstick_ms": [],
    }
    times = {**vars(latency(parts)), "p50_ms": record["latency"]["p50_ms"]}
    warnings = [each for each in record.get("warnings", ()) if "samples scatter" not in each]
    kept = {key: value for key, value in record.items() if key != "speedup"}
    absent: dict[str, Any] = {"cold_start": None, "concurrency": {}}
    return {**absent, **kept, "latency": times, "rounds": rounds, "warnings": warnings}

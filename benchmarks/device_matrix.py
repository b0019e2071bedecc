"""Records of several devices side by side: one row per candidate, one column per device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeau.runtime.errors import InputError

from .records import read_measurements

_SUFFIXES = (".json", ".json.gz")


def read_folder(folder: Path) -> list[dict[str, Any]]:
    """The records of all files of measurements in a folder, files in the order of their names.

    Raises:
        InputError: no such folder, no file in it, or one that holds something else.
    """
    if not folder.is_dir():
        raise InputError("--device-matrix", got=f"no folder {folder}", expected="a folder of files of records")
    files = sorted(file for file in folder.iterdir() if file.name.endswith(_SUFFIXES))
    if not files:
        raise InputError("--device-matrix", got=f"no .json or .json.gz in {folder}", expected="one file per device",
                         hint="on each device type: edgeau bench PACKAGE -o DEVICE.json")  # fmt: skip
    return [record for file in files for record in read_measurements(file)]


def matrix(records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Rows of text: p50 in milliseconds on each device, a dash where a candidate was not measured.

    The last record counts where a device measured a candidate twice. Records whose input was not the same are not set
    beside each other: the input is part of a candidate's name if there are several.
    """
    devices = sorted({str(record["device"]) for record in records})
    inputs = {str(record["data"]) for record in records}
    cells: dict[tuple[str, ...], dict[str, float]] = {}
    for record in records:
        threads = "auto" if record["threads"] is None else str(record["threads"])
        name = (str(record["package"]), str(record["variant"]), str(record["backend"]), threads, str(record["batch"]))
        key = (*name, str(record["data"])) if len(inputs) > 1 else name
        cells.setdefault(key, {})[str(record["device"])] = record["latency"]["p50_ms"]
    heads = ("package", "variant", "backend", "threads", "batch", "input")
    return [
        {**dict(zip(heads, key, strict=False)),
         **{f"{device}, p50 ms": f"{times[device]:.3f}" if device in times else "-" for device in devices}}
        for key, times in sorted(cells.items())
    ]  # fmt: skip

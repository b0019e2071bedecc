"""What a device reports of the engine that it built: ``report.json``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from edgeau.runtime.decode import decode, parse_json
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import PathLike, write_json

REPORT = "report.json"


@dataclass(frozen=True)
class MeasuredLatency:
    """Wall time per call on the device.

    Attributes:
        batch: faces per call.
        runs: calls that were timed.
        p50_ms, p90_ms, p99_ms, mean_ms: over them.
    """

    batch: int
    runs: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float


@dataclass(frozen=True)
class DeviceReport:
    """One engine on one device.

    Attributes:
        target: board that the bundle was made for.
        machine: the device, as ``Machine.to_json`` gives it.
        engine: path of the plan in the bundle's folder.
        variant, sidecar: of the engine, as JSON.
        parity_line: parity for a person.
        latency: None if it was not measured.
        skipped: one line per precision that could not be tried.
    """

    target: str
    machine: Dict[str, Any]
    engine: str
    variant: Dict[str, Any]
    sidecar: Dict[str, Any]
    parity_line: str
    latency: Optional[MeasuredLatency]
    skipped: Tuple[str, ...]

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


def write_report(path: PathLike, report: DeviceReport) -> None:
    """Write a report, whole or not at all."""
    write_json(path, report.to_json())


def read_report(path: PathLike) -> DeviceReport:
    """Read a report. Raises InputError if it is missing, PackageError if it is damaged."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"report {path}", got=error.strerror) from error
    return decode(DeviceReport, parse_json(data, str(path)), str(path))

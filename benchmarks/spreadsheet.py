"""Records as comma-separated values for a spreadsheet: one line per record, units in the heads, empty if unknown."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

# Column -> where the figure is in a record.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "package": ("package",), "variant": ("variant",), "precision": ("precision",), "backend": ("backend",),
    "threads": ("threads",), "batch": ("batch",), "device": ("device",), "input": ("data",),
    "p50_ms": ("latency", "p50_ms"), "p90_ms": ("latency", "p90_ms"), "p99_ms": ("latency", "p99_ms"),
    "p999_ms": ("latency", "p999_ms"), "min_ms": ("latency", "min_ms"), "calls": ("latency", "samples"),
    "gpu_p50_ms": ("gpu_p50_ms",), "faces_per_s": ("throughput_per_s",), "versus_fp32": ("versus_fp32", "value"),
    "share_of_limit": ("limit", "share"), "size_bytes": ("facts", "size_bytes"),
    "parameters": ("facts", "parameters"), "macs": ("facts", "macs"), "peak_mib": ("memory", "peak_mib"),
    "model_mib": ("memory", "model_mib"), "gpu_mib": ("memory", "gpu_mib"), "load_ms": ("load_ms",),
    "first_ms": ("first_ms",), "energy_mj": ("energy", "energy_mj"), "net_energy_mj": ("energy", "net_energy_mj"),
    "mean_f1": ("accuracy", "mean_f1"), "date": ("provenance", "date"), "commit": ("provenance", "commit"),
}  # fmt: skip
# A spreadsheet interprets a cell that begins with one of these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """The records as CSV with a head."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_COLUMNS, "warnings"))
    for record in records:
        cells = [_cell(_at(record, path)) for path in _COLUMNS.values()]
        writer.writerow((*cells, _cell("; ".join(record.get("warnings") or ()))))
    return text.getvalue()


def _at(record: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = record
    for key in path:
        value = (value or {}).get(key)
    return value


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return float(f"{value:.6g}") if isinstance(value, float) else value

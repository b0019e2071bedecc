"""What one measurement is in a table, on the terminal and on a page: one line of text a column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]


def _part(record: Record, group: str, key: str, scale: float, layout: str) -> str:
    """A figure of the record's group; what was not measured is a dash, never a zero."""
    value = (record.get(group) or {}).get(key)
    return "-" if value is None else format(value * scale, layout)


def _speedup(record: Record) -> str:
    return f"{record['speedup']:.2f}x" if record.get("speedup") else "-"


def _scatter(record: Record) -> str:
    return _part(record, "latency", "cv", 1, ".0%") + ("!" if record["latency"].get("unstable") else "")


_CELLS: dict[str, Callable[[Record], str]] = {
    "variant": lambda r: str(r["variant"]),
    "backend": lambda r: str(r["backend"]),
    "threads": lambda r: str(r["threads"] or "auto"),
    "batch": lambda r: str(r["batch"]),
    "p50 ms": lambda r: _part(r, "latency", "p50_ms", 1, ".3f"),
    "p90 ms": lambda r: _part(r, "latency", "p90_ms", 1, ".3f"),
    "p99 ms": lambda r: _part(r, "latency", "p99_ms", 1, ".3f"),
    "CV": _scatter,
    "faces/s": lambda r: f"{r['throughput_per_s']:.0f}",
    "vs fp32": _speedup,
    "MB": lambda r: _part(r, "facts", "size_bytes", 1e-6, ".2f"),
    "params": lambda r: _part(r, "facts", "parameters", 1, ",.0f"),
    "MMACs": lambda r: _part(r, "facts", "macs", 1e-6, ".1f"),
    "peak MiB": lambda r: _part(r, "memory", "peak_mib", 1, ".0f"),
    "model MiB": lambda r: _part(r, "memory", "model_mib", 1, ".1f"),
    "mJ": lambda r: _part(r, "energy", "energy_mj", 1, ".2f"),
    "F1": lambda r: _part(r, "accuracy", "mean_f1", 1, ".3f"),
}
COLUMNS = tuple(_CELLS)


def with_speedups(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Records with ``speedup``: p50 of the package's FP32 on the same backend, threads and batch, over theirs."""

    def key(record: Record) -> tuple[Any, ...]:
        return record["package"], record["backend"], record["threads"], record["batch"]

    base = {key(r): r["latency"]["p50_ms"] for r in records if r["variant"] == "fp32"}
    return [
        {**r, "speedup": base[key(r)] / r["latency"]["p50_ms"] if key(r) in base else None}
        for r in records
    ]  # fmt: skip


def row(record: Record) -> dict[str, str]:
    """One record as text by COLUMNS."""
    return {name: cell(record) for name, cell in _CELLS.items()}


def lines(records: Sequence[Record]) -> list[str]:
    """A table for the terminal: a head, a rule, and one record a line, columns aligned."""
    many = len({record["package"] for record in records}) > 1
    rows = [row(record) for record in records]
    if many:
        rows = [{**r, "variant": f"{v['package']}/{r['variant']}"} for r, v in zip(rows, records, strict=True)]
    widths = {name: max(len(r[name]) for r in [dict.fromkeys(COLUMNS, name), *rows]) for name in COLUMNS}
    head = {name: name for name in COLUMNS}
    rule = "  ".join("-" * width for width in widths.values())
    return [_aligned(head, widths), rule, *(_aligned(r, widths) for r in rows)]


def _aligned(cells: Mapping[str, str], widths: Mapping[str, int]) -> str:
    text = (cells[n].ljust(w) if n in ("variant", "backend") else cells[n].rjust(w) for n, w in widths.items())
    return "  ".join(text).rstrip()

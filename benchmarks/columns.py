"""The columns of the table of measurements, the same on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]


def _part(record: Record, group: str, key: str, scale: float, layout: str) -> str:
    """A figure of the record's group; a dash if it was not measured."""
    value = (record.get(group) or {}).get(key)
    return "-" if value is None else format(value * scale, layout)


def _uncertainty(record: Record) -> str:
    """Half the 95% interval of p50 as a share of p50."""
    low, high = record["latency"]["p50_interval_ms"]
    return "-" if high is None else f"{(high - low) / 2 / record['latency']['p50_ms']:.1%}"


def _tail(record: Record, percentile: str) -> str:
    """A percentile; a dash if there are too few calls for the upper end of its interval."""
    known = record["latency"][f"{percentile}_interval_ms"][1] is not None
    return _part(record, "latency", f"{percentile}_ms", 1, ".3f") if known else "-"


def _speed(record: Record) -> str:
    """How many times as fast as FP32; ``same`` or a span where that is all that can be said."""
    ratio = record.get("versus_fp32")
    if ratio is None:
        return "-"
    if record["variant"] == "fp32" or ratio["verdict"] in ("faster", "slower"):
        return f"{1 / ratio['value']:.2f}x"
    if ratio["verdict"] == "no difference":
        return "same"
    if ratio["high"] is None or not ratio["low"]:
        return "?"
    return f"{1 / ratio['high']:.2f}-{1 / ratio['low']:.2f}x"


def _cold_start(record: Record) -> str:
    """From the start of a process to its first answer."""
    times = record.get("cold_start")
    return "-" if times is None else f"{times['imports_ms'] + times['load_ms'] + times['first_ms']:.0f}"


_CELLS: dict[str, Callable[[Record], str]] = {
    "variant": lambda r: str(r["variant"]),
    "backend": lambda r: str(r["backend"]),
    "threads": lambda r: str(r["threads"] or "auto"),
    "batch": lambda r: str(r["batch"]),
    "p50 ms": lambda r: _part(r, "latency", "p50_ms", 1, ".3f"),
    "±": _uncertainty,
    "p90 ms": lambda r: _tail(r, "p90"),
    "p99 ms": lambda r: _tail(r, "p99"),
    "p99.9 ms": lambda r: _tail(r, "p999"),
    "faces/s": lambda r: f"{r['throughput_per_s']:.0f}",
    "vs fp32": _speed,
    "of limit": lambda r: _part(r, "limit", "share", 1, ".0%"),
    "MB": lambda r: _part(r, "facts", "size_bytes", 1e-6, ".2f"),
    "params": lambda r: _part(r, "facts", "parameters", 1, ",.0f"),
    "MMACs": lambda r: _part(r, "facts", "macs", 1e-6, ".1f"),
    "weights kB": lambda r: _part(r, "limit", "weight_bytes", 1e-3, ",.0f"),
    "activations kB": lambda r: _part(r, "limit", "activation_bytes", 1e-3, ",.0f"),
    "peak MiB": lambda r: _part(r, "memory", "peak_mib", 1, ".0f"),
    "model MiB": lambda r: _part(r, "memory", "model_mib", 1, ".1f"),
    "cold ms": _cold_start,
    "mJ": lambda r: _part(r, "energy", "energy_mj", 1, ".2f"),
    "F1": lambda r: _part(r, "accuracy", "mean_f1", 1, ".3f"),
}
COLUMNS = tuple(_CELLS)
# The page has two tables, since one of all columns is wider than a screen.
SPEED_COLUMNS = ("variant", "backend", "threads", "batch", "p50 ms", "±", "p90 ms", "p99 ms", "p99.9 ms", "faces/s",
                 "vs fp32", "of limit")  # fmt: skip
COST_COLUMNS = ("variant", "backend", "threads", "batch", "MB", "params", "MMACs", "weights kB", "activations kB",
                "peak MiB", "model MiB", "cold ms", "mJ", "F1")  # fmt: skip


# A terminal is narrow: these are on the page only, and those are left out if no record has them.
_PAGE_ONLY = ("weights kB", "activations kB")
_HIDDEN = ("p99.9 ms", "mJ", "F1", "peak MiB", "model MiB", "cold ms", "of limit")


def rows_of(records: Sequence[Record], cells: Callable[[Record], dict[str, str]]) -> list[dict[str, str]]:
    """``cells`` of each record; variants carry the package's name if there are several packages."""
    several = len({record["package"] for record in records}) > 1
    rows = [cells(record) for record in records]
    if several:
        rows = [{**r, "variant": f"{v['package']}/{r['variant']}"} for r, v in zip(rows, records, strict=True)]
    return rows


def row(record: Record) -> dict[str, str]:
    """One record as text by COLUMNS."""
    return {name: cell(record) for name, cell in _CELLS.items()}


def interval_row(record: Record) -> dict[str, str]:
    """Percentiles of one record, each with its 95% interval, and the fastest call."""
    times = record["latency"]
    cells = {"variant": str(record["variant"]), "backend": str(record["backend"]), "calls": f"{times['samples']:,}"}
    cells["fastest ms"] = f"{times['min_ms']:.3f}"
    for key, name in (("p50", "p50 ms"), ("p90", "p90 ms"), ("p99", "p99 ms"), ("p999", "p99.9 ms")):
        low, high = times[f"{key}_interval_ms"]
        end = "unknown" if high is None else f"{high:.3f}"
        cells[name] = f"{times[f'{key}_ms']:.3f} ({low:.3f} to {end})"
    return cells


def lines(records: Sequence[Record]) -> list[str]:
    """A table for the terminal: a head, a rule, and one line per record, columns aligned."""
    shown = rows_of(records, row)
    empty = {name for name in _HIDDEN if all(cells[name] == "-" for cells in shown)}
    cells = [{name: cell for name, cell in each.items() if name not in (*_PAGE_ONLY, *empty)} for each in shown]
    return aligned(cells, left=("variant", "backend"))


def aligned(rows: Sequence[Mapping[str, str]], left: Sequence[str] = ()) -> list[str]:
    """Rows with the same keys as lines: a head, a rule, and the rows; columns in ``left`` are aligned to the left."""
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}

    def line(cells: Mapping[str, str]) -> str:
        text = (cells[n].ljust(w) if n in left else cells[n].rjust(w) for n, w in widths.items())
        return "  ".join(text).rstrip()

    return [
        line({name: name for name in widths}),
        "  ".join("-" * width for width in widths.values()),
        *map(line, rows),
    ]

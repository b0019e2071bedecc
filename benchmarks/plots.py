"""Plots of measurements as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Okabe and Ito's palette (2008), which colour-blind readers can distinguish.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")


@dataclass(frozen=True)
class Plot:
    """SVG bytes and a sentence that describes them."""

    svg: bytes
    caption: str


def labels(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of records on an axis; they start with the package if there are several."""
    several = len({record["package"] for record in records}) > 1
    return [f"{record['package']} {_label(record)}" if several else _label(record) for record in records]


def _label(record: Mapping[str, Any]) -> str:
    threads = record["threads"]
    extra = f", {threads} thread{'s' if threads != 1 else ''}" if threads else ""
    batch = f", batch {record['batch']}" if record["batch"] != 1 else ""
    return f"{record['variant']} · {record['backend']}{extra}{batch}"


def latency_bars(records: Sequence[Mapping[str, Any]]) -> Plot:
    """One bar per record: p50, with a line to p99."""
    figure, axes = _figure(0.38 * len(records) + 1.2)
    backends = sorted({record["backend"] for record in records})
    for row, record in enumerate(records):
        latency = record["latency"]
        colour = PALETTE[backends.index(record["backend"])]
        axes.barh(row, latency["p50_ms"], color=colour, height=0.62)
        axes.plot([latency["p50_ms"], latency["p99_ms"]], [row, row], color="#1c2430", linewidth=1.2)
        axes.plot([latency["p99_ms"]], [row], marker="|", color="#1c2430", markersize=8)
        axes.annotate(
            f" {latency['p50_ms']:.2f} (p99 {latency['p99_ms']:.2f})",
            (latency["p99_ms"], row),
            va="center",
            fontsize=9,
            xytext=(4, 0),
            textcoords="offset points",
        )
    axes.set_yticks(range(len(records)), labels(records))
    axes.invert_yaxis()
    axes.set_xlabel("ms per call")
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    return Plot(
        _svg(figure),
        "Latency of each variant and backend: the bar is p50, the line extends to p99.",
    )


def latency_curves(records: Sequence[Mapping[str, Any]]) -> Plot:
    """The cumulative distribution of the latency of every record."""
    figure, axes = _figure(3.4)
    for number, (name, record) in enumerate(zip(labels(records), records, strict=True)):
        samples = np.sort(np.asarray(record["samples_ms"], float))
        share = np.arange(1, len(samples) + 1) / len(samples)
        style = ("-", "--", ":")[number // len(PALETTE) % 3]
        axes.plot(samples, share * 100, style, color=PALETTE[number % len(PALETTE)], linewidth=1.6, label=name)
    limit = max(record["latency"]["p99_ms"] for record in records)
    axes.set_xlim(0, limit * 1.15)
    axes.set_ylim(0, 100)
    axes.set_xlabel("ms per call")
    axes.set_ylabel("% of calls")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return Plot(_svg(figure), "Cumulative distribution of all timed calls: a steep curve means steady latency.")


def _figure(height_in: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, max(2.2, height_in)), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()

"""Plots of measurements as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Okabe and Ito's palette (2008), told apart also by colour-blind readers.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")


@dataclass(frozen=True)
class Plot:
    """SVG bytes and the sentence that says what they show."""

    svg: bytes
    caption: str


def label(record: Mapping[str, Any]) -> str:
    """How a record is named on an axis."""
    threads = record["threads"]
    extra = f", {threads} thread{'s' if threads != 1 else ''}" if threads else ""
    batch = f", batch {record['batch']}" if record["batch"] != 1 else ""
    return f"{record['variant']} · {record['backend']}{extra}{batch}"


def latency_bars(records: Sequence[Mapping[str, Any]]) -> Plot:
    """One bar each: p50, with a line to p99."""
    figure, axes = _figure(0.38 * len(records) + 1.2)
    backends = sorted({record["backend"] for record in records})
    for row, record in enumerate(records):
        latency = record["latency"]
        colour = PALETTE[backends.index(record["backend"])]
        axes.barh(row, latency["p50_ms"], color=colour, height=0.62)
        axes.plot([latency["p50_ms"], latency["p99_ms"]], [row, row], color="#1c2430", linewidth=1.2)
        axes.plot([latency["p99_ms"]], [row], marker="|", color="#1c2430", markersize=8)
        axes.annotate(f" {latency['p50_ms']:.2f}", (latency["p99_ms"], row), va="center", fontsize=9, xytext=(4, 0),
                      textcoords="offset points")  # fmt: skip
    axes.set_yticks(range(len(records)), [label(record) for record in records])
    axes.invert_yaxis()
    axes.set_xlabel("ms a call")
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    return Plot(
        _svg(figure),
        "Latency of each variant and backend: the bar is p50 (its figure at the right), the line reaches p99.",
    )


def latency_curves(records: Sequence[Mapping[str, Any]]) -> Plot:
    """The share of calls that took no longer than so many ms, for every record."""
    figure, axes = _figure(3.4)
    for number, record in enumerate(records):
        samples = np.sort(np.asarray(record["samples_ms"], float))
        share = np.arange(1, len(samples) + 1) / len(samples)
        style = ("-", "--", ":")[number // len(PALETTE) % 3]
        axes.plot(samples, share * 100, style, color=PALETTE[number % len(PALETTE)], linewidth=1.6, label=label(record))
    limit = max(record["latency"]["p99_ms"] for record in records)
    axes.set_xlim(0, limit * 1.15)
    axes.set_ylim(0, 100)
    axes.set_xlabel("ms a call")
    axes.set_ylabel("% of calls")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return Plot(_svg(figure), "Every timed call: how many per cent took no longer than so many ms. Steep is steady.")


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


def clip_curves(aus: Sequence[str], time_s: np.ndarray, presence: np.ndarray) -> bytes:
    """A PNG with a strip for every AU: presence 0..1 over time, half a second's mean in front of the raw values.

    Args:
        aus: A names.
        time_s: float [T].
        presence: float [T, A].
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 0.62 * len(aus) + 0.8), layout="constrained")
    strips = figure.subplots(len(aus), sharex=True, squeeze=False)[:, 0]
    width = max(1, round(0.5 / max(1e-6, float(np.median(np.diff(time_s))))))
    kernel = np.ones(width) / width
    for strip, au, values in zip(strips, aus, presence.T, strict=True):
        smooth = np.convolve(np.pad(values, width // 2, mode="edge"), kernel, mode="valid")[: len(values)]
        strip.fill_between(time_s, values, color="#c9d6e2", linewidth=0)
        strip.plot(time_s[: len(smooth)], smooth, color=PALETTE[0], linewidth=1.4)
        strip.axhline(0.5, color="#9aa5b1", linewidth=0.6)
        strip.set_ylim(0, 1)
        strip.set_yticks([])
        strip.set_ylabel(au, rotation=0, ha="right", va="center", fontsize=9)
        strip.spines[["top", "right"]].set_visible(False)
    strips[-1].set_xlabel("s")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()

"""The pictures of a report: latency, its distribution, stages, roofline and Pareto fronts, from records as JSON.

Records are numbered as in the tables, and the pictures show the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import svg
from .svg import WIDTH

Record = Mapping[str, Any]

# Okabe and Ito's palette (2008), which colour-blind readers can distinguish.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")

_ROW = 44
# The axis of latencies ends at this many times the slowest p50; slower calls are given as a number.
_TAIL = 3.0
_BINS = 90


@dataclass(frozen=True)
class Plot:
    """An SVG element, its heading and a sentence that describes it."""

    svg: str
    title: str
    caption: str


def labels(records: Sequence[Record]) -> list[str]:
    """The names of records; they start with the package if there are several."""
    several = len({record["package"] for record in records}) > 1
    return [f"{record['package']} {_label(record)}" if several else _label(record) for record in records]


def _label(record: Record) -> str:
    threads = record["threads"]
    extra = f", {threads} thread{'s' if threads != 1 else ''}" if threads else ""
    batch = f", batch {record['batch']}" if record["batch"] != 1 else ""
    return f"{record['variant']} · {record['backend']}{extra}{batch}"


def _style(records: Sequence[Record], record: Record) -> tuple[int, str]:
    """Shape and colour of a record's backend."""
    number = sorted({each["backend"] for each in records}).index(record["backend"])
    return number, f"c{number % 6}"


def latency_bars(records: Sequence[Record]) -> Plot:
    """One bar per record up to p50, with p50's interval on it, and a line on to p99."""
    end = _TAIL * max(record["latency"]["p50_ms"] for record in records)
    scale = svg.Scale(0, min(end, max(record["latency"]["p99_ms"] for record in records)) * 1.02, 4, WIDTH - 90)
    bottom = _ROW * len(records) + 8
    parts = svg.axis_below(scale, bottom, 4, "ms per call")
    for number, (name, record) in enumerate(zip(labels(records), records, strict=True)):
        parts += _latency_row(f"{number + 1}  {name}", record, _ROW * number + 18, scale, _style(records, record)[1])
    return Plot(
        svg.picture(parts, bottom + 44, "Latency of each candidate"),
        "Latency",
        "The bar is p50, with its 95% interval; the thin line extends to p99. Calls beyond the axis are written.",
    )


def _latency_row(name: str, record: Record, y: float, scale: svg.Scale, colour: str) -> list[str]:
    times = record["latency"]
    p50, p99 = times["p50_ms"], times["p99_ms"]
    low, high = times["p50_interval_ms"]
    right = min(scale(p99), scale.end)
    arrow = "→ " if p99 > scale.high else ""
    parts = [
        svg.text(4, y, name),
        svg.text(WIDTH - 4, y, f"p50 {p50:.3f}", anchor="end", style="strong"),
        svg.rectangle(scale.start, y + 6, scale(p50) - scale.start, 12, colour),
        svg.line(scale(p50), y + 12, right, y + 12, "ink"),
        svg.line(right, y + 8, right, y + 16, "ink"),
        svg.text(WIDTH - 4, y + 17, f"{arrow}p99 {p99:.3f}", anchor="end", style="soft"),
    ]
    ends = [scale(each) for each in (low, high) if each is not None and each <= scale.high]
    return parts + [svg.line(x, y + 4, x, y + 20, "ink") for x in ends]


def latency_shapes(records: Sequence[Record]) -> Plot:
    """The distribution of each record's calls on one logarithmic axis."""
    samples = [np.asarray(record["samples_ms"], float) for record in records]
    low = min(float(each.min()) for each in samples)
    high = max(float(np.percentile(each, 99)) for each in samples)
    scale = svg.around((low, high), 4, WIDTH - 8, log=True)
    bottom = _ROW * len(records) + 8
    parts = svg.axis_below(scale, bottom, 4, "ms per call, logarithmic")
    edges = np.geomspace(scale.low, scale.high, _BINS + 1)
    for number, (name, record, values) in enumerate(zip(labels(records), records, samples, strict=True)):
        base = _ROW * (number + 1)
        counts = np.histogram(values, edges)[0].astype(float)
        heights = counts / max(counts.max(), 1) * 22
        points = [(scale(x), base - h) for x, h in zip((edges[:-1] + edges[1:]) / 2, heights, strict=True)]
        shape = [(points[0][0], float(base)), *points, (points[-1][0], float(base))]
        middle = scale(record["latency"]["p50_ms"])
        parts += [
            svg.path(shape, f"{_style(records, record)[1]} shape", closed=True),
            svg.line(middle, base - 24, middle, base + 3, "ink"),
            svg.text(4, base - 26, f"{number + 1}  {name}"),
        ]
    return Plot(
        svg.picture(parts, bottom + 44, "Distribution of each candidate's calls"),
        "Distribution",
        "How often a call took how long, all calls; the line is p50. A second hump is another process or a clock.",
    )


def stage_bars(stages: Sequence[Mapping[str, Any]]) -> Plot:
    """One picture from end to end: each stage begins where the one before ends."""
    names = {"detect_ms": "find faces", "crop_ms": "crop", "infer_ms": "the model's call", "rest_ms": "the rest"}
    scale = svg.Scale(0, max(each["total_ms"] for each in stages) * 1.02, 150, WIDTH - 80)
    y, height = 4.0, (32 + 24 * len(names)) * len(stages) + 4.0
    parts = svg.axis_below(scale, height, 4, f"ms, one picture ({stages[0]['image']})")
    for each in stages:
        parts.append(
            svg.text(4, y + 14, f"{each['package']}: {each['variant']} · {each['backend']}, {each['detector']}")
        )
        done = 0.0
        for number, (key, name) in enumerate(names.items()):
            top = y + 24 + 24 * number
            left, right = scale(done), scale(done + each[key])
            parts += [
                svg.text(scale.start - 8, top + 13, name, anchor="end", style="soft"),
                svg.rectangle(left, top, right - left, 16, f"c{number}"),
                svg.text(right + 6, top + 13, f"{each[key]:.2f}"),
            ]
            done += each[key]
        y += 32 + 24 * len(names)
    return Plot(
        svg.picture(parts, y + 44, "Stages of one picture"),
        "Stages",
        "Medians of one picture with the analyzer, as an application runs it. Scaling and normalization of pixels are "
        "in the model's graph.",
    )


def roofline(records: Sequence[Record], peaks: Sequence[Mapping[str, Any]]) -> Plot | None:
    """Reached arithmetic over arithmetic intensity, below the roofs of the device; None if no record has a limit."""
    known = [(number, record) for number, record in enumerate(records, 1) if record.get("limit")]
    if not known or not peaks:
        return None
    limits = [record["limit"] for _, record in known]
    roofs = sorted({(limit["precision"], limit["peak_gmacs_per_s"], limit["gbytes_per_s"]) for limit in limits})
    x = svg.around([limit["macs_per_byte"] for limit in limits] + [0.5, 60], 52, WIDTH - 16, log=True)
    heights = [limit["gmacs_per_s"] for limit in limits] + [peak for _, peak, _ in roofs]
    y = svg.around([*heights, min(heights) / 2], 300, 34, log=True)
    parts = [
        *svg.axis_below(x, 300, 34, "multiply-adds per byte moved"),
        *svg.axis_left(y, 52, WIDTH - 16, "10⁹ multiply-adds per second"),
    ]
    for number, (precision, peak, bandwidth) in enumerate(roofs):
        knee = peak / bandwidth
        start = (x.low, max(y.low, bandwidth * x.low))
        if start[1] == y.low:
            start = (y.low / bandwidth, y.low)
        corners = [start, (knee, peak), (x.high, peak)] if knee > start[0] else [(x.low, peak), (x.high, peak)]
        parts.append(svg.path([(x(a), y(b)) for a, b in corners], f"roof dash{number % 3}"))
        parts.append(svg.text(WIDTH - 18, y(peak) - 6, f"{precision} {peak:.0f}", anchor="end", style="soft"))
    for number, record in known:
        limit = record["limit"]
        shape, colour = _style(records, record)
        at = x(limit["macs_per_byte"]), y(limit["gmacs_per_s"])
        parts += [svg.marker(*at, shape, colour), svg.text(at[0] + 9, at[1] + 5, str(number))]
    return Plot(
        svg.picture(parts, 342, "Roofline of this device"),
        "Roofline",
        "Lines: what the device can do, limited by bandwidth on the left and by arithmetic on the right. The distance "
        "of a model below its line is time that is not arithmetic.",
    )


def pareto(records: Sequence[Record]) -> list[Plot]:
    """Accuracy against latency, size and energy; only of records that have both."""
    axes: tuple[tuple[str, str, Callable[[Record], float | None]], ...] = (
        ("latency", "p50 ms of one call", lambda r: r["latency"]["p50_ms"] if r["batch"] == 1 else None),
        ("size", "size of the file, MB", lambda r: _figure(r, "facts", "size_bytes", 1e-6)),
        ("energy", "mJ per call", lambda r: _figure(r, "energy", "energy_mj", 1)),
    )
    plots = [_front(records, name, label, value) for name, label, value in axes]
    return [plot for plot in plots if plot is not None]


def _figure(record: Record, group: str, key: str, scale: float) -> float | None:
    value = (record.get(group) or {}).get(key)
    return None if value is None else value * scale


def _front(records: Sequence[Record], name: str, label: str, cost_of: Callable[[Record], float | None]) -> Plot | None:
    points = [
        (number, record, cost, f1)
        for number, record in enumerate(records, 1)
        if (f1 := _figure(record, "accuracy", "mean_f1", 1)) is not None and (cost := cost_of(record)) is not None
    ]
    if len(points) < 2:
        return None
    x = svg.around([cost for _, _, cost, _ in points], 52, WIDTH - 24, log=True)
    y = svg.around([f1 for *_, f1 in points], 300, 34, margin=0.15)
    front = sorted(
        (cost, f1) for _, _, cost, f1 in points
        if not any(c <= cost and f >= f1 and (c, f) != (cost, f1) for _, _, c, f in points)
    )  # fmt: skip
    parts = [*svg.axis_below(x, 300, 34, label), *svg.axis_left(y, 52, WIDTH - 16, "mean F1")]
    parts.append(svg.path([(x(cost), y(f1)) for cost, f1 in front], "roof dash0"))
    placed: list[tuple[float, float]] = []
    for number, record, cost, f1 in points:
        shape, colour = _style(records, record)
        on_front = (cost, f1) in front
        at = x(cost), y(f1)
        parts.append(svg.marker(*at, shape, colour if on_front else f"{colour} hollow"))
        beside = at[0] + 9, at[1] + 5
        while any(abs(beside[0] - a) < 18 and abs(beside[1] - b) < 13 for a, b in placed):
            beside = beside[0], beside[1] - 13
        placed.append(beside)
        parts.append(svg.text(*beside, str(number)))
    return Plot(
        svg.picture(parts, 342, f"Accuracy against {name}"),
        f"Accuracy against {name}",
        f"Filled: no other has at least the accuracy at less {name}, the line joins these; hollow: another has. "
        "Shapes are backends.",
    )


def backends_legend(records: Sequence[Record]) -> str:
    """Which shape and colour is which backend, as an SVG element."""
    parts: list[str] = []
    x = 12.0
    for backend in sorted({record["backend"] for record in records}):
        shape, colour = _style(records, next(each for each in records if each["backend"] == backend))
        parts += [svg.marker(x, 12, shape, colour), svg.text(x + 12, 17, backend)]
        x += 40 + 8 * len(backend)
    return svg.picture(parts, 24, "Backends")

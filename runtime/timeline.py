"""A plot of action units over time, as SVG: one row per AU, one line per face, shaded where the AU is present.

It is written by hand, so that a device needs no plotting library. Its size and memory don't grow with the video: times
are gathered into bins, which double in width when there are too many.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from html import escape
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from .action_units import MEANINGS
from .draw import TRACK_COLOURS
from .errors import InputError
from .face import Face
from .files import write_text
from .sources import Frame, Source

SUFFIXES = (".svg", ".html")
_MOST_BINS = 1200
_FIRST_BIN_S = 1 / 30
_MOST_FACES = 6
_MOST_STORED_FACES = 64
_ROW_PX, _LEFT_PX, _WIDTH_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 44, 190, 960, 24, 78, 44
_TICKS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)

# One AU of one face in one bin: sum of presence, frames, frames in which it is present.
_Cell = Tuple[float, int, int]


class Timeline:
    """Gathers results over time.

    Args:
        aus: the AUs to plot, in this order.
    """

    def __init__(self, aus: Sequence[str]) -> None:
        self.aus, self.bin_s, self.end_s = tuple(aus), _FIRST_BIN_S, 0.0
        self._faces: Dict[int, Dict[int, List[_Cell]]] = {}
        self._frames: Counter[int] = Counter()

    def add(self, time_s: float, faces: Sequence[Face]) -> None:
        """Add the faces of a frame; times don't go back."""
        self.end_s = max(self.end_s, time_s)
        while self.end_s / self.bin_s >= _MOST_BINS:
            self._double()
        for face in faces:
            if face.track_id not in self._faces and len(self._faces) >= _MOST_STORED_FACES:
                self._drop_shortest()
            self._frames[face.track_id] += 1
            bins = self._faces.setdefault(face.track_id, {})
            index = int(time_s / self.bin_s)
            cells = bins.get(index) or [(0.0, 0, 0)] * len(self.aus)
            bins[index] = [
                (total + face.au[au], count + 1, present + bool(face.present[au]))
                for au, (total, count, present) in zip(self.aus, cells)
            ]

    def tracks(self) -> List[int]:
        """Numbers of the faces seen longest, in order of their number."""
        return sorted(number for number, _ in self._frames.most_common(_MOST_FACES))

    def series(self, track: int, au: str) -> List[Tuple[float, float, bool]]:
        """Middle of the bin in seconds, mean presence, and whether the AU is present in most of its frames."""
        column = self.aus.index(au)
        bins = sorted(self._faces.get(track, {}).items())
        cells = [(index, cells[column]) for index, cells in bins]
        return [((i + 0.5) * self.bin_s, total / count, 2 * on > count) for i, (total, count, on) in cells]

    def _double(self) -> None:
        self.bin_s *= 2
        for track, bins in self._faces.items():
            merged: Dict[int, List[_Cell]] = {}
            for index, cells in bins.items():
                other = merged.get(index // 2)
                merged[index // 2] = cells if other is None else [_sum(a, b) for a, b in zip(other, cells)]
            self._faces[track] = merged

    def _drop_shortest(self) -> None:
        number = min(self._faces, key=lambda track: (self._frames[track], track))
        del self._faces[number], self._frames[number]


def _sum(a: _Cell, b: _Cell) -> _Cell:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def check_plot(target: Path) -> None:
    """Raise InputError where a plot can't be written under this name."""
    if target.suffix.lower() not in SUFFIXES:
        raise InputError(f"plot {target}", got=target.suffix or "no suffix", expected=" or ".join(SUFFIXES))


@contextlib.contextmanager
def open_timeline(target: Path, source: Source, aus: Sequence[str]) -> Iterator[_Collector]:
    """Yield a function that adds a frame's faces; the plot is written at the end, even if that is an interruption."""
    timeline = Timeline(aus)
    try:
        yield _Collector(timeline)
    finally:
        svg = timeline_svg(timeline, Path(source.name).name or source.name)
        write_text(target, _page(svg) if target.suffix.lower() == ".html" else svg)


class _Collector:
    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def __call__(self, frame: Frame, faces: Sequence[Face]) -> None:
        self._timeline.add(frame.time_s, faces)


def timeline_svg(timeline: Timeline, title: str) -> str:
    """The plot as an SVG document, in the reader's light or dark colours."""
    tracks, height = timeline.tracks(), _TOP_PX + _ROW_PX * len(timeline.aus) + _BOTTOM_PX
    width = _LEFT_PX + _WIDTH_PX + _RIGHT_PX
    end_s = max(timeline.end_s + timeline.bin_s, timeline.bin_s)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="Action units over time in {escape(title, quote=True)}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<text class="title" x="24" y="34">{escape(title)}</text>',
        *_legend(tracks, len(timeline._frames)),
        *_time_axis(end_s, _TOP_PX, height - _BOTTOM_PX),
    ]
    for row, au in enumerate(timeline.aus):
        parts += _row(timeline, tracks, au, _TOP_PX + row * _ROW_PX, end_s)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(tracks: Sequence[int], seen: int) -> List[str]:
    parts = [f'<text class="note" x="{_LEFT_PX}" y="58">line: presence 0 to 1; shaded: present</text>']
    x = _LEFT_PX + _WIDTH_PX
    rest = seen - len(tracks)
    labels = [(f"face {track}", _colour(track)) for track in tracks]
    for label, colour in reversed([*labels, *([(f"and {rest} more", None)] if rest > 0 else [])]):
        parts.append(f'<text class="note" x="{x}" y="34" text-anchor="end">{label}</text>')
        x -= 7 * len(label) + 10
        if colour:
            parts.append(f'<rect x="{x - 8}" y="25" width="14" height="10" rx="2" fill="{colour}"/>')
        x -= 26
    return parts


def _time_axis(end_s: float, top: int, bottom: int) -> List[str]:
    step = next((tick for tick in _TICKS_S if end_s / tick <= 10), _TICKS_S[-1])
    parts = []
    for number in range(int(end_s / step) + 1):
        x = _x(number * step, end_s)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        label = _clock(number * step, step)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{label}</text>')
    return parts


def _row(timeline: Timeline, tracks: Sequence[int], au: str, top: int, end_s: float) -> List[str]:
    low, high = top + _ROW_PX - 6, top + 6
    parts = [
        f'<text class="au" x="24" y="{top + 20}">{au}</text>',
        f'<text class="note" x="24" y="{top + 35}">{escape(MEANINGS.get(au, ""))}</text>',
        f'<line class="base" x1="{_LEFT_PX}" x2="{_LEFT_PX + _WIDTH_PX}" y1="{low}" y2="{low}"/>',
    ]
    for track in tracks:
        colour = _colour(track)
        for run in _runs(timeline.series(track, au), 4 * timeline.bin_s):
            points = [(_x(time_s, end_s), low - (low - high) * value) for time_s, value, _ in run]
            for active in _active(run, points):
                area = [(active[0][0], low), *active, (active[-1][0], low)]
                parts.append(f'<path d="{_path(area)}Z" fill="{colour}" fill-opacity=".35"/>')
            parts.append(f'<path class="line" d="{_path(points)}" stroke="{colour}"/>')
    return parts


def _runs(series: Sequence[Tuple[float, float, bool]], longest_gap_s: float) -> List[List[Tuple[float, float, bool]]]:
    """The series in parts, between which the face was away."""
    runs: List[List[Tuple[float, float, bool]]] = []
    for point in series:
        if runs and point[0] - runs[-1][-1][0] <= longest_gap_s:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs


def _active(
    run: Sequence[Tuple[float, float, bool]], points: Sequence[Tuple[float, float]]
) -> List[List[Tuple[float, float]]]:
    """The points in parts in which the AU is present."""
    parts: List[List[Tuple[float, float]]] = []
    before = False
    for (_, _, present), point in zip(run, points):
        if present and before:
            parts[-1].append(point)
        elif present:
            parts.append([point])
        before = present
    return parts


def _path(points: Sequence[Tuple[float, float]]) -> str:
    if len(points) == 1:  # a single bin is as visible as a short line
        points = [points[0], (points[0][0] + 1, points[0][1])]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _x(time_s: float, end_s: float) -> float:
    return _LEFT_PX + _WIDTH_PX * time_s / end_s


def _colour(track: int) -> str:
    blue, green, red = TRACK_COLOURS[track % len(TRACK_COLOURS)]
    return f"#{red:02x}{green:02x}{blue:02x}"


def _clock(time_s: float, step: float) -> str:
    minutes, seconds = divmod(time_s, 60)
    if step < 1:
        return f"{int(minutes)}:{seconds:04.1f}"
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{int(seconds):02d}" if hours else f"{minutes}:{int(seconds):02d}"


def _page(svg: str) -> str:
    """The plot as a page, scaled to the window."""
    scaled = svg.replace("<svg ", '<svg style="width:100%;height:auto" ', 1)
    return f'<!doctype html><meta charset="utf-8"><title>Action units</title><body style="margin:0">\n{scaled}</body>\n'


_STYLE = """
text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2428; }
.page { fill: #ffffff; } .title { font-size: 20px; font-weight: 600; } .au { font-size: 14px; font-weight: 600; }
.note, .tick { font-size: 12px; fill: #68717a; } .grid { stroke: #eceff1; } .base { stroke: #cfd5da; }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round; stroke-linecap: round; }
@media (prefers-color-scheme: dark) {
text { fill: #eef1f4; } .page { fill: #16191d; } .note, .tick { fill: #9aa4ad; }
.grid { stroke: #23282e; } .base { stroke: #3a424a; }
}
"""

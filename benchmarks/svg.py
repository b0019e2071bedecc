"""Scalable pictures as text, coloured by the style of the page that they are part of.

Everything is drawn in a box 560 wide with letters 14 high, so that a picture is readable on a phone and two stand side
by side on a screen. Nothing depends on colour alone.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .style import STYLE

WIDTH = 560
TEXT = 14


@dataclass(frozen=True)
class Scale:
    """Maps values to positions.

    Attributes:
        low, high: values at the ends; above 0 if ``log``.
        start, end: their positions.
        log: whether equal ratios are equal distances.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        at = math.log(max(value, 1e-12)) if self.log else value
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + (self.end - self.start) * share

    def ticks(self, count: int = 5) -> list[float]:
        """Round values within the ends: 1, 2 or 5 times a power of ten."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for steps in (range(1, 10), (1, 2, 5), (1, 3), (1,)):
                values = [step * 10.0**power for power in powers for step in steps]
                inside = [value for value in values if self.low <= value <= self.high]
                if len(inside) <= count + 2:
                    break
            return inside
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        size = 10 ** math.floor(math.log10(span / count))
        step = next(size * each for each in (1, 2, 5, 10) if span / (size * each) <= count)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def around(values: Iterable[float], start: float, end: float, *, log: bool = False, margin: float = 0.08) -> Scale:
    """A scale with all values inside and some room at both ends."""
    known = list(values)
    low, high = min(known), max(known)
    if log:
        factor = max((high / low) ** margin, 1.25)
        return Scale(low / factor, high * factor, start, end, log=True)
    room = (high - low) * margin or abs(high) * margin or 1.0
    return Scale(low - room, high + room, start, end)


def picture(parts: Sequence[str], height: float, title: str) -> str:
    """The parts in one SVG element; the title is read aloud where the picture can't be seen."""
    name = html.escape(title)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{name}">'
        f"<title>{name}</title>{''.join(parts)}</svg>"
    )


def standalone(parts: Sequence[str], height: float, title: str) -> str:
    """The parts as an SVG file of their own, with the pages' style and a background."""
    name = html.escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" role="img"><title>{name}</title><style>{html.escape(STYLE, quote=False)}'
        f'</style><rect width="100%" height="100%" style="fill: var(--page)"/>{"".join(parts)}</svg>\n'
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", style: str = "") -> str:
    """A line of text whose baseline is at y."""
    look = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{look}>{html.escape(words)}</text>'


def rectangle(x: float, y: float, width: float, height: float, style: str) -> str:
    """A filled box, at least a hairline wide."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" class="{style}"/>'


def line(x1: float, y1: float, x2: float, y2: float, style: str = "rule") -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def path(points: Sequence[tuple[float, float]], style: str, *, closed: bool = False) -> str:
    """Lines through points."""
    drawn = " ".join(f"{'L' if number else 'M'}{x:.1f} {y:.1f}" for number, (x, y) in enumerate(points))
    return f'<path d="{drawn}{" Z" if closed else ""}" class="{style}"/>'


def marker(x: float, y: float, shape: int, style: str, size: float = 6) -> str:
    """A circle, square, triangle or diamond, by number."""
    if shape % 4 == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" class="{style}"/>'
    corners = {
        1: ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        2: ((0, -1.2), (1.1, 0.9), (-1.1, 0.9)),
        3: ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    }[shape % 4]
    return path([(x + dx * size, y + dy * size) for dx, dy in corners], style, closed=True)


def axis_below(scale: Scale, y: float, top: float, label: str) -> list[str]:
    """Ticks with their values below y, lines up to ``top``, and what the values are."""
    parts = []
    for value in scale.ticks():
        x = scale(value)
        parts += [line(x, top, x, y, "grid"), text(x, y + 16, f"{value:g}", anchor="middle", style="soft")]
    parts.append(text((scale.start + scale.end) / 2, y + 34, label, anchor="middle", style="soft"))
    return parts


def axis_left(scale: Scale, x: float, right: float, label: str) -> list[str]:
    """The same for values upwards; the label is above the axis."""
    parts = []
    for value in scale.ticks():
        y = scale(value)
        parts += [line(x, y, right, y, "grid"), text(x - 6, y + 5, f"{value:g}", anchor="end", style="soft")]
    parts.append(text(4, min(scale.start, scale.end) - 12, label, style="soft"))
    return parts

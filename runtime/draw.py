"""Draw results on images: an outline around each face, and its action units beside it.

Few faces get a panel with a bar for every action unit. Where panels don't fit, as in a group, each face gets a label
that lists only the active ones. Nothing is drawn over a face but its outline and points, and everything scales with the
image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from .action_units import is_au
from .face import Face
from .lettering import put_text, text_size
from .placement import SIDES, Area, anywhere, beside

Colour = Tuple[int, int, int]

# BGR, distinct for colour-blind readers too (Okabe and Ito, "Color Universal Design", 2008), without black.
TRACK_COLOURS: Tuple[Colour, ...] = (
    (233, 180, 86), (0, 159, 230), (115, 158, 0), (167, 121, 204), (178, 114, 0), (0, 94, 213), (66, 228, 240),
)  # fmt: skip
_TEXT, _FAINT, _PANEL, _RAIL = (248, 248, 248), (190, 184, 178), (38, 32, 28), (86, 78, 72)
_PRESENT, _ABSENT = (110, 214, 124), (168, 158, 148)
_PANEL_WEIGHT = 0.8
_MOST_PANELS = 3
_SMALLEST_CAPITAL_PX = 7


@dataclass(frozen=True)
class Style:
    """Sizes in pixels, which follow from the image's.

    Attributes:
        capital: height of capital letters.
        line: thickness of outlines.
    """

    capital: int
    line: int

    @property
    def row(self) -> int:
        """Height of one line of a panel."""
        return round(self.capital * 1.9)

    @property
    def accent(self) -> int:
        """Width of the stripe in the face's colour at a panel's left."""
        return max(2, self.line)

    @property
    def gap(self) -> int:
        """Distance between a face and what belongs to it, and padding inside a panel."""
        return max(3, round(self.capital * 0.7))


def style_of(height: int, width: int) -> Style:
    """Sizes that are as readable at 4K as at 360 lines."""
    short = min(height, width)
    return Style(max(_SMALLEST_CAPITAL_PX, round(short / 58)), max(1, round(short / 300)))


class Annotator:
    """Draws the images of one video, or of one folder.

    Args:
        aus: the AUs to show, in this order.
        moving: the images are a video's, in which a missing neutral is still being found.
    """

    def __init__(self, aus: Sequence[str], *, moving: bool = False) -> None:
        self._aus, self._moving = aus, moving
        self._sides: Dict[int, str] = {}

    def draw(self, image_bgr: np.ndarray, faces: Sequence[Face], *, may_widen: bool = False) -> np.ndarray:
        """Return a copy of the image with the results drawn on it.

        Args:
            image_bgr: uint8 [H, W, 3], BGR.
            faces: the results for this image.
            may_widen: add a strip at the right for the panel of a single face that leaves no room for it.

        Returns:
            uint8 [H, W, 3], BGR. Bars are green where the AU is present.
        """
        drawn = image_bgr.copy()
        height, width = drawn.shape[:2]
        style = style_of(height, width)
        outlines = [_outline(face) for face in faces]
        for face, outline in zip(faces, outlines):
            _mark(drawn, face, outline, style)
        panels = self._panels(faces, outlines, (width, height), style) if len(faces) <= _MOST_PANELS else None
        if panels is None and len(faces) == 1 and may_widen:
            drawn, panels = self._widened(drawn, style)
        if panels is None:
            _labels(drawn, faces, outlines, self._aus, style)
            return drawn
        for face, (place, fitted) in zip(faces, panels):
            _shade(drawn, place, _colour(face), fitted)
            self._panel(drawn, face, place, fitted)
        return drawn

    def _panels(
        self, faces: Sequence[Face], outlines: Sequence[Area], image: Tuple[int, int], style: Style
    ) -> Optional[List[Tuple[Area, Style]]]:
        """A place for each face's panel with the largest text with which all fit; None if they don't."""
        for capital in range(style.capital, max(_SMALLEST_CAPITAL_PX, style.capital * 2 // 3) - 1, -1):
            fitted = Style(capital, style.line)
            places = self._places(faces, outlines, image, fitted)
            if places is not None:
                return [(place, fitted) for place in places]
        return None

    def _places(
        self, faces: Sequence[Face], outlines: Sequence[Area], image: Tuple[int, int], style: Style
    ) -> Optional[List[Area]]:
        size, taken = _panel_size(self._aus, style), [outline.grown(style.line + 1) for outline in outlines]
        places: List[Area] = []
        for face, outline in zip(faces, outlines):
            last = self._sides.get(face.track_id)  # a panel doesn't jump from side to side
            sides = SIDES if last is None else (last, *SIDES)
            gap = max(style.gap, (outline.right - outline.left) // 12)
            found = beside(outline, size, image, [*taken, *places], gap, sides)
            place = found[1] if found else anywhere(size, image, [*taken, *places], style.gap)
            if place is None:
                return None
            if found:
                self._sides[face.track_id] = found[0]
            places.append(place)
        return places

    def _widened(self, drawn: np.ndarray, style: Style) -> Tuple[np.ndarray, List[Tuple[Area, Style]]]:
        height, width = drawn.shape[:2]
        while _panel_size(self._aus, style)[1] > height and style.capital > _SMALLEST_CAPITAL_PX:
            style = Style(style.capital - 1, style.line)
        panel_width, panel_height = _panel_size(self._aus, style)
        wider = np.zeros((max(height, panel_height), width + panel_width, 3), np.uint8)
        wider[:] = _PANEL
        wider[:height, :width] = drawn
        return wider, [(Area(width, 0, width + panel_width, panel_height), style)]

    def _panel(self, drawn: np.ndarray, face: Face, place: Area, style: Style) -> None:
        x, y = place.left + style.accent + style.gap, place.top + style.gap
        title = f"face {face.track_id}"
        put_text(drawn, title, x, y, style.capital, _TEXT)
        if not face.neutral_ready:
            remark = "finding neutral" if self._moving else "no neutral"
            small = max(_SMALLEST_CAPITAL_PX - 1, round(style.capital * 0.7))
            start = place.right - style.gap - text_size(remark, small)[0]
            if start > x + text_size(title, style.capital)[0]:
                put_text(drawn, remark, start, y + style.capital - small, small, _FAINT)
        for row, au in enumerate(self._aus, 1):
            at = (x, y + row * style.row)
            _bar(drawn, au, face.au[au], face.present[au], at, _name_width(self._aus, style), style)


def annotate(image_bgr: np.ndarray, faces: Sequence[Face], aus: Sequence[str]) -> np.ndarray:
    """Return a copy of a picture with an outline around each face and its AUs beside it.

    Args:
        image_bgr: uint8 [H, W, 3], BGR.
        faces: the results for this image.
        aus: the AUs to show, in this order.

    Returns:
        uint8 [H, W or wider, 3], BGR. Bars are green where the AU is present. A picture that a single face fills is
        widened by the panel.
    """
    return Annotator(aus).draw(image_bgr, faces, may_widen=True)


def _outline(face: Face) -> Area:
    left, top, right, bottom = (round(v) for v in face.box_xyxy)
    return Area(left, top, right, bottom)


def _colour(face: Face) -> Colour:
    return TRACK_COLOURS[face.track_id % len(TRACK_COLOURS)]


def _mark(drawn: np.ndarray, face: Face, outline: Area, style: Style) -> None:
    """The outline, as corners joined by a thin line, and the five points."""
    import cv2

    # Thin lines on small faces of large images.
    size = min(outline.right - outline.left, outline.bottom - outline.top)
    line = max(1, min(style.line, size // 40))
    left, top, right, bottom = outline
    cv2.rectangle(drawn, (left, top), (right, bottom), _colour(face), line, cv2.LINE_AA)
    arm, thick = size // 5, line + max(1, line // 2)
    for x, towards in ((left, arm), (right, -arm)):
        for y, down in ((top, arm), (bottom, -arm)):
            corner = np.array([[x + towards, y], [x, y], [x, y + down]], np.int32)
            cv2.polylines(drawn, [corner], False, _colour(face), thick, cv2.LINE_AA)
    for x, y in face.points_xy:
        cv2.circle(drawn, (round(float(x)), round(float(y))), max(1, line), _TEXT, -1, cv2.LINE_AA)


def _panel_size(aus: Sequence[str], style: Style) -> Tuple[int, int]:
    value_width = text_size("0.00", style.capital)[0]
    width = style.accent + 3 * style.gap + _name_width(aus, style) + _bar_width(style) + value_width
    return width, style.row * (len(aus) + 1) + 2 * style.gap


def _name_width(aus: Sequence[str], style: Style) -> int:
    return max((text_size(au, style.capital)[0] for au in aus), default=0) + style.gap


def _bar_width(style: Style) -> int:
    return style.capital * 6


def _bar(
    drawn: np.ndarray, au: str, value: float, present: bool, at: Tuple[int, int], name_width: int, style: Style
) -> None:
    import cv2

    (x, y), text = at, _TEXT if present else _FAINT
    put_text(drawn, au, x, y, style.capital, text)
    start, width = x + name_width, _bar_width(style)
    top, bottom = y + style.capital // 8, y + style.capital - 1 - style.capital // 8
    cv2.rectangle(drawn, (start, top), (start + width, bottom), _RAIL, -1)
    filled = round(width * min(1.0, max(0.0, value)))
    if filled:
        cv2.rectangle(drawn, (start, top), (start + filled, bottom), _PRESENT if present else _ABSENT, -1)
    put_text(drawn, f"{value:.2f}", start + width + style.gap, y, style.capital, text)


def _labels(
    drawn: np.ndarray, faces: Sequence[Face], outlines: Sequence[Area], aus: Sequence[str], style: Style
) -> None:
    """A label for each face: its number and active AUs where there is room, else its number, else nothing."""
    height, width = drawn.shape[:2]
    taken = [outline.grown(1) for outline in outlines]
    for face, outline in zip(faces, outlines):
        active = [au[2:].lstrip("0") if is_au(au) else au for au in aus if face.present[au]]
        for lines in _wordings(str(face.track_id), active):
            size = _label_size(lines, style)
            found = beside(outline, size, (width, height), taken, 2, ("below", "above", "right", "left"))
            if found:
                taken.append(found[1])
                _label(drawn, lines, found[1], _colour(face), style)
                break


def _wordings(number: str, active: Sequence[str]) -> List[List[str]]:
    """What a label may say, the fullest first: all active AUs in one line, in several, or only the face's number."""
    if not active:
        return [[number]]
    name = f"{number}  AU" if active[0].isdigit() else number
    wordings = [[f"{name} {' '.join(active)}"]]
    for per_line in (4, 3, 2):
        if len(active) > per_line // 2:
            parts = [" ".join(active[i : i + per_line]) for i in range(0, len(active), per_line)]
            wordings.append([name, *parts])
    return [*wordings, [number]]


def _label_size(lines: Sequence[str], style: Style) -> Tuple[int, int]:
    width = max(text_size(line, style.capital)[0] for line in lines)
    return width + 2 * style.gap, style.row * len(lines) + style.gap // 2


def _label(drawn: np.ndarray, lines: Sequence[str], place: Area, colour: Colour, style: Style) -> None:
    _shade(drawn, place, colour, style)
    above = (place.bottom - place.top - style.row * (len(lines) - 1) - style.capital) // 2
    for number, line in enumerate(lines):
        top = place.top + above + number * style.row
        put_text(drawn, line, place.left + style.accent + style.gap // 2 + 1, top, style.capital, _TEXT)


def _shade(drawn: np.ndarray, place: Area, colour: Colour, style: Style) -> None:
    """A dark, translucent panel with a stripe in the face's colour."""
    area = drawn[place.top : place.bottom, place.left : place.right]
    area[:] = (area * (1 - _PANEL_WEIGHT) + np.array(_PANEL) * _PANEL_WEIGHT).astype(np.uint8)
    drawn[place.top : place.bottom, place.left : place.left + style.accent] = colour

"""Find room for panels on an image: beside faces, never on one."""

from __future__ import annotations

from typing import Iterable, List, NamedTuple, Optional, Sequence, Tuple

SIDES = ("right", "left", "below", "above")


class Area(NamedTuple):
    """A rectangle in pixels; right and bottom are outside of it."""

    left: int
    top: int
    right: int
    bottom: int

    def meets(self, other: Area) -> bool:
        """Whether two areas share a pixel."""
        wide = self.left < other.right and other.left < self.right
        return wide and self.top < other.bottom and other.top < self.bottom

    def grown(self, by_px: int) -> Area:
        """The area with a margin on every side."""
        return Area(self.left - by_px, self.top - by_px, self.right + by_px, self.bottom + by_px)


def beside(
    face: Area, size: Tuple[int, int], image: Tuple[int, int], taken: Sequence[Area], gap: int, sides: Iterable[str]
) -> Optional[Tuple[str, Area]]:
    """The first free place at one side of a face.

    Args:
        face: the face's box.
        size: width and height of what is placed.
        image: width and height of the image, which the place doesn't leave.
        taken: areas that it must not meet, such as all faces.
        gap: distance from the face in pixels.
        sides: of SIDES, in order of preference.

    Returns:
        The side and the place; None if there is no room.
    """
    for side in sides:
        for place in _places(face, size, image, gap, side):
            inside = place.left >= 0 and place.top >= 0 and place.right <= image[0] and place.bottom <= image[1]
            if inside and not any(place.meets(other) for other in taken):
                return side, place
    return None


def anywhere(size: Tuple[int, int], image: Tuple[int, int], taken: Sequence[Area], gap: int) -> Optional[Area]:
    """The first free corner of the image, or None."""
    (width, height), (right, bottom) = size, (image[0] - gap, image[1] - gap)
    for x in (right - width, gap):
        for y in (gap, bottom - height):
            place = Area(x, y, x + width, y + height)
            if x >= 0 and y >= 0 and not any(place.meets(other) for other in taken):
                return place
    return None


def _places(face: Area, size: Tuple[int, int], image: Tuple[int, int], gap: int, side: str) -> List[Area]:
    """Places at one side: level with the face's start first, and then moved into the image."""
    width, height = size
    if side in ("right", "left"):
        x = face.right + gap if side == "right" else face.left - gap - width
        starts = [face.top, face.bottom - height, min(max(face.top, 0), image[1] - height)]
        return [Area(x, y, x + width, y + height) for y in starts]
    y = face.bottom + gap if side == "below" else face.top - gap - height
    starts = [face.left, face.right - width, min(max(face.left, 0), image[0] - width)]
    return [Area(x, y, x + width, y + height) for x in starts]

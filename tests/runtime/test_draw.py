from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeau.runtime.draw import Annotator, annotate, style_of
from edgeau.runtime.face import Face
from edgeau.runtime.lettering import put_text, text_size

AUS = ("AU01", "AU02", "AU04", "AU06", "AU07", "AU09", "AU10", "AU12", "AU14", "AU15", "AU17", "AU25", "AU26")
GREY = 120


def face(number: int, box: tuple[float, float, float, float], active: tuple[str, ...] = ("AU06", "AU12")) -> Face:
    values = {au: 0.9 if au in active else 0.1 for au in AUS}
    points = np.repeat([[(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]], 5, axis=0).astype(np.float32)
    return Face(number, box, points, 0.9, values, {au: v > 0.5 for au, v in values.items()}, {}, True)


def canvas(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def inside(image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """The pixels in a face's box, without its outline."""
    height, width = image.shape[:2]
    edge = 3 * style_of(height, width).line + 2
    left, top, right, bottom = (round(v) for v in box)
    return image[max(0, top + edge) : max(0, bottom - edge), max(0, left + edge) : max(0, right - edge)]


BOXES = st.lists(
    st.tuples(st.integers(-20, 600), st.integers(-20, 330), st.integers(12, 300)).map(
        lambda v: (float(v[0]), float(v[1]), float(v[0] + v[2]), float(v[1] + v[2]))
    ),
    min_size=1,
    max_size=12,
)


@given(BOXES, st.booleans())
def test_panels_never_cover_a_face(boxes: list[tuple[float, float, float, float]], moving: bool) -> None:
    faces = [face(n, box) for n, box in enumerate(boxes)]
    drawn = Annotator(AUS, moving=moving).draw(canvas(640, 360), faces)
    dark = np.all(drawn < GREY - 30, axis=2)
    for box in boxes:
        assert not inside(dark, box).any()


def test_one_face_gets_a_bar_per_au_and_a_group_lists_only_active_aus() -> None:
    alone = annotate(canvas(640, 360), [face(0, (100, 50, 200, 170))], AUS)
    group = annotate(canvas(640, 360), [face(n, (30 + 120 * n, 50, 90 + 120 * n, 130)) for n in range(5)], AUS)
    calm = annotate(canvas(640, 360), [face(n, (30 + 120 * n, 50, 90 + 120 * n, 130), ()) for n in range(5)], AUS)

    def panel_pixels(image: np.ndarray) -> int:
        return int(np.all(image < GREY - 30, axis=2).sum())

    assert panel_pixels(alone) > 2 * panel_pixels(group) > 4 * panel_pixels(calm) > 0


@pytest.mark.parametrize(("width", "height"), [(640, 360), (1280, 720), (3840, 2160)])
def test_text_scales_with_the_image(width: int, height: int) -> None:
    capital = style_of(height, width).capital
    assert capital >= 7
    assert capital / height >= 1 / 60
    assert text_size("AU12", capital)[0] < width / 12


def test_a_face_that_fills_a_picture_widens_it_but_never_a_video() -> None:
    close = face(0, (2, 2, 198, 198))
    wider = annotate(canvas(200, 200), [close], AUS)
    assert wider.shape[1] > 300
    assert np.array_equal(inside(wider[:200, :200], close.box_xyxy)[0], inside(canvas(200, 200), close.box_xyxy)[0])
    assert Annotator(AUS, moving=True).draw(canvas(200, 200), [close]).shape == (200, 200, 3)


def test_a_panel_stays_on_its_side_while_there_is_room() -> None:
    """A face keeps its panel on the left after moving to where there is room on the right again."""
    annotator = Annotator(AUS, moving=True)
    annotator.draw(canvas(640, 360), [face(0, (480, 100, 600, 220))])
    again = annotator.draw(canvas(640, 360), [face(0, (300, 100, 420, 220))])
    fresh = annotate(canvas(640, 360), [face(0, (300, 100, 420, 220))], AUS)
    left = (slice(110, 200), slice(160, 260))
    assert np.any(again[left] != GREY)
    assert np.all(fresh[left] == GREY)


def test_annotate_does_not_change_the_input_image() -> None:
    image = canvas(640, 360)
    annotate(image, [face(0, (100, 50, 200, 170))], AUS)
    assert np.all(image == GREY)


def test_text_outside_the_image_is_clipped() -> None:
    image = canvas(40, 20)
    for left, top in ((-10, 5), (35, 5), (5, -4), (5, 18), (100, 100), (-500, -500)):
        put_text(image, "AU12", left, top, 8, (255, 255, 255))
    assert image.shape == (20, 40, 3)
    assert image.max() > GREY

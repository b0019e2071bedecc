from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from edgeau.runtime.face import Face
from edgeau.runtime.timeline import Timeline, timeline_svg

AUS = ("AU06", "AU12")


def face(value: float, number: int = 0) -> Face:
    values = dict.fromkeys(AUS, value)
    return Face(number, (0.0, 0.0, 9.0, 9.0), np.zeros((5, 2)), 0.9, values, dict.fromkeys(AUS, value > 0.5), {}, True)


def test_a_series_keeps_presence_and_times() -> None:
    timeline = Timeline(AUS)
    for i in range(10):
        timeline.add(i * 0.1, [face(i / 10)])
    series = timeline.series(0, "AU12")
    assert [value for _, value, _ in series] == [i / 10 for i in range(10)]
    assert [time_s for time_s, _, _ in series] == pytest.approx([i * 0.1 for i in range(10)], abs=timeline.bin_s)
    assert [present for _, _, present in series] == [i > 5 for i in range(10)]


def test_an_hour_fits_in_a_bounded_number_of_bins_and_keeps_its_means() -> None:
    timeline = Timeline(AUS)
    for second in range(0, 3600):
        timeline.add(float(second), [face(0.25), face(0.75, number=1)])
    assert len(timeline.series(0, "AU06")) <= 1200
    assert {round(value, 6) for _, value, _ in timeline.series(0, "AU06")} == {0.25}
    assert all(present for _, _, present in timeline.series(1, "AU06"))


def test_tracks_are_bounded_in_number_and_the_longest_is_first() -> None:
    timeline = Timeline(AUS)
    for i in range(500):
        timeline.add(i * 0.1, [face(0.5, number=0), face(0.5, number=1 + i)])
    assert timeline.tracks()[0] == 0
    assert len(timeline.tracks()) == 6


def test_the_plot_has_a_line_for_each_interval_with_the_face() -> None:
    timeline = Timeline(AUS)
    for i in (*range(30), *range(90, 120)):
        timeline.add(i / 30, [face(0.9 if i < 30 else 0.1)])
    root = ElementTree.fromstring(timeline_svg(timeline, "<a & b>.mp4"))
    names = {"svg": "http://www.w3.org/2000/svg"}
    lines = root.findall("svg:path[@class='line']", names)
    assert len(lines) == 2 * len(AUS)
    shaded = [path for path in root.findall("svg:path", names) if path not in lines]
    assert len(shaded) == len(AUS)
    texts = [text.text for text in root.findall("svg:text", names)]
    assert {"<a & b>.mp4", "AU06", "AU12", "lip corner puller", "face 0"} <= set(texts)


def test_a_plot_without_a_face_is_valid_svg() -> None:
    assert ElementTree.fromstring(timeline_svg(Timeline(AUS), "empty")) is not None

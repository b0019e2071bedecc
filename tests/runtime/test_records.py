from __future__ import annotations

import csv
import dataclasses
import io

import numpy as np
import pytest

from edgeau.runtime.face import Face
from edgeau.runtime.records import TableColumns, plain_cell, rows_of, table_line
from edgeau.runtime.row_file import Layout

FACE = Face(0, (1.0, 2.0, 3.0, 4.0), np.zeros((5, 2)), 0.9, {"AU12": 0.75}, {"AU12": True}, {}, False)
AUS = ("AU12",)
UPRIGHT = np.array([[40, 40], [70, 40], [55, 58], [43, 75], [67, 75]], np.float32)


def test_a_frame_without_a_face_gives_a_row_with_success_0() -> None:
    (row,) = rows_of("clip.mp4", 7, 0.28, [], AUS)
    assert (row["success"], row["AU12"], row["frame"], row["error"]) == (0, None, 7, None)


def test_the_row_of_a_failed_frame_has_the_reason() -> None:
    (row,) = rows_of("clip.mp4", 7, 0.28, [], AUS, error="no picture")
    assert (row["success"], row["error"]) == (0, "no picture")
    assert "not analysed" in table_line(row, AUS)


def test_rows_with_and_without_a_face_have_the_same_columns() -> None:
    face = dataclasses.replace(FACE, expression={"happy": 0.5})
    with_face, without = rows_of("a", 0, 0, [face], AUS, ["happy"]) + rows_of("a", 1, 0, [], AUS, ["happy"])
    assert list(with_face) == list(without)
    assert with_face["expression_happy"] == 0.5


@pytest.mark.parametrize("name", ['a,"b".png', "line\nbreak.png", "é日本.png"])
def test_csv_survives_a_round_trip(name: str) -> None:
    layout = Layout("csv", AUS)
    text = layout.header() + layout.text(rows_of(name, 0, 0, [FACE, FACE], AUS))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["source"] for row in rows] == [name] * 2
    assert float(rows[0]["AU12"]) == 0.75


@pytest.mark.parametrize("name", ["=cmd(1).png", "+1.png", "-1.png", "@a.png", "\ta.png"])
def test_cells_that_spreadsheets_would_run_as_formulas_are_escaped(name: str) -> None:
    """The first characters are those listed on OWASP's page on CSV injection."""
    assert plain_cell(name) == "'" + name
    text = Layout("csv", AUS).text(rows_of(name, 0, 0, [], AUS))
    assert next(csv.reader(io.StringIO(text)))[0] == "'" + name


def test_negative_numbers_are_not_escaped() -> None:
    face = dataclasses.replace(FACE, box_xyxy=(-1.0, 2.0, 3.0, 4.0))
    assert Layout("csv", AUS).text(rows_of("a", 0, 0, [face], AUS)).split(",")[5] == "-1.0"


def test_the_table_marks_present_aus_and_faces_without_a_neutral() -> None:
    line = table_line(rows_of("a", 0, 0, [FACE], AUS)[0], AUS)
    assert "0.75*" in line
    assert "not yet" in line


def test_a_still_without_a_neutral_shows_none_instead_of_not_yet() -> None:
    (row,) = rows_of("a.png", 0, 0, [FACE], AUS, moving=False)
    assert row["neutral_ready"] is None
    assert " none " in table_line(row, AUS, TableColumns(source=True, time=False))


def test_rows_include_intensity_and_pose_when_available() -> None:
    face = dataclasses.replace(FACE, intensity={"AU12": 2.5}, points_xy=UPRIGHT)
    (row,) = rows_of("a", 0, 0, [face], AUS, intensity=True)
    assert row["AU12_intensity"] == 2.5
    assert {name: row[name] for name in ("yaw_deg", "roll_deg")} == {"yaw_deg": 0.0, "roll_deg": 0.0}
    assert row["pitch_deg"] == round(face.pose.pitch_deg, 1)
    assert "AU12_intensity" not in rows_of("a", 0, 0, [face], AUS)[0]


def test_the_table_shortens_long_paths_at_their_start() -> None:
    row = rows_of("/data/" + "x" * 40 + "-last.png", 0, 0, [FACE], AUS)[0]
    line = table_line(row, AUS, TableColumns(source=True, time=False))
    assert line.startswith("...")
    assert line.split()[0].endswith("-last.png")

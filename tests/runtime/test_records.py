from __future__ import annotations

import csv
import io

import numpy as np

from edgeau.runtime.analyzer import Face
from edgeau.runtime.records import CsvWriter, TableWriter, rows_of

FACE = Face(0, (1.0, 2.0, 3.0, 4.0), np.zeros((5, 2)), 0.9, {"AU12": 0.75}, {"AU12": True}, {}, False)


def test_a_frame_without_a_face_is_a_row_with_success_0() -> None:
    (row,) = rows_of("clip.mp4", 7, 0.28, [], ["AU12"])
    assert (row["success"], row["AU12"], row["frame"]) == (0, None, 7)


def test_rows_with_and_without_a_face_have_the_same_columns() -> None:
    with_face, without = rows_of("a", 0, 0, [FACE], ["AU12"]) + rows_of("a", 1, 0, [], ["AU12"])
    assert list(with_face) == list(without)


def test_csv_reads_back() -> None:
    writer = CsvWriter()
    text = "\n".join(writer.lines(row) for row in rows_of('a,"b".png', 0, 0, [FACE, FACE], ["AU12"]))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["source"] for row in rows] == ['a,"b".png'] * 2
    assert float(rows[0]["AU12"]) == 0.75


def test_the_table_marks_what_is_present_and_faces_without_a_neutral() -> None:
    line = TableWriter(["AU12"]).line(rows_of("a", 0, 0, [FACE], ["AU12"])[0])
    assert "0.75*" in line
    assert "not yet" in line

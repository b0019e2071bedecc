"""Several sources, and the outputs of `edgeau run` other than CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeau.runtime.cli import main


@pytest.fixture
def place(photo_bgr: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders, each with a clip and a picture."""
    monkeypatch.chdir(tmp_path)
    for name in ("day1", "day2"):
        Path(name).mkdir()
        cv2.imwrite(f"{name}/me.png", photo_bgr)
        writer = cv2.VideoWriter(f"{name}/clip.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10, (256, 256))
        for _ in range(5):
            writer.write(cv2.resize(photo_bgr, (256, 256)))
        writer.release()
    return tmp_path


def read_csv(file: str) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_several_sources_share_one_file_and_each_video_has_its_own_tracks(place: Path) -> None:
    assert main(["run", "day1", "day2/*.avi", "-o", "rows.csv", "--annotate", "drawn", "--plot", "plots"]) == 0
    rows = read_csv("rows.csv")
    assert [row["source"] for row in rows] == ["day1/clip.avi"] * 5 + ["day1/me.png"] + ["day2/clip.avi"] * 5
    assert {row["track_id"] for row in rows} == {"0"}
    assert [row["neutral_ready"] for row in rows if row["source"].endswith("png")] == [""]
    drawn = sorted(str(file) for pattern in ("drawn", "plots") for file in Path(pattern).rglob("*-aus*"))
    assert drawn == ["drawn/day1/clip-aus.mp4", "drawn/day1/me-aus.png", "drawn/day2/clip-aus.mp4",
                     "plots/day1/clip-aus.svg", "plots/day2/clip-aus.svg"]  # fmt: skip


def test_resume_continues_each_of_several_sources(place: Path) -> None:
    clips = ["day1/clip.avi", "day2/clip.avi"]
    assert main(["run", *clips, "-o", "rows.csv", "--max-frames", "2"]) == 0
    assert main(["run", *clips, "-o", "rows.csv", "--resume"]) == 0
    rows = read_csv("rows.csv")
    for clip in clips:
        own = [row for row in rows if row["source"] == clip]
        assert [row["frame"] for row in own] == ["0", "1", "2", "3", "4"]
        assert [row["track_id"] for row in own] == ["0", "0", "1", "1", "1"]


def test_a_broken_source_gives_an_error_row_and_the_others_are_analysed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("day1/clip.avi").write_bytes(b"RIFF\x00\x00")
    assert main(["run", "day1", "day2", "-o", "rows.jsonl"]) == 2
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    assert [row["success"] for row in rows] == [0, 1, 1, 1, 1, 1, 1, 1]
    assert "day1/clip.avi" in rows[0]["error"]
    assert "got 1 of 4 that could not be read whole" in capsys.readouterr().err


def test_the_table_shows_file_names_and_no_neutral_for_pictures(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "day1/me.png", "day2/me.png"]) == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["file", "face", "neutral"]
    assert first.split()[:3] == ["day1/me.png", "0", "none"]
    assert second.split()[:1] == ["day2/me.png"]
    assert main(["run", "day1", "--max-frames", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:5] == ["day1/clip.avi", "0", "0.00", "0", "not"]


def test_parquet_has_the_same_rows_as_csv_with_types(place: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    cv2.imwrite("day1/none.png", np.zeros((64, 64, 3), np.uint8))
    assert main(["run", "day1", "-o", "rows.csv"]) == 0
    assert main(["run", "day1", "-o", "rows.parquet"]) == 0
    table, rows = parquet.read_table("rows.parquet"), read_csv("rows.csv")
    assert table.column_names == list(rows[0])
    assert str(table.schema.field("AU12").type) == "float"
    for ours, theirs in zip(table.to_pylist(), rows):
        for name, text in theirs.items():
            if text == "":
                assert ours[name] is None
            elif name in ("source", "error"):
                assert ours[name] == text
            else:
                assert ours[name] == pytest.approx(float(text), rel=1e-6)


def test_parquet_without_pyarrow_names_the_extra_to_install(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["run", "day1/me.png", "-o", "rows.parquet"]) == 2
    assert "needs pyarrow, which is not installed; type: pip install 'edgeau[parquet]'" in capsys.readouterr().err
    assert not Path("rows.parquet").exists()


@pytest.mark.parametrize("output", ["-", "thesis.parquet"])
def test_parquet_replaces_only_parquet(place: Path, capsys: pytest.CaptureFixture[str], output: str) -> None:
    pytest.importorskip("pyarrow")
    Path("thesis.parquet").write_text("years of work")
    assert main(["run", "day1/me.png", "--format", "parquet", "-o", output]) == 2
    assert "got a " in capsys.readouterr().err
    assert Path("thesis.parquet").read_text() == "years of work"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_a_valid_parquet_file_and_plot(
    photo_bgr: np.ndarray, tmp_path: Path, interruptible_edgeau: list[str], number: signal.Signals
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    writer = cv2.VideoWriter(str(tmp_path / "long.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (256, 256))
    for _ in range(900):
        writer.write(cv2.resize(photo_bgr, (256, 256)))
    writer.release()
    out, plot, drawn = tmp_path / "rows.parquet", tmp_path / "plot.svg", tmp_path / "drawn.avi"
    outputs = ["-o", str(out), "--plot", str(plot), "--annotate", str(drawn)]
    known = set(tmp_path.iterdir())
    running = subprocess.Popen([*interruptible_edgeau, "run", str(tmp_path / "long.avi"), *outputs])
    until = time.monotonic() + 60
    while running.poll() is None and time.monotonic() < until:
        if any(file.stat().st_size > 100_000 for file in set(tmp_path.iterdir()) - known):
            break  # some frames are drawn, so that there are rows
        time.sleep(0.05)
    running.send_signal(number)
    assert running.wait(timeout=60) == 128 + number
    rows = parquet.read_table(out).to_pylist()
    assert 0 < len(rows) < 900
    assert [row["frame"] for row in rows] == list(range(len(rows)))
    ElementTree.parse(plot)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["drawn.avi", "long.avi", "plot.svg", "rows.parquet"]


OPENFACE_22_PLACE = "frame,face_id,timestamp,confidence,success"  # OpenFace 2.2.0, RecorderCSV.cpp


def test_openface_output_has_openfaces_columns(place: Path) -> None:
    assert main(["run", "day1/clip.avi", "--format", "openface", "-o", "clip.csv"]) == 0
    header, *lines = Path("clip.csv").read_text().splitlines()
    assert header.startswith(OPENFACE_22_PLACE + ",pose_Rx,pose_Ry,pose_Rz,AU01_c,")
    assert "_r" not in header  # this package has no intensities
    rows = list(csv.DictReader(io.StringIO("\n".join([header, *lines]))))
    assert [row["frame"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [row["timestamp"] for row in rows] == ["0.000", "0.100", "0.200", "0.300", "0.400"]
    assert {(row["face_id"], row["success"], row["AU12_c"], row["AU04_c"]) for row in rows} == {
        ("0", "1", "1.0", "0.0")
    }


def test_openface_output_is_refused_for_several_sources(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "day1", "--format", "openface"]) == 2
    assert "--format openface: got 2 sources" in capsys.readouterr().err


def test_py_feat_reads_openface_output(place: Path) -> None:
    """Uses py-feat's own reader if EDGEAU_PYFEAT names a Python that has it installed."""
    python = os.environ.get("EDGEAU_PYFEAT")
    if not python:
        pytest.skip("set EDGEAU_PYFEAT to the Python of an environment with py-feat")
    assert main(["run", "day1/clip.avi", "--format", "openface", "-o", "clip.csv"]) == 0
    code = (
        "from feat.utils.io import read_openface\n"
        "fex = read_openface('clip.csv')\n"
        "print(fex.frame.tolist(), fex.AU12_c.tolist(), fex.confidence.min() > 0, fex['input'].iloc[0])"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{[1, 2, 3, 4, 5]} {[1.0] * 5} True clip.csv"


def test_pandas_reads_openface_output_as_py_feat_does(place: Path) -> None:
    """The steps of ``read_openface`` in py-feat (cosanlab/py-feat, feat/utils/io.py): it strips the names and selects
    features by OpenFace's names."""
    pandas = pytest.importorskip("pandas")
    assert main(["run", "day1/clip.avi", "--format", "openface", "-o", "clip.csv"]) == 0
    frame = pandas.read_csv("clip.csv", sep=",")
    frame.columns = frame.columns.str.strip(" ")
    features = frame[["frame", "timestamp", "confidence", "success", "AU01_c", "AU12_c"]]
    assert features.shape == (5, 6)
    assert features.notna().all(axis=None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["day1", "--annotate", "out.mp4"], "--annotate out.mp4: got the name of a file, expected a folder"),
        (["day1", "--plot", "out.svg"], "--plot out.svg: got the name of a file"),
        (["day1/me.png", "--plot", "out.svg"], "--plot: got pictures"),
        (["day1/clip.avi", "--plot", "out.png"], "expected .svg or .html"),
        (["day1/clip.avi", "-o", "day1/clip.avi", "--format", "parquet"], "the input itself"),
        (["day1/clip.avi", "--plot", "a.svg", "-o", "a.svg", "--format", "csv"], "the input itself"),
        (["day1/clip.avi", "--resume", "-o", "a.csv", "--plot", "a.svg"], "--resume: got --plot"),
        (["day1/clip.avi", "--resume", "-o", "a.parquet"], "--resume: got format parquet"),
        (["day1/clip.avi", "--show"], "--show: got no display"),
    ],
)
def test_wrong_outputs_are_refused_before_anything_is_written(
    place: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    before = sorted(place.rglob("*"))
    assert main(["run", *arguments]) == 2
    (error,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("edgeau: "))
    assert message in error
    assert sorted(place.rglob("*")) == before


class Desktop:
    """The part of cv2's window functions that `Window` uses."""

    def __init__(self, keys: list[int]) -> None:
        self.keys, self.shown = keys, 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DISPLAY", ":0")
        for name in ("namedWindow", "resizeWindow", "destroyAllWindows"):
            monkeypatch.setattr(cv2, name, lambda *_: None)
        monkeypatch.setattr(cv2, "imshow", self.show)
        monkeypatch.setattr(cv2, "waitKey", lambda _: self.keys.pop(0) if self.keys else -1)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 1.0)

    def show(self, _: str, image: np.ndarray) -> None:
        assert image.dtype == np.uint8
        self.shown += 1


def test_show_displays_every_frame_and_q_ends_the_run_keeping_its_rows(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desktop = Desktop([])
    desktop.install(monkeypatch)
    assert main(["run", "day1/clip.avi", "--show", "-o", "all.csv"]) == 0
    assert (desktop.shown, len(read_csv("all.csv"))) == (5, 5)
    closing = Desktop([-1, -1, ord("q")])
    closing.install(monkeypatch)
    assert main(["run", "day1/clip.avi", "--show", "-o", "some.csv"]) == 0
    assert (closing.shown, len(read_csv("some.csv"))) == (3, 3)


def test_show_waits_for_a_key_after_a_picture(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desktop = Desktop([-1, -1, ord(" "), -1, ord(" ")])
    desktop.install(monkeypatch)
    assert main(["run", "day1/me.png", "day2/me.png", "--show", "-o", "rows.csv"]) == 0
    assert (desktop.shown, desktop.keys) == (2, [])

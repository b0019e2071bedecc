from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeau.runtime import load, records
from edgeau.runtime.cli import main
from edgeau.runtime.errors import InputError
from edgeau.runtime.row_file import Layout, RowFile

VALUE_MARGIN = 0.02  # in probability, for writing and decoding a lossless video


@pytest.fixture(scope="module")
def photo(photo_bgr: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photo") / "astronaut.png"
    cv2.imwrite(str(file), photo_bgr)
    return file


@pytest.fixture(scope="module")
def lossless_video(photo_bgr: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("video") / "photo.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"FFV1"), 10, (512, 512))
    for _ in range(12):
        writer.write(photo_bgr)
    writer.release()
    return file


def rows_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return list(csv.DictReader(capsys.readouterr().out.splitlines()))


def test_a_photo_gives_the_same_values_as_file_array_and_video(
    photo: Path, lossless_video: Path, photo_bgr: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(photo), "--format", "csv"]) == 0
    (from_file,) = rows_of(capsys)
    assert main(["run", str(lossless_video), "--format", "csv"]) == 0
    from_video = rows_of(capsys)
    with load() as analyzer:
        (face,) = analyzer.still(photo_bgr)
    assert len(from_video) == 12
    for au, value in face.au.items():
        assert float(from_file[au]) == pytest.approx(value, abs=1e-3)
        for row in from_video[:9]:  # until a neutral is known, a frame is analysed like a still
            assert float(row[au]) == pytest.approx(value, abs=VALUE_MARGIN)
    assert [row["neutral_ready"] for row in from_video] == ["0"] * 9 + ["1"] * 3


def test_a_folder_gives_a_row_for_each_picture_in_order(photo: Path, photo_bgr: np.ndarray, tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), photo_bgr)
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((200, 200), np.uint8))
    out = tmp_path / "out.json"
    assert main(["run", str(tmp_path), "-o", str(out)]) == 0
    rows = json.loads(out.read_text())
    assert [(Path(row["source"]).name, row["success"]) for row in rows] == [("a.jpg", 1), ("b.png", 1), ("c.png", 0)]


def test_grey_alpha_and_16_bit_pictures_are_analysed(photo_bgr: np.ndarray, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), cv2.cvtColor(photo_bgr, cv2.COLOR_BGR2GRAY))
    cv2.imwrite(str(tmp_path / "alpha.png"), cv2.cvtColor(photo_bgr, cv2.COLOR_BGR2BGRA))
    cv2.imwrite(str(tmp_path / "wide.png"), photo_bgr.astype(np.uint16) * 257)
    out = tmp_path / "rows.jsonl"
    assert main(["run", str(tmp_path), "-o", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["success"] for row in rows] == [1, 1, 1]
    assert rows[0]["AU12"] == pytest.approx(rows[2]["AU12"], abs=1e-3)


def test_annotated_pictures_and_videos_are_written(photo: Path, lossless_video: Path, tmp_path: Path) -> None:
    assert main(["run", str(photo), "--annotate", str(tmp_path / "drawn.png")]) == 0
    assert np.any(cv2.imread(str(tmp_path / "drawn.png")) != cv2.imread(str(photo)))
    assert main(["run", str(lossless_video), "--annotate", str(tmp_path / "drawn.mp4")]) == 0
    assert int(cv2.VideoCapture(str(tmp_path / "drawn.mp4")).get(cv2.CAP_PROP_FRAME_COUNT)) == 12


def test_aus_selects_the_columns(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(photo), "--aus", "12,AU06", "--format", "csv"]) == 0
    (row,) = rows_of(capsys)
    assert [name for name in row if name.startswith("AU")] == ["AU12", "AU06", "AU12_present", "AU06_present"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/absent.png"], "no such file"),
        (["{tmp}/absent.mp4"], "no such file"),
        (["{tmp}/cut.png"], "no picture"),
        (["{tmp}/cut.avi"], "expected a whole video"),
        (["{tmp}/empty"], "no images or videos in it"),
        (["{tmp}/notes.doc"], "suffix .doc"),
        (["{photo}", "--aus", "12,99"], "does not have AU99"),
        (["{photo}", "--aus", "smile"], "action unit"),
        (["{photo}", "-p", "{tmp}/absent.edgeau"], "no such folder"),
        (["{photo}", "--variant", "int3"], "no variant 'int3'"),
        (["{photo}", "--backend", "abacus"], "backend"),
        (["{photo}", "--neutral-policy", "sometimes"], "neutral policy"),
        (["{photo}", "-o", "{tmp}/rows.xyz"], ".xyz"),
        (["camera:x"], "camera:0"),
    ],
)
def test_invalid_input_is_a_one_line_error_with_exit_code_2(
    arguments: list[str], message: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:20])
    (tmp_path / "cut.avi").write_bytes(b"RIFF\x00\x00")
    (tmp_path / "notes.doc").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    before = sorted(p.name for p in tmp_path.iterdir())
    filled = [a.format(tmp=tmp_path, photo=photo) for a in arguments]
    assert main(["run", *filled]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edgeau: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_a_truncated_clip_keeps_the_rows_of_its_readable_frames(
    clip_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip_path.read_bytes()[:60_000])
    drawn = tmp_path / "drawn.mp4"
    assert main(["run", str(cut), "-o", str(tmp_path / "rows.csv"), "--annotate", str(drawn)]) == 2
    assert "video is truncated" in capsys.readouterr().err
    rows = len(read_csv(tmp_path / "rows.csv"))
    assert rows > 5
    assert int(cv2.VideoCapture(str(drawn)).get(cv2.CAP_PROP_FRAME_COUNT)) == rows
    assert main(["run", str(cut), "-o", str(tmp_path / "rows.csv"), "--max-frames", "5"]) == 0
    assert len(read_csv(tmp_path / "rows.csv")) == 5


def read_csv(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_unreadable_pictures_give_a_row_with_an_error_and_a_warning(
    photo_bgr: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "b.png"), photo_bgr)
    (pictures / "a.png").write_bytes((pictures / "b.png").read_bytes()[:50])
    os.mkfifo(pictures / "d.png")
    assert main(["run", str(pictures), "-o", str(tmp_path / "rows.csv")]) == 0
    rows = read_csv(tmp_path / "rows.csv")
    assert [row["success"] for row in rows] == ["0", "1", "0"]
    assert [bool(row["error"]) for row in rows] == [True, False, True]
    assert capsys.readouterr().err.count("edgeau: warning: ") == 2
    (pictures / "b.png").unlink()
    assert main(["run", str(pictures), "-o", str(tmp_path / "rows.csv")]) == 2
    assert len(read_csv(tmp_path / "rows.csv")) == 2


@pytest.fixture(scope="module")
def long_video(photo_bgr: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 frames, which take a run several seconds."""
    file = tmp_path_factory.mktemp("video") / "long.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 25, (256, 256))
    small = cv2.resize(photo_bgr, (256, 256))
    for _ in range(600):
        writer.write(small)
    writer.release()
    return file


def start(command: list[str], out: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a run and return once it has written some rows."""
    running = subprocess.Popen([*command, "run", *arguments], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (out.exists() and out.stat().st_size > 5000) and time.monotonic() < until and running.poll() is None:
        time.sleep(0.02)
    return running


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)]
)
def test_rows_survive_every_signal_and_the_run_can_be_resumed(
    long_video: Path, tmp_path: Path, interruptible_edgeau: list[str], number: signal.Signals, code: int
) -> None:
    out, drawn = tmp_path / "rows.csv", tmp_path / "drawn.mp4"
    running = start(interruptible_edgeau, out, str(long_video), "-o", str(out), "--annotate", str(drawn))
    running.send_signal(number)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == code
    before = read_csv(out)
    assert [int(row["frame"]) for row in before] == list(range(len(before)))
    assert len(before) < 600
    if number != signal.SIGKILL:
        assert [line for line in stderr.splitlines() if line.startswith("edgeau:")] == [
            "edgeau: interrupted; nothing half-written was left behind"
        ]
        assert sorted(p.name for p in tmp_path.iterdir()) == ["drawn.mp4", "rows.csv"]
        capture = cv2.VideoCapture(str(drawn))
        # A signal may arrive between writing a frame's rows and its picture.
        assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) in (len(before), len(before) - 1)
        assert capture.read()[0]
    assert main(["run", str(long_video), "-o", str(out), "--resume"]) == 0
    rows = read_csv(out)
    assert rows[: len(before)] == before
    assert [int(row["frame"]) for row in rows] == list(range(600))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("cut", [0, 1, 37])
def test_resume_rewrites_a_truncated_last_row(lossless_video: Path, tmp_path: Path, kind: str, cut: int) -> None:
    out = tmp_path / f"rows.{kind}"
    assert main(["run", str(lossless_video), "-o", str(out), "--max-frames", "5"]) == 0
    data = out.read_bytes()
    out.write_bytes(data[: len(data) - cut])
    assert main(["run", str(lossless_video), "-o", str(out), "--resume"]) == 0
    rows = read_csv(out) if kind == "csv" else [json.loads(line) for line in out.read_text().splitlines()]
    assert [int(row["frame"]) for row in rows] == list(range(12))
    assert len({row["track_id"] for row in rows}) == 2


def test_resume_continues_a_folder_and_adds_nothing_to_a_finished_one(photo_bgr: np.ndarray, tmp_path: Path) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "rows.csv"
    pictures.mkdir()
    for number in range(4):
        cv2.imwrite(str(pictures / f"=cmd({number}).png"), photo_bgr)
    assert main(["run", str(pictures), "-o", str(out), "--max-frames", "2"]) == 0
    assert main(["run", str(pictures), "-o", str(out), "--resume"]) == 0
    assert [Path(row["source"]).name for row in read_csv(out)] == [f"=cmd({n}).png" for n in range(4)]
    before = out.read_bytes()
    assert main(["run", str(pictures), "-o", str(out), "--resume"]) == 0
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "no file to continue"),
        (["--resume", "-o", "{tmp}/rows.json"], "format json"),
        (["--resume", "-o", "{tmp}/rows.csv", "--annotate", "{tmp}/a.avi"], "one of both"),
        (["--resume", "-o", "{tmp}/rows.csv", "--aus", "12"], "other columns"),
        (["-o", "{tmp}/thesis.csv"], "a file with other content"),
        (["-o", "{tmp}/thesis.txt"], "a file with other content"),
        (["-o", "{video}", "--format", "csv"], "the input itself"),
        (["--annotate", "{video}"], "the input itself"),
        (["--annotate", "{tmp}/a.mp4", "-o", "{tmp}/a.mp4", "--format", "csv"], "the input itself"),
        (["-o", "{tmp}"], "a folder"),
    ],
)
def test_run_never_overwrites_other_files(
    lossless_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    video = tmp_path / "x.avi"
    video.write_bytes(lossless_video.read_bytes())
    for name in ("thesis.csv", "thesis.txt"):
        (tmp_path / name).write_text("years, of\nwork,!\n")
    assert main(["run", str(video), "-o", str(tmp_path / "rows.csv"), "--max-frames", "3"]) == 0
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    capsys.readouterr()
    assert main(["run", str(video), *(a.format(tmp=tmp_path, video=video) for a in arguments)]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edgeau: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_json_file_is_valid_after_every_frame(
    lossless_video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeau.runtime.row_file import RowFile

    lengths, write = [], RowFile.write

    def watched(self: RowFile, rows: list) -> None:
        write(self, rows)
        lengths.append(len(json.loads((tmp_path / "rows.json").read_text())))

    monkeypatch.setattr(RowFile, "write", watched)
    assert main(["run", str(lossless_video), "-o", str(tmp_path / "rows.json")]) == 0
    assert lengths == list(range(1, 13))


def test_output_dash_is_standard_output(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(photo), "--json"]) == 0
    plain = capsys.readouterr().out
    assert main(["run", str(photo), "--json", "-o", "-"]) == 0
    assert capsys.readouterr().out == plain
    assert len(json.loads(plain)) == 1


def test_pictures_that_differ_only_in_suffix_are_both_annotated(photo_bgr: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / "in" / name), photo_bgr)
    assert main(["run", str(tmp_path / "in"), "--annotate", str(tmp_path / "out")]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a-aus.png", "a.png-aus.png"]


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_full_disk_is_an_error_that_keeps_the_rows(
    long_video: Path, tmp_path: Path, interruptible_edgeau: list[str], suffix: str
) -> None:
    drawn, out = tmp_path / f"drawn{suffix}", tmp_path / "rows.csv"
    drawn.write_bytes(b"the old one")
    limited = ["bash", "-c", 'ulimit -f 300; exec "$@"', "-", *interruptible_edgeau]
    done = subprocess.run(
        [*limited, "run", str(long_video), "-o", str(out), "--annotate", str(drawn), "--max-frames", "200"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "frames could be written" in done.stderr
    assert len(read_csv(out)) == 200
    assert drawn.read_bytes() == b"the old one"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([drawn.name, "rows.csv"])


def test_two_runs_cannot_write_to_the_same_file(tmp_path: Path) -> None:
    layout = Layout("csv", ("AU12",))
    with RowFile(tmp_path / "rows.csv", layout) as first, RowFile(tmp_path / "rows.csv", layout) as second:
        first.write(records.rows_of("a.png", 0, 0.0, (), layout.aus))
        with pytest.raises(InputError, match="another `edgeau run` is writing"):
            second.write(records.rows_of("b.png", 0, 0.0, (), layout.aus))
    assert "a.png" in (tmp_path / "rows.csv").read_text()

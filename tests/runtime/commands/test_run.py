from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeau.runtime import load
from edgeau.runtime.cli import main

VALUE_MARGIN = 0.02  # of a probability: what writing and decoding a lossless video may change


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


def test_the_photo_is_one_face_with_the_same_values_through_file_array_and_video(
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
        for row in from_video[:9]:  # until a neutral is known, a still and a frame are the same question
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


def test_grey_alpha_and_16_bit_pictures_just_work(photo_bgr: np.ndarray, tmp_path: Path) -> None:
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


def test_only_the_asked_aus_come_out(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
        (["{tmp}/empty"], "no images in it"),
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
def test_wrong_input_is_one_line_and_exit_code_2(
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


def test_a_truncated_clip_says_how_to_read_what_is_there_and_writes_no_file(
    clip_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip_path.read_bytes()[:60_000])
    assert main(["run", str(cut), "-o", str(tmp_path / "rows.csv")]) == 2
    assert "--max-frames" in capsys.readouterr().err
    assert not (tmp_path / "rows.csv").exists()
    assert main(["run", str(cut), "-o", str(tmp_path / "rows.csv"), "--max-frames", "5"]) == 0
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 6


def test_an_interrupted_run_leaves_no_file(
    lossless_video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeau.runtime.analyzer import Analyzer

    calls = []

    def interrupted(self: Analyzer, frame: np.ndarray) -> list:
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return []

    monkeypatch.setattr(Analyzer, "__call__", interrupted)
    arguments = ["-o", str(tmp_path / "rows.json"), "--annotate", str(tmp_path / "drawn.avi")]
    assert main(["run", str(lossless_video), *arguments]) == 2
    assert list(tmp_path.iterdir()) == []

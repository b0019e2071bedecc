"""A folder of the user's own faces with a CSV file, in its usual forms."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeau.runtime.cli import main
from edgeau.runtime.crop_set import PRESENT
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import EdgeauWarning, InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.named_files import NamedFiles
from edgeau.runtime.own_faces import _Table, label_files, read_own
from edgeau.runtime.package import shipped_package

SPEC = CropSpec()
NAN = float("nan")


def picture(file: Path, grey: int, side: int = SPEC.size_px) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), np.full((side, side, 3), grey, np.uint8))


def video(file: Path, frames: int) -> None:
    """Frames of exactly the crop's size, so that no face has to be detected, each a little brighter."""
    side = SPEC.size_px
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (side, side))
    for number in range(frames):
        writer.write(np.full((side, side, 3), 20 * number, np.uint8))
    writer.release()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder described in docs/data.md."""
    folder = tmp_path / "own"
    for number, name in enumerate(("anna/001.png", "anna/002.png", "ben/001.png", "ben/002.png"), start=1):
        picture(folder / name, 50 * number)
    (folder / "labels.csv").write_text(
        "file,subject,AU01,AU12,expression\n"
        "anna/001.png,anna,0,0,neutral\n"
        "anna/002.png,anna,0,4,happy\n"
        "ben/001.png,ben,0,0,neutral\n"
        "ben/002.png,ben,3,,surprise\n"
    )
    return folder


def test_every_accepted_spelling_of_the_path_gives_the_same_data(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.parent)
    for spec in ("own", "own:own", "own/labels.csv", "own:own/labels.csv", str(own)):
        crops = read_crops(spec, SPEC)
        assert crops.aus == ("AU01", "AU12")
        assert crops.subjects == ("anna", "anna", "ben", "ben")
        np.testing.assert_array_equal(crops.intensity, [[0, 0], [0, 4], [0, 0], [3, NAN]])
        assert crops.faces.mean(axis=(1, 2, 3)).tolist() == [50, 100, 150, 200]
        assert crops.neutrals.mean(axis=(1, 2, 3)).tolist() == [50, 50, 150, 150]
    with pytest.raises(InputError, match="give the path alone: own"):
        read_crops("images:own", SPEC)


def test_an_expression_column_gives_presence_per_class(own: Path) -> None:
    presence = read_crops(str(own), SPEC).presence(["happiness", "surprise", "AU12"])
    np.testing.assert_array_equal(presence, [[0, 0, 0], [1, 0, 1], [0, 0, 0], [0, 1, NAN]])


def test_zeros_and_ones_are_presence_and_fractions_are_probabilities(own: Path) -> None:
    (own / "labels.csv").write_text("file;AU1;au12;glasses\nanna/001.png;0;1;1\nanna/002.png;;0;0\n")
    crops = read_crops(str(own), SPEC)
    assert crops.aus == ("AU01", "AU12", "glasses")
    np.testing.assert_array_equal(crops.intensity, [[0, PRESENT, PRESENT], [NAN, 0, 0]])
    # A shortened table of py-feat for an image: https://py-feat.org, Detector.detect_image
    (own / "labels.csv").write_text("FaceRectX,AU01,AU12,input,frame\n3.5,0.61,0.31,anna/001.png,0\n")
    np.testing.assert_array_equal(read_crops(str(own), SPEC).intensity, [[PRESENT, 0]])


def test_openface_csv_files_are_read_one_per_video(tmp_path: Path) -> None:
    """Columns and spaces as in OpenFace's FeatureExtraction (its wiki, "Output Format")."""
    header = "frame, face_id, timestamp, confidence, success, AU12_r, AU28_c, AU12_c\n"
    video(tmp_path / "talk.avi", 3)
    (tmp_path / "talk.csv").write_text(
        header
        + "1, 0, 0.0, 0.98, 1, 0.00, 0.0, 0.0\n2, 0, 0.04, 0.02, 0, 0.0, 0.0, 0.0\n3, 0, 0.08, 0.9, 1, 2.31, 1.0, 1.0\n"
    )
    (tmp_path / "subjects.csv").write_text("file,subject\ntalk.avi,anna\n")
    (recording,) = read_own(tmp_path)
    assert (recording.subject, recording.numbers, recording.aus) == ("anna", (1, 3), ("AU12", "AU28"))
    assert recording.intensity.tolist() == [[0, 0], [pytest.approx(2.31), PRESENT]]
    crops = read_crops(str(tmp_path), SPEC)
    assert crops.faces.mean(axis=(1, 2, 3)) == pytest.approx([0, 40], abs=3)
    assert crops.neutrals.mean(axis=(1, 2, 3)) == pytest.approx([0, 0], abs=3)


def test_frame_numbers_are_zero_based_if_frame_0_occurs(tmp_path: Path) -> None:
    video(tmp_path / "talk.avi", 3)
    (tmp_path / "labels.csv").write_text("file,frame,AU12\ntalk.avi,0,0\ntalk.avi,2,1\n")
    crops = read_crops(str(tmp_path), SPEC)
    assert crops.faces.mean(axis=(1, 2, 3)) == pytest.approx([0, 40], abs=3)


def test_changed_labels_and_pictures_are_read_again(own: Path) -> None:
    before = read_crops(str(own), SPEC)
    text = (own / "labels.csv").read_text()
    (own / "labels.csv").write_text(text.replace("anna,0,4", "anna,5,4"))
    assert read_crops(str(own), SPEC).intensity[1, 0] == 5
    picture(own / "ben" / "002.png", 250)
    assert read_crops(str(own), SPEC).faces[3].mean() == 250
    assert before.faces[3].mean() == 200


def test_faces_are_detected_in_photos_and_pictures_without_one_are_listed(
    own: Path, photo_bgr: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cv2.imwrite(str(own / "anna" / "001.png"), photo_bgr)
    picture(own / "ben" / "001.png", 128, side=300)
    with pytest.warns(EdgeauWarning, match=r"haar found no face in 1 of 4 labelled images.*skipped\.csv") as caught:
        crops = read_crops(str(own), SPEC)
    assert crops.subjects == ("anna", "anna", "ben")
    assert crops.faces[0].std() > 30
    named = Path(str(caught[0].message).split("; ")[1].split(" names")[0]).read_text()
    assert "ben/001.png" in named.splitlines()[1]
    # Ben's neutral was lost, so his other picture is compared with itself.
    assert crops.neutrals[2].mean() == 200


def test_a_picture_that_cannot_be_decoded_is_listed_and_the_rest_is_read(own: Path) -> None:
    (own / "anna" / "002.png").write_bytes((own / "anna" / "002.png").read_bytes()[:60])
    with pytest.warns(
        EdgeauWarning, match=r"1 of 4 can't be decoded, such as \S*anna/002.png; \S*skipped.csv names them"
    ):
        crops = read_crops(str(own), SPEC)
    assert crops.faces.mean(axis=(1, 2, 3)).tolist() == [50, 150, 200]
    (own / "anna" / "001.png").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"2 of 2 images of stills of anna .* can't be decoded, such as \S*anna/001.png"
    ):
        read_crops(str(own), SPEC)


def test_a_video_that_ends_before_its_labels_is_refused(tmp_path: Path) -> None:
    """The video is truncated: its header states more frames than it has."""
    video(tmp_path / "whole.avi", 12)
    data = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "talk.avi").write_bytes(data[: len(data) * 3 // 4])
    rows = "".join(f"talk.avi,{number},{number % 2}\n" for number in range(1, 13))
    (tmp_path / "labels.csv").write_text("file,frame,AU12\n" + rows)
    with pytest.raises(InputError, match=r"\d+ of 12 (images of talk.avi that can't be decoded|labelled frames)"):
        read_crops(str(tmp_path), SPEC)


def test_pictures_of_the_default_crop_size_are_crops_for_every_model(own: Path) -> None:
    for size in (96, 224):
        crops = read_crops(str(own), CropSpec(size_px=size))
        assert crops.faces.shape == (4, size, size, 3)
        assert crops.faces.mean(axis=(1, 2, 3)).tolist() == [50, 100, 150, 200]


ROWS = (
    ("file", "subject", "AU01", "AU12"),
    ("Jürgen/Bild 1.png", "Jürgen", "0,61", "0"),
    ("anna/001.png", "Anna", "", "1"),
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(("separator", "ending"), [(";", "\r\n"), ("\t", "\n"), (";", "\r")])
def test_tables_from_european_spreadsheets_are_read(own: Path, encoding: str, separator: str, ending: str) -> None:
    picture(own / "Jürgen" / "Bild 1.png", 90)
    table = ending.join(separator.join(row) for row in ROWS) + ending + ending
    (own / "labels.csv").write_bytes(table.encode(encoding))
    crops = read_crops(str(own), SPEC)
    assert crops.subjects == ("Anna", "Jürgen")
    np.testing.assert_array_equal(crops.intensity, [[NAN, PRESENT], [PRESENT, 0]])


def test_excels_separator_line_is_skipped(own: Path) -> None:
    (own / "labels.csv").write_text("sep=;\r\nfile;AU12\r\nanna/001.png;1\r\nanna/002.png;2,5;\r\n")
    with pytest.raises(InputError, match="line 4: got 3 cells, expected 2"):
        read_crops(str(own), SPEC)
    (own / "labels.csv").write_text("sep=;\r\nfile;AU12\r\nanna/001.png;1\r\nanna/002.png;2,5\r\n")
    assert read_crops(str(own), SPEC).intensity[:, 0].tolist() == [1, 2.5]


def test_file_names_from_windows_and_macos_are_matched(own: Path) -> None:
    """Backslashes, another case and decomposed umlauts match, unless two files differ only in case."""
    picture(own / "J\u0075\u0308rgen" / "1.PNG", 90)
    for name in ("BEN/x.png", "ben/x.png"):
        picture(own / name, 20)
    rows = ["anna\\001.png,0", ".\\Anna\\002.PNG,1", "j\u00fcrgen/1.png,1", "Ben/X.png,1"]
    (own / "labels.csv").write_text("file,AU12\n" + "\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"no such file: Ben/X\.png"):
        read_crops(str(own), SPEC)
    (own / "labels.csv").write_text("file,AU12\n" + "\n".join(rows[:3]) + "\n", encoding="utf-8")
    assert read_crops(str(own), SPEC).faces.mean(axis=(1, 2, 3)).tolist() == [50, 100, 90]


def test_subjects_that_differ_only_in_case_are_refused(own: Path) -> None:
    text = (own / "labels.csv").read_text()
    (own / "labels.csv").write_text(text.replace("002.png,anna", "002.png,Anna"))
    with pytest.raises(InputError, match="Anna and anna differ in case only"):
        read_crops(str(own), SPEC)


def test_only_label_columns_of_an_openface_file_are_kept(tmp_path: Path) -> None:
    """OpenFace writes 714 columns per frame, of which 35 are labels: 9000 frames used 500 MB."""
    video(tmp_path / "talk.AVI", 3)
    names = [f"x_{i}" for i in range(680)]
    header = ["frame", "success", *names, "AU12_r"]
    lines = [",".join([str(n), "1", *["123.456"] * len(names), "2.5"]) for n in (1, 2, 3)]
    (tmp_path / "talk.csv").write_text("\n".join([",".join(header), *lines]))
    (table,) = (_Table.read(file, NamedFiles(tmp_path)) for file in label_files(tmp_path))
    assert table.columns == ("frame", "success", "AU12_r")
    assert all(row.cells.keys() == set(table.columns) for row in table.rows)
    (recording,) = read_own(tmp_path)
    assert recording.frames == tmp_path / "talk.AVI"


def test_a_folder_with_an_unrelated_csv_is_a_folder_of_pictures(own: Path) -> None:
    (own / "labels.csv").rename(own / "notes.csv")
    assert label_files(own) == [own / "notes.csv"]
    (own / "notes.csv").write_text("file,weather\nanna/001.png,rain\n")
    assert label_files(own) == []
    assert read_crops(str(own), SPEC).aus == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,AU12\nanna/001.png,9\n", r"labels.csv, line 2, column AU12: got '9', expected 0 to 5, or empty"),
        ("file,AU12\nanna/001.png,smile\n", r"line 2, column AU12: got 'smile'"),
        ("file,AU12_c\nanna/001.png,2\n", r"line 2, column AU12_c: got '2', expected 0 to 1"),
        ("file,AU12\nanna/001.png,1,1\n", r"line 2: got 3 cells, expected 2"),
        ("file,AU12\nanna/001.png,1\nanna/001.png,0\n", r"line 3: got 001.png again"),
        ("file,AU12\nanna/009.png,1\n", r"1 of 1 files missing, such as .*009.png"),
        ("file,AU12\n,1\n", r"line 2: got no file"),
        ("file,AU12,AU12\nanna/001.png,1,0\n", r"got AU12 twice"),
        ("AU12\n1\n", r"none called file"),
        ("file,weather\nanna/001.png,rain\n", r"expected AU columns"),
        ("file,AU12\n", r"expected a header and at least one row"),
    ],
)
def test_errors_name_the_line_and_column_of_an_invalid_label(own: Path, text: str, message: str) -> None:
    (own / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_crops(str(own / "labels.csv"), SPEC)


def test_rows_of_a_video_are_checked(tmp_path: Path) -> None:
    video(tmp_path / "talk.avi", 3)
    labels = tmp_path / "labels.csv"
    for text, message in (
        ("file,frame,AU12\ntalk.avi,1,1\ntalk.avi,1,0\n", "line 3: got frame 1 of talk.avi again"),
        ("file,AU12\ntalk.avi,1\n", "column frame: got None"),
        ("file,frame,AU12\ntalk.avi,2,1\ntalk.avi,8,1\ntalk.avi,9,1\n", "2 of 3 labelled frames have no image: 8, 9"),
        ("file,subject,frame,AU12\ntalk.avi,a,1,1\ntalk.avi,b,2,1\n", "expected one person per video"),
    ):
        labels.write_text(text)
        with pytest.raises(InputError, match=message):
            read_crops(str(tmp_path), SPEC)
    (tmp_path / "talk.avi").write_bytes(b"not a video")
    labels.write_text("file,frame,AU12\ntalk.avi,1,1\n")
    with pytest.raises(InputError, match=r"talk\.avi"):
        read_crops(str(tmp_path), SPEC)


@pytest.mark.skipif(sys.version_info < (3, 10), reason="edgeau bench needs Python 3.10")
def test_bench_scores_the_shipped_package_on_own_faces(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (shipped_package() / "manifest.json").is_file()
    words = ["bench", "--eval", str(own), "--seconds", "0.05", "--warmup", "0", "--rounds", "1", "--no-memory"]
    assert main([*words, "--backends", "onnxruntime", "--variants", "fp32"]) == 0
    assert "fp32" in capsys.readouterr().out

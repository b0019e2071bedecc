"""Each reader on a small imitation of its data set, with the quirks of published copies."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes.data_sets import DISFA_AUS, disfa_labels, occurrence, picture, text, video

from edgeau.runtime.crop_set import PRESENT
from edgeau.runtime.errors import InputError
from edgeau.runtime.recording import Recording
from edgeau.runtime.recording_check import require_whole
from edgeau.train.convert import recordings_of
from edgeau.train.datasets import DATA_SETS
from edgeau.train.datasets.tree import Tree


def read(word: str, root: Path) -> list[Recording]:
    return list(DATA_SETS[word].read(Tree(root)))


@pytest.mark.parametrize("name", ["img/F001/T1/2440.jpg", "F001/T1/02440.jpg", "Sequences/F001_T1_002440.jpg"])
def test_bp4d_image_numbers_may_have_any_padding(tmp_path: Path, name: str) -> None:
    occurrence(tmp_path / "AUCoding/AU_OCC/F001_T1.csv", {2440: {12: 1, 4: 9}})
    image = picture(tmp_path / name, 90)
    (recording,) = read("bp4d", tmp_path)
    assert (recording.subject, recording.name, recording.frames) == ("F001", "F001_T1", {2440: image})
    labels = dict(zip(recording.aus, recording.intensity[0].tolist(), strict=True))
    assert (labels["AU12"], labels["AU01"]) == (PRESENT, 0)
    assert np.isnan(labels["AU04"])


def test_errors_name_a_truncated_or_invalid_bp4d_file(tmp_path: Path) -> None:
    file = occurrence(tmp_path / "AUCoding/AU_OCC/F001_T1.csv", {1: {}, 2: {}})
    whole = file.read_text()
    for broken, message in (
        (whole[:-8], r"F001_T1.csv, line 3: got 26 cells, expected 29"),
        (whole.split("\n", 1)[1], r"line 1: got 1,0,0.*expected a header"),
        (whole.replace("\n2,0", "\n2,5"), r"line 3: got '5', expected 0, 1, or 9"),
        (whole.replace("\n2,", "\n1,"), r"got frame 1 twice"),
    ):
        file.write_text(broken)
        (recording,) = read("bp4d", tmp_path)
        assert re.search(message, recording.defects[0])
        with pytest.raises(InputError, match=message):
            require_whole("BP4D", [recording])


def test_bp4dplus_coded_tasks_and_intensities_are_read(tmp_path: Path) -> None:
    for key in ("F041_T1", "F041_T7", "F041_T2", "F042_T11"):
        occurrence(tmp_path / f"AUCoding/AU_OCC/{key}.csv", {1: {12: 1}, 2: {12: 1, 6: 1}, 3: {}})
    text(tmp_path / "AUCoding/AU_INT/AU12/F041_T1_AU12.csv", "1,2", "2,9", "3,0")
    text(tmp_path / "AUCoding/AU_INT/AU06/F041_T1_AU06.csv", "1,4", "2,1", "3,0")
    for task, count in (("T1", 3), ("T7", 2)):
        for number in range(1, count + 1):
            picture(tmp_path / f"2D+3D/F041/{task}/{number:04d}.jpg", 90)
    first, seventh = read("bp4dplus", tmp_path)
    assert (first.name, seventh.name, first.subject) == ("F041_T1", "F041_T7", "bp4dplus-F041")
    assert first.intensity[:, first.aus.index("AU12")].tolist() == [2, PRESENT, 0]
    assert first.intensity[:, first.aus.index("AU06")].tolist() == [0, 1, 0]
    assert first.remarks == ("1 intensities contradict AU_OCC and are left out",)
    assert seventh.numbers == (1, 2)  # its labels have another length than its images, as published
    assert not first.missing()


@pytest.mark.parametrize("word", ["bp4d", "bp4dplus"])
def test_an_archive_that_was_not_unpacked_is_reported(word: str, tmp_path: Path) -> None:
    for subject in ("F001", "F002"):
        occurrence(tmp_path / f"AUCoding/AU_OCC/{subject}_T1.csv", {1: {12: 1}})
    picture(tmp_path / "2D+3D/F001/T1/0001.jpg", 90)
    text(tmp_path / "2D+3D/F002.zip", "packed")
    whole, packed = read(word, tmp_path)
    assert (whole.defects, packed.defects) == ((), ("unpack 2D+3D/F002.zip, which has its images",))


@pytest.fixture
def write_disfa(tmp_path: Path) -> Callable[..., Path]:
    def write(first: int = 1) -> Path:
        disfa_labels(tmp_path / "DISFA", "SN001", {12: (0, 2, 5), 4: (0, 1, 0)}, 3, first)
        return tmp_path / "DISFA"

    return write


@pytest.mark.parametrize(("first", "name"), [(1, "SN001/0.png"), (1, "SN001/1.png"), (0, "SN001/0.png")])
def test_disfa_frames_may_be_numbered_from_0_or_1(write_disfa, first: int, name: str) -> None:
    root = write_disfa(first=first)
    start = int(Path(name).stem)
    for number in range(3):
        picture(root / "SN001" / f"{start + number}.png", 50 + 50 * number)
    (recording,) = read("disfa", root)
    greys = [int(image.mean()) for _, image in recording.images()]
    assert (greys, recording.intensity[:, 6].tolist()) == ([50, 100, 150], [0, 2, 5])


@pytest.mark.parametrize("first", [0, 1])
def test_disfa_is_read_from_the_left_video(write_disfa, first: int) -> None:
    root = write_disfa(first=first)
    video(root / "Video" / "LeftVideoSN001_comp.avi", 3)
    video(root / "Video" / "RightVideoSN001_comp.avi", 1)
    (recording,) = read("disfa", root)
    assert [int(image.mean()) for _, image in recording.images()] == pytest.approx([30, 50, 70], abs=3)
    assert not recording.missing()


def test_an_extra_frame_in_a_disfa_file_is_reported(write_disfa) -> None:
    root = write_disfa()
    file = root / "ActionUnit_Labels/SN001/SN001_au9.txt"
    file.write_text(file.read_text() + "4,0\n")
    (recording,) = read("disfa", root)
    assert recording.numbers == (1, 2, 3)
    assert "SN001_au9.txt labels 1 frames that other files do not, such as 4" in recording.remarks[0]
    file.write_text(file.read_text().replace("2,0", "2,7"))
    (recording,) = read("disfa", root)
    assert "SN001_au9.txt, line 2: got intensity 7" in recording.defects[0]


def test_disfaplus_headers_are_skipped_and_the_first_frame_is_neutral(tmp_path: Path) -> None:
    folder = tmp_path / "DISFAPlusDataset"
    trial = "A1_AU1_TrailNo_1"
    for au in DISFA_AUS:
        lines = [f"{n:03d}.jpg   {(n - 1) * (au == 1)}" for n in (1, 2, 3)]
        text(folder / "Labels/SN001" / trial / f"AU{au}.txt", "# Intensity", "Frame  Value", *lines)
    for number in (1, 2, 3):
        picture(folder / "Images/SN001" / trial / f"{number:03d}.jpg", 50 * number)
    (recording,) = read("disfaplus", tmp_path)
    assert (recording.name, recording.neutral_rows) == (f"SN001_{trial}", (0,))
    assert recording.intensity[:, 0].tolist() == [0, 1, 2]
    assert not recording.missing()


def test_ckplus_labels_the_peak_and_some_sequences_have_emotions(tmp_path: Path) -> None:
    for sequence, last in (("001", 11), ("002", 4)):
        name = f"S005_{sequence}_{last:08d}"
        text(tmp_path / f"FACS/S005/{sequence}/{name}_facs.txt", "   1.2000000e+01   4.0e+00", "   2.5e+01   0.0e+00")
        for number in (1, last):
            picture(tmp_path / f"cohn-kanade-images/S005/{sequence}/S005_{sequence}_{number:08d}.png", 90)
    text(tmp_path / "Emotion/S005/001/S005_001_00000011_emotion.txt", "   2.0000000e+00")
    picture(tmp_path / "cohn-kanade-images/S005/.DS_Store/x.png", 1)
    with_emotion, without = read("ckplus", tmp_path)
    assert (with_emotion.numbers, with_emotion.expressions) == ((1, 11), ("neutral", "contempt"))
    assert (without.numbers, without.expressions) == ((1, 4), ("", ""))
    assert with_emotion.intensity.tolist() == [[0, 0], [4, PRESENT]]
    assert with_emotion.subject == "ckplus-S005"


def test_mmi_markers_apply_until_the_next_one(tmp_path: Path) -> None:
    session = tmp_path / "Sessions/16"
    text(session / "session.xml", '<session><subject id="S001"/><Metatag Name="Emotion" Value="Happy"/></session>')
    video(session / "S001-006.avi", 6)
    marker = '<Marker Frame="{}" Type="{}"/>'
    twelve = "".join(marker.format(*place) for place in ((2, 1), (3, 2), (5, 3), (6, 0)))
    text(
        session / "S001-006-oao_aucs.xml",
        f'<Annotation><ActionUnit Number="12">{twelve}</ActionUnit><ActionUnit Number="25">'
        f"{marker.format(1, 0)}</ActionUnit></Annotation>",
    )
    (recording,) = read("mmi", tmp_path)
    assert (recording.subject, recording.aus, recording.may_be_turned) == ("mmi-S001", ("AU12", "AU25"), True)
    assert recording.intensity.tolist() == [[0, 0], *([[PRESENT, 0]] * 4), [0, 0]]
    assert recording.expressions == ("", "", "happiness", "happiness", "", "")
    assert recording.neutral_rows == (0,)
    (session / "S001-006-oao_aucs.xml").write_text("<Annotation><ActionUnit")
    with pytest.raises(InputError, match=r"oao_aucs.xml: got no whole XML"):
        read("mmi", tmp_path)


def test_mmi_subjects_and_numbered_emotions_are_read(tmp_path: Path) -> None:
    """The layout that two public scripts read: folders of sessions, with the emotion's number in a clip's XML file."""
    for session, value, subject in (("1841", "4", ""), ("1842", "9", ' subject="35"')):
        folder = tmp_path / "Sessions" / session
        text(folder / "session.xml", f'<session{subject}><track view="0" filename="S035-004.avi"/></session>')
        text(folder / "S035-004.xml", f'<A><Metatag Name="x" Value="1"/><Metatag Name="Emotion" Value="{value}"/></A>')
        video(folder / "S035-004.avi", 3)
    (recording,) = read("mmi", tmp_path)  # nine is no emotion
    assert (recording.subject, recording.expressions) == ("mmi-S035", ("", "happiness", ""))
    (tmp_path / "Sessions/1842/S035-004.xml").unlink()
    picture(tmp_path / "Sessions/1842/still.png", 90)
    (tmp_path / "Sessions/1842/S035-004.avi").unlink()
    text(tmp_path / "Sessions/1842/other.xml", '<A><Metatag Name="Emotion" Value="fear"/></A>')
    assert {recording.subject for recording in read("mmi", tmp_path)} == {"mmi-S035"}


def test_an_mmi_session_without_a_subject_is_a_defect(tmp_path: Path) -> None:
    text(tmp_path / "Sessions/16/session.xml", '<session><Metatag Name="Emotion" Value="fear"/></session>')
    picture(tmp_path / "Sessions/16/still.png", 90)
    (recording,) = read("mmi", tmp_path)
    assert recording.expressions == ("fear",)
    assert "tells the subject" in recording.defects[0]


def test_bu3dfe_has_one_neutral_per_person(tmp_path: Path) -> None:
    for code in ("NE00", "AN01", "AN02", "HA04"):
        picture(tmp_path / f"BU3DFE/F0001/F0001_{code}WH_F2D.bmp", 90)
    text(tmp_path / "BU3DFE/F0001/F0001_AN01WH_F3D.wrl", "#VRML")
    (recording,) = read("bu3dfe", tmp_path)
    assert recording.expressions == ("neutral", "anger", "anger", "happiness")
    assert (recording.neutral_rows, recording.aus, recording.subject) == ((0,), (), "bu3dfe-F0001")
    assert recording.remarks == ("21 of 25 pictures are missing",)


def test_what_other_systems_leave_in_a_copy_is_no_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Upper-case suffixes from Windows, resource forks from macOS, and the home folder as people type it."""
    occurrence(tmp_path / "AUCoding/AU_OCC/F001_T1.csv", {1: {12: 1}})
    text(tmp_path / "AUCoding/AU_OCC/._F001_T1.csv", "Mac OS X")
    image = picture(tmp_path / "F001/T1/0001.JPG", 90)
    text(tmp_path / "__MACOSX/F001/T1/0001.jpg", "Mac OS X")
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    (recording,) = recordings_of("bp4d", Path("~") / tmp_path.name)
    assert recording.frames == {1: image}


def test_two_images_of_one_frame_are_not_chosen_from(tmp_path: Path) -> None:
    """A copy of cropped faces or of textures below the same folder would be taken for the images."""
    occurrence(tmp_path / "AUCoding/AU_OCC/F001_T1.csv", {1: {12: 1}})
    for name in ("2D/F001/T1/0001.jpg", "cropped/F001/T1/1.jpg"):
        picture(tmp_path / name, 90)
    with pytest.raises(InputError, match=r"cropped/F001/T1/1.jpg: got the same frame in \S*2D/F001/T1/0001.jpg"):
        read("bp4d", tmp_path)


def test_linked_folders_are_read_once_and_loops_of_links_end(tmp_path: Path) -> None:
    """Large data sets are often linked from other disks."""
    root = tmp_path / "BP4D"
    occurrence(root / "AUCoding/AU_OCC/F001_T1.csv", {1: {12: 1}})
    picture(tmp_path / "disk/F001/T1/0001.jpg", 90)
    (root / "img").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "loop").symlink_to(root)
    (recording,) = read("bp4d", root)
    assert recording.frames == {1: root / "img/F001/T1/0001.jpg"}


@pytest.mark.parametrize("word", DATA_SETS)
def test_a_folder_without_labels_names_the_expected_files(word: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read(word, tmp_path / "absent")
    text(tmp_path / "F001.zip", "packed")
    with pytest.raises(InputError, match=r"none of its label files.*somewhere below it; unpack F001.zip first"):
        read(word, tmp_path)

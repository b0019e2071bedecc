"""Folds and readers of licensed data sets, on generated trees in their public layouts."""

import json

import cv2
import numpy as np
import pytest

from edgeau.runtime.action_units import BP4D, DISFA
from edgeau.runtime.cli import main
from edgeau.runtime.crop_set import PRESENT
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.detect import Detection
from edgeau.runtime.errors import EdgeauWarning, InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.train.convert import to_crop_set
from edgeau.train.data import open_data, present_from_of
from edgeau.train.datasets import DATA_SETS
from edgeau.train.datasets.tree import Tree
from edgeau.train.protocols import PROTOCOLS, held_out_by
from edgeau.train.recipe import Recipe, crop_of


class Middle:
    """A detector that finds one face in the middle of every picture that is not black."""

    name = "middle"

    def detect(self, image_bgr):
        if image_bgr.max() < 30:
            return []
        side = image_bgr.shape[0]
        points = np.array(CropSpec().template, np.float32) * side - 0.5
        return [Detection(np.array([0, 0, side, side], np.float32), points, 1.0)]


def picture(grey, side=64):
    return np.full((side, side, 3), grey, np.uint8)


def save(file, image):
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), image)


@pytest.fixture
def bp4d(tmp_path):
    root = tmp_path / "BP4D"
    (root / "AUCoding" / "AU_OCC").mkdir(parents=True)
    for subject, task in (("F001", "T1"), ("F001", "T2"), ("F003", "T1"), ("F004", "T1")):
        lines = [",".join(["0", *map(str, range(1, 29))])]
        for number in (2440, 2441, 2442):
            row = [0] * 29
            row[0], row[12], row[4] = number, int(number != 2441), 9 if number == 2442 else 0
            lines.append(",".join(map(str, row)))
            save(root / "img" / subject / task / f"{number:05d}.jpg", picture(number - 2300))
        (root / "AUCoding" / "AU_OCC" / f"{subject}_{task}.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def disfa(tmp_path):
    root = tmp_path / "DISFA"
    for subject in ("SN001", "SN003", "SN006"):
        labels = root / "ActionUnit_Labels" / subject
        labels.mkdir(parents=True)
        for au in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26):
            levels = [0, 2, 5] if au == 12 else [0, 0, 1]
            text = "\n".join(f"{n},{level}" for n, level in enumerate(levels, start=1))
            (labels / f"{subject}_au{au}.txt").write_text(text)
    writer = cv2.VideoWriter(str(root / "LeftVideoSN001_comp.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 20, (64, 64))
    for grey in (60, 120, 180):
        writer.write(picture(grey))
    writer.release()
    for subject in ("SN003", "SN006"):
        for number, grey in ((1, 60), (2, 0), (3, 180)):
            save(root / "frames" / f"LeftVideo{subject}_comp_{number:08d}.jpg", picture(grey))
    return root


def test_parts_are_the_published_ones():
    sizes = {name: [len(part) for part in protocol.parts.values()] for name, protocol in PROTOCOLS.items()}
    assert sizes == {"bp4d": [14, 14, 13], "disfa": [9, 9, 9]}
    for protocol in PROTOCOLS.values():
        everyone = [subject for part in protocol.parts.values() for subject in part]
        assert len(set(everyone)) == len(everyone)
    assert (PROTOCOLS["bp4d"].aus, PROTOCOLS["disfa"].aus) == (BP4D, DISFA)


def test_a_fold_is_named_by_its_held_out_part():
    assert held_out_by("part3", ("bp4d:/data",))[1][:2] == ("F004", "F006")
    assert held_out_by("disfa/part1", ("crops",))[1][0] == "SN001"
    for fold, data in (("part4", ("bp4d:x",)), ("part1", ("crops",)), ("part1", ("bp4d:x", "disfa:y"))):
        with pytest.raises(InputError, match="part1"):
            held_out_by(fold, data)


def test_bp4d_labels_are_presence_with_missing_values(bp4d, tmp_path):
    assert to_crop_set("bp4d", bp4d, tmp_path / "crops", make_detector=Middle) == 12
    data = open_data([str(tmp_path / "crops")])
    assert data.subjects == ("F001", "F003", "F004")
    first = data.intensity[:3]
    assert first[:, data.aus.index("AU12")].tolist() == [PRESENT, 0, PRESENT]
    assert np.isnan(first[2, data.aus.index("AU04")])
    # The frame without any AU is the neutral of its own task.
    assert data.neutral[:6].tolist() == [1, 1, 1, 4, 4, 4]
    assert abs(int(data.pixels(4).mean()) - 141) < 3


def test_disfa_is_read_from_videos_and_from_frames(disfa, tmp_path):
    with pytest.warns(EdgeauWarning, match=r"middle found no face in 2 of 9 labelled images.*skipped\.csv"):
        assert to_crop_set("disfa", disfa, tmp_path / "crops", make_detector=Middle) == 3 + 2 + 2
    assert (tmp_path / "crops" / "skipped.csv").read_text().splitlines()[1].startswith("SN003,2,")
    found = read_crops(str(tmp_path / "crops"), CropSpec())
    assert found.subjects == ("SN001",) * 3 + ("SN003",) * 2 + ("SN006",) * 2
    smile = found.intensity[:, found.aus.index("AU12")]
    assert smile.tolist() == [0, 2, 5, 0, 5, 0, 5]
    assert found.faces[:5].mean(axis=(1, 2, 3)) == pytest.approx([60, 120, 180, 60, 180], abs=4)
    assert found.neutrals.mean(axis=(1, 2, 3)) == pytest.approx([60] * 7, abs=4)
    assert found.presence(["AU12"])[:, 0].tolist() == [0, 1, 1, 0, 1, 0, 1]


def test_disfaplus_starts_neutral(tmp_path):
    root = tmp_path / "DISFAPlusDataset"
    trial = "A1_AU1_TrailNo_1"
    for au in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26):
        file = root / "Labels" / "SN001" / trial / f"AU{au}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("# a header\nanother header\n" + "\n".join(f"{n:03d}.jpg   {n - 1}" for n in (1, 2, 3)))
    for number in (1, 2, 3):
        save(root / "Images" / "SN001" / trial / f"{number:03d}.jpg", picture(50 * number))
    (recording,) = DATA_SETS["disfaplus"].read(Tree(root))
    assert (recording.subject, recording.numbers, recording.neutral_rows) == ("SN001", (1, 2, 3), (0,))
    assert recording.intensity[:, 0].tolist() == [0, 1, 2]
    assert to_crop_set("disfaplus", root, tmp_path / "crops", make_detector=Middle) == 3
    assert open_data([str(tmp_path / "crops")]).neutral.tolist() == [0, 0, 0]


def test_ckplus_labels_the_peak_frame(tmp_path):
    root = tmp_path / "CK+"
    for number in (1, 2, 3):
        save(root / "cohn-kanade-images" / "S005" / "001" / f"S005_001_{number:08d}.png", picture(50 * number))
    facs = root / "FACS" / "S005" / "001" / "S005_001_00000003_facs.txt"
    facs.parent.mkdir(parents=True)
    facs.write_text("   1.2000000e+01   4.0000000e+00\n   2.5000000e+01   0.0000000e+00\n")
    emotion = root / "Emotion" / "S005" / "001" / "S005_001_00000003_emotion.txt"
    emotion.parent.mkdir(parents=True)
    emotion.write_text("   5.0000000e+00\n")
    assert to_crop_set("ckplus", root, tmp_path / "crops", make_detector=Middle) == 2
    data = open_data([str(tmp_path / "crops")])
    assert data.aus == ("AU12", "AU25")
    assert data.intensity.tolist() == [[0, 0], [4, PRESENT]]
    assert [data.expressions[i] for i in data.expression] == ["neutral", "happiness"]
    assert data.pixels(1).mean() == pytest.approx(150, abs=2)


def test_a_fold_trains_on_the_other_parts(disfa, tmp_path, tiny_config, photo_bgr, capsys):
    """One command trains on the original files, in which it detects real faces."""
    for number in (1, 2, 3):
        for subject in ("SN003", "SN006"):
            save(disfa / "frames" / f"LeftVideo{subject}_comp_{number:08d}.jpg", photo_bgr)
    (disfa / "LeftVideoSN001_comp.avi").unlink()
    for number in (1, 2):
        save(disfa / "frames" / f"LeftVideoSN001_comp_{number:08d}.jpg", photo_bgr[:, ::-1])
    pairs = [word for value in tiny_config for word in ("--config", value)]
    words = ["train", "--model", "cednn", "--data", f"disfa:{disfa}", "--fold", "part3", "--out", str(tmp_path / "run")]
    assert main([*words, "--device", "cpu", "--val", "0", "--steps", "2", "--batch", "4", "--json", *pairs]) == 0
    test = json.loads(capsys.readouterr().out)["members"]["cednn"]["test"]
    assert tuple(test["per_au"]) == DISFA
    assert test["samples"] == 3
    assert test["per_au"]["AU12"]["positives"] == 2
    assert "AU01" in test["without_positives"]


def test_errors_name_missing_files(tmp_path, disfa):
    with pytest.raises(InputError, match="no such folder"):
        to_crop_set("bp4d", tmp_path / "none", tmp_path / "out")
    with pytest.raises(InputError, match="AU_OCC"):
        to_crop_set("bp4d", disfa, tmp_path / "out")
    (disfa / "ActionUnit_Labels" / "SN001" / "SN001_au26.txt").unlink()
    with pytest.raises(InputError, match="au26"):
        to_crop_set("disfa", disfa, tmp_path / "out", make_detector=Middle)
    assert not (tmp_path / "out").exists()


def write_ckplus(root, sequence, *scores):
    """One sequence of two frames, whose peak has these lines of AU and intensity."""
    for number in (1, 2):
        save(
            root / "cohn-kanade-images" / "S005" / sequence / f"S005_{sequence}_{number:08d}.png", picture(50 * number)
        )
    facs = root / "FACS" / "S005" / sequence / f"S005_{sequence}_00000002_facs.txt"
    facs.parent.mkdir(parents=True)
    facs.write_text("".join(f"   {au:e}   {score:e}\n" for au, score in scores))


def test_each_data_set_has_its_own_intensity_for_presence(tmp_path):
    """A trace counts as present in CK+, whose coders list what they see, and as absent in DISFA's protocol."""
    root = tmp_path / "CK+"
    write_ckplus(root, "001", (12, 1), (25, 0))
    to_crop_set("ckplus", root, tmp_path / "crops", make_detector=Middle)
    presence = read_crops(str(tmp_path / "crops"), CropSpec()).presence(["AU12", "AU25"])
    assert presence.tolist() == [[0, 0], [1, 1]]
    assert present_from_of([str(tmp_path / "crops")]) == present_from_of([f"ckplus:{root}"]) == 1
    assert present_from_of(["disfa:x", "bp4d:y", "synthetic:subjects=2"]) == 2
    assert present_from_of(["bp4d:y"]) == 2  # any threshold works, because BP4D codes presence


def test_data_with_different_presence_thresholds_are_not_mixed_by_default(tmp_path, capsys):
    words = ["train", "--model", "cednn-s", "--data", "disfa:x", "--data", "ckplus:y", "--out", str(tmp_path / "run")]
    assert main(words) == 2
    assert "got disfa:x from 2, ckplus:y from 1, expected one rule for all data" in capsys.readouterr().err
    assert main([*words, "--present-from", "2"]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_learning_intensities_from_presence_labels_is_refused(bp4d, tmp_path, tiny_config, capsys):
    to_crop_set("bp4d", bp4d, tmp_path / "crops", make_detector=Middle)
    pairs = [word for value in tiny_config for word in ("--config", value)]
    words = ["train", "--model", "cednn", "--data", str(tmp_path / "crops"), "--out", str(tmp_path / "run"), *pairs]
    assert main([*words, "--device", "cpu", "--intensity"]) == 2
    assert "got labels of presence only, expected intensities from 0 to 5" in capsys.readouterr().err


def test_data_sets_are_cropped_at_the_size_of_the_models_input(tmp_path):
    """The public FAN gets original crops of 256 pixels, not ones enlarged from the default 112."""
    root = tmp_path / "CK+"
    write_ckplus(root, "001", (12, 3))
    for name, side in (("fan-trans-full", 256), ("sma-net-full", 224), ("cednn-xs", 112), ("fan-s", 112)):
        assert crop_of(Recipe((name,), (f"ckplus:{root}",), tmp_path)).size_px == side
    assert crop_of(Recipe(("cednn-s", "eau-full"), (), tmp_path)).size_px == 224
    assert crop_of(Recipe(("cednn-s",), (), tmp_path, config={"size_px": 160})).size_px == 160


def test_crops_smaller_than_the_models_input_give_a_warning(bp4d, tmp_path, tiny_config, capsys):
    to_crop_set("bp4d", bp4d, tmp_path / "crops", make_detector=Middle)
    pairs = [word for value in [*tiny_config, "size_px=128"] for word in ("--config", value)]
    words = ["train", "--model", "cednn", "--data", str(tmp_path / "crops"), "--out", str(tmp_path / "run"), *pairs]
    assert main([*words, "--device", "cpu", "--steps", "1", "--batch", "2"]) == 0
    assert "crops of 112 px are enlarged to the model's 128" in capsys.readouterr().err

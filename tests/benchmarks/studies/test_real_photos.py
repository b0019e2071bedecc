"""Photos evaluated by pairs of an AU and an expression, on real ones if they are in the test data."""

import json

import cv2
import numpy as np
import pytest
from skimage import data

from edgeau.benchmarks.studies.real_photos import (
    PAIRS,
    Answers,
    figures,
    main,
    pair_figures,
    read_photos,
    resampled_means,
    with_intervals,
)
from edgeau.runtime.detect import make_detector
from edgeau.runtime.detection import Detection, nearest_middle
from edgeau.runtime.errors import InputError

AUS = ("AU12", "AU06")


def test_a_pairs_figure_is_the_auc_of_presence_for_expression_against_neutral():
    presence = np.array([[0.1, 0.5], [0.2, 0.4], [0.9, 0.45], [0.15, 0.6], [0.99, 0.0]])
    words = ("neutral", "neutral", "happiness", "happiness", "sadness")
    figures = pair_figures(presence, AUS, words)
    assert figures["AU12 happiness"] == 0.75  # one of four pairs of a happy and a neutral face is in the wrong order
    assert figures["AU06 happiness"] == 0.75
    assert figures["AU04 sadness"] is None  # the model lacks it
    assert len(figures) == sum(len(names) for names in PAIRS.values()) == 12


def test_an_expression_that_no_photo_shows_has_no_figure():
    figures = pair_figures(np.zeros((2, 2)), AUS, ("neutral", "neutral"))
    assert set(figures.values()) == {None}


def test_the_face_nearest_the_middle_is_used():
    points = np.zeros((5, 2), np.float32)
    faces = [Detection(np.array(box, np.float32), points, 1.0) for box in ((0, 0, 90, 90), (40, 40, 60, 60))]
    assert nearest_middle(faces, np.zeros((100, 100, 3), np.uint8)) is faces[1]


def test_intervals_contain_the_figure_and_gains_are_paired():
    rng = np.random.default_rng(1)
    words = ["neutral"] * 60 + ["happiness"] * 60
    smile = np.r_[rng.normal(0.4, 0.2, 60), rng.normal(0.6, 0.2, 60)]
    weak = Answers("weak", np.stack([smile, rng.random(120)], axis=1), AUS)
    strong = Answers(
        "strong", np.stack([smile + np.r_[np.zeros(60), np.full(60, 0.1)], weak.presence[:, 1]], axis=1), AUS
    )
    models = [weak, strong]
    first, second = with_intervals([figures(one, words) for one in models], resampled_means(models, words, 200))
    assert first["mean_95"][0] < first["mean"] < first["mean_95"][1]
    assert second["gain_95"][0] < second["gain"] < second["gain_95"][1]
    # Both use the same photos, so the gain is known far more precisely than either mean.
    assert np.diff(second["gain_95"]) < 0.7 * np.diff(first["mean_95"])
    assert "gain" not in first


@pytest.fixture
def photos(tmp_path):
    """scikit-image's smiling astronaut, once labelled correctly and once as neutral, and a picture without a face."""
    folder = tmp_path / "photos"
    folder.mkdir()
    image = np.ascontiguousarray(data.astronaut()[:300, 100:400, ::-1])
    cv2.imwrite(str(folder / "a.png"), image)
    cv2.imwrite(str(folder / "b.png"), image[:, ::-1])
    cv2.imwrite(str(folder / "c.png"), np.full((200, 200, 3), 90, np.uint8))
    (folder / "labels.csv").write_text("file,expression\na.png,happiness\nb.png,neutral\nc.png,neutral\n")
    return folder


def test_faces_are_detected_and_pictures_without_one_counted(photos, yunet_path):
    read = read_photos(photos, make_detector(str(yunet_path)))
    assert read.expressions == ("happiness", "neutral")
    assert read.without_face == 1


def test_the_shipped_package_is_evaluated_and_recorded(photos, yunet_path, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EDGEAU_YUNET", str(yunet_path))
    out = tmp_path / "out.json"
    assert main([str(photos), "shipped", "-o", str(out)]) == 0
    written = json.loads(out.read_text())
    assert written["photos"]["happiness"] == written["photos"]["neutral"] == 1
    (result,) = written["models"]
    assert result["pairs"]["AU12 happiness"] is not None
    assert result["pairs_known"] == 2
    assert "| mean |" in capsys.readouterr().out


def test_a_folder_without_labels_is_refused(tmp_path, yunet_path):
    with pytest.raises(InputError, match="no labels"):
        read_photos(tmp_path, make_detector(str(yunet_path)))


def test_the_shipped_package_has_the_stated_result_on_press_photos(data_folder, yunet_path, tmp_path, monkeypatch):
    """The mean of the twelve pairs stated in the README of the test data, which other code computed."""
    folder = data_folder / "real-expressions" / "judge"
    if not folder.is_dir():
        pytest.skip("the photos of real expressions are not in the test data")
    monkeypatch.setenv("EDGEAU_YUNET", str(yunet_path))
    assert main([str(folder), "shipped", "-o", str(tmp_path / "out.json")]) == 0
    (result,) = json.loads((tmp_path / "out.json").read_text())["models"]
    assert result["mean"] == pytest.approx(0.712, abs=0.003)

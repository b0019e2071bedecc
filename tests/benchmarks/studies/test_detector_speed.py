from pathlib import Path

import numpy as np
import pytest

from edgeau.benchmarks.studies.detector_speed import main, measure


class Empty:
    """A detector that finds one face in each picture."""

    name = "empty"

    def detect(self, image_bgr):
        return [image_bgr]


def test_detectors_are_compared_with_opencv_on_the_same_pictures():
    costs = {
        cost.detector: cost for cost in measure([np.zeros((8, 8, 3), np.uint8)] * 5, {"a": Empty(), "opencv": Empty()})
    }
    assert costs["opencv"].ratio == 1.0
    assert costs["a"].faces == costs["opencv"].faces == 5


def test_without_opencvs_yunet_there_is_no_ratio():
    (cost,) = measure([np.zeros((8, 8, 3), np.uint8)], {"haar": Empty()})
    assert cost.ratio is None


def test_every_detector_finds_the_face_in_the_clip(clip_path: Path, yunet_path: Path, capsys):
    assert main([str(clip_path), "--yunet", str(yunet_path), "--frames", "4"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0].strip("| ") for row in rows][-1] == "haar"
    for row in rows:
        assert row[-1].strip("| ") == "4"


def test_without_yunet_the_command_says_how_to_get_it(clip_path, capsys):
    assert main([str(clip_path)]) == 2
    assert "doctor --fetch-detector" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nowhere.mp4"])
def test_a_missing_source_is_refused(name, yunet_path, capsys):
    assert main([name, "--yunet", str(yunet_path)]) == 2
    assert "no such file" in capsys.readouterr().err

"""A run's figures by number of samples seen, from files in the format of the commands."""

import json

import pytest

from edgeau.benchmarks.studies.training_curve import main, spaced


def test_snapshots_are_listed_in_the_order_of_steps(tmp_path, capsys):
    for name, value in {
        "00900.test": {"mean_f1": 0.7},
        "00100.test": {"mean_f1": 0.5},
        "00100.photos": {"models": [{"mean": 0.66}]},
        "00100.heldout": {"mean_f1": None},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    assert main([str(tmp_path), "--batch", "64", "-o", str(tmp_path / "curve")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| samples seen | F1, heldout | mean AUC, photos | F1, test |"
    assert lines[2:4] == ["| 6,400 | - | 0.660 | 0.500 |", "| 57,600 | - | - | 0.700 |"]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert [p["step"] for p in json.loads((tmp_path / "curve.json").read_text())["points"]] == [100, 900]


def test_an_empty_folder_is_refused(tmp_path, capsys):
    assert main([str(tmp_path), "--batch", "64", "-o", str(tmp_path / "curve")]) == 2
    assert "STEP.SET.json" in capsys.readouterr().err


def test_labels_that_would_overlap_are_moved_apart():
    assert spaced([0.712, 0.705, 0.8], 0.01) == pytest.approx([0.715, 0.705, 0.8])
    assert spaced([], 0.01) == []

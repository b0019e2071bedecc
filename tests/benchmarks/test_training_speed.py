"""Training speed in two precisions, measured on a real, tiny run."""

import json

import pytest

from edgeau.benchmarks.training_speed import main


def test_both_precisions_and_their_ratio_are_measured(tmp_path, capsys):
    out = tmp_path / "speed.json"
    words = ["--model", "cednn-s", "--rounds", "1", "--batch", "4", "--steps", "3", "-o", str(out)]
    assert main(words) == 0
    (result,) = json.loads(out.read_text())["results"]
    for clock in ("cpu", "wall"):
        speeds = [result[f"{precision}_images_per_{clock}_s"] for precision in ("fp32", "bf16")]
        assert min(speeds) > 0
        assert result[f"bf16_over_fp32_{clock}"] == pytest.approx(speeds[1] / speeds[0])
    assert "cednn-s" in capsys.readouterr().out


def test_a_run_that_fails_is_said_in_one_line(tmp_path, capsys):
    assert main(["--model", "no-such", "-o", str(tmp_path / "speed.json")]) == 2
    message = capsys.readouterr().err.strip()
    assert "no-such" in message
    assert "\n" not in message

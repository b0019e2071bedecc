"""Training speed in two precisions, measured on a tiny real run."""

import json

import pytest

from edgeau.benchmarks.studies import training_speed
from edgeau.benchmarks.studies.training_speed import Steps, main, measure


def test_both_precisions_and_their_ratio_are_measured(tmp_path, capsys):
    out = tmp_path / "speed.json"
    words = ["--model", "cednn-s", "--rounds", "1", "--batch", "4", "--steps", "3", "-o", str(out)]
    assert main(words) == 0
    (result,) = json.loads(out.read_text())["results"]
    speeds = [result[f"{precision}_images_per_cpu_s"] for precision in ("fp32", "bf16")]
    assert all(speed is None or speed > 0 for speed in speeds)
    if None not in speeds:  # on a busy machine one may be missing
        assert result["bf16_over_fp32_cpu"] == pytest.approx(speeds[1] / speeds[0])
    assert "cednn-s" in capsys.readouterr().out


def test_a_failed_run_is_a_one_line_error(tmp_path, capsys):
    assert main(["--model", "no-such", "-o", str(tmp_path / "speed.json")]) == 2
    message = capsys.readouterr().err.strip()
    assert "no-such" in message
    assert "\n" not in message


def test_a_disturbed_clock_gives_no_figure(monkeypatch):
    def run(model, precision, threads, steps, batch):
        return {"cpu": 1.0 + steps, "wall": 9.0 - steps}  # the longer run happened to finish sooner

    monkeypatch.setattr(training_speed, "_run", run)
    result = measure("cednn-s", 1, 1, Steps())
    assert result["fp32_images_per_cpu_s"] == 32
    assert result["fp32_images_per_wall_s"] is None
    assert result["bf16_over_fp32_wall"] is None

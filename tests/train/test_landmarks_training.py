"""A FAN trained on landmarks, and a FAN-Trans built on it."""

import json

import pytest
import torch

from edgeau.runtime.cli import main
from edgeau.train.checkpoint import load_checkpoint
from edgeau.train.models.fan import fan_pixels, load_fan_weights

SMALL = ["size_px=32", "fan_width=16", "fan_depth=1", "fan_stacks=1"]


def words(crop_set, out, config, *more):
    pairs = [word for value in config for word in ("--config", value)]
    plain = [
        "train",
        "--data",
        str(crop_set),
        "--out",
        str(out),
        "--device",
        "cpu",
        "--batch",
        "16",
        "--eval-every",
        "20",
    ]
    return [*plain, *pairs, *more]


@pytest.mark.slow
def test_a_fan_learns_landmarks_and_a_fan_trans_uses_its_weights(crop_set, tmp_path, capsys):
    fan = tmp_path / "fan"
    more = ["--model", "fan-s", "--steps", "160", "--lr", "0.01", "--augment", "none"]
    assert main(words(crop_set, fan, SMALL, *more)) == 0
    assert "landmark error" in capsys.readouterr().out
    scores = [json.loads(line) for line in (fan / "history.jsonl").read_text().splitlines()]
    errors = [-line["fan"] for line in scores if line["kind"] == "val"]
    assert errors[-1] < 0.5 * errors[0]  # measured: 0.33 of 3.9
    metrics = json.loads((fan / "metrics.json").read_text())
    assert metrics["mean_error_eye_distances"]["test"] < errors[0]

    weights = load_fan_weights(fan / "fan.pth", "max").state_dict()
    teacher = tmp_path / "teacher"
    sizes = [*SMALL, "width=16", "heads=2", "addon_blocks=1", "freeze_fan=True"]
    more = ["--model", "fan-trans-s", "--fan", str(fan), "--steps", "2"]
    assert main(words(crop_set, teacher, sizes, *more)) == 0
    kept = load_checkpoint(teacher / "best.pt").state_dict
    assert all(torch.equal(kept[f"fan.{name}"], value) for name, value in weights.items())


def test_a_fan_trans_uses_the_pixel_scaling_of_its_fan(crop_set, tmp_path):
    for pixels in ("scaled", "standardised"):
        fan, out = tmp_path / pixels, tmp_path / f"on-{pixels}"
        own = [*SMALL, f"pixels={pixels}"]
        assert main(words(crop_set, fan, own, "--model", "fan-s", "--steps", "1")) == 0
        sizes = [*SMALL, "width=16", "heads=2", "addon_blocks=1"]
        assert main(words(crop_set, out, sizes, "--model", "fan-trans-s", "--fan", str(fan), "--steps", "1")) == 0
        assert load_checkpoint(out / "best.pt").config["pixels"] == pixels
    assert fan_pixels(tmp_path / "public.pth") == "scaled"


def test_the_fan_option_is_refused_for_models_without_a_fan(crop_set, tmp_path, tiny_config, capsys):
    assert main(words(crop_set, tmp_path / "fan", SMALL, "--model", "fan-s", "--steps", "1")) == 0
    more = ["--model", "cednn", "--fan", str(tmp_path / "fan")]
    assert main(words(crop_set, tmp_path / "run", tiny_config, *more)) == 2
    assert "FAN-Trans" in capsys.readouterr().err


def test_training_a_fan_without_landmarks_is_refused(tmp_path, capsys):
    import numpy as np

    faces = np.zeros((6, 112, 112, 3), np.uint8)
    np.savez(
        tmp_path / "a.npz", faces=faces, au=np.zeros((6, 1)), aus=np.array(["AU12"]), subjects=np.array(list("abcdef"))
    )
    assert main(words(tmp_path / "a.npz", tmp_path / "run", SMALL, "--model", "fan-s")) == 2
    assert "landmarks" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--flip", "--intensity", "--assist=photos"])
def test_options_about_action_units_are_refused_for_a_fan(crop_set, tmp_path, capsys, option):
    assert main(words(crop_set, tmp_path / "run", SMALL, "--model", "fan-s", option)) == 2
    assert "expected a model of AUs" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()

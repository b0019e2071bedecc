"""The mean of the weights that a run started from and those it reached."""

import json

import pytest
import torch

from edgeau.runtime.cli import main
from edgeau.train.blend import blend
from edgeau.train.checkpoint import load_checkpoint

SHORT = ["--batch", "16", "--eval-every", "4", "--steps", "4", "--device", "cpu", "--augment", "none", "--seed", "3"]


def train(crop_set, out, config, *more):
    pairs = [word for value in config for word in ("--config", value)]
    return main(["train", "--model", "cednn", "--data", str(crop_set), "--out", str(out), *SHORT, *pairs, *more])


def test_weights_are_averaged_and_counters_are_those_reached():
    start = {"weight": torch.tensor([0.0, 4.0]), "num_batches_tracked": torch.tensor(3)}
    reached = {"weight": torch.tensor([1.0, 0.0]), "num_batches_tracked": torch.tensor(9)}
    mixed = blend(start, reached, 0.25)
    assert mixed["weight"].tolist() == [0.75, 1.0]
    assert mixed["num_batches_tracked"].item() == 9


def test_a_run_ends_with_the_mean_of_its_first_and_best_weights(crop_set, tmp_path, tiny_config):
    first, plain, half = (tmp_path / name for name in ("first", "plain", "half"))
    assert train(crop_set, first, tiny_config) == 0
    init = ["--init", str(first / "best.pt")]
    assert train(crop_set, plain, tiny_config, *init) == 0
    assert train(crop_set, half, tiny_config, *init, "--start-share", "0.5") == 0
    checkpoints = [load_checkpoint(run / "best.pt") for run in (first, plain, half)]
    start, reached, result = (checkpoint.state_dict for checkpoint in checkpoints)
    assert checkpoints[2].provenance["start_share"] == 0.5
    assert any((start[name] != reached[name]).any() for name in start)
    for name, value in result.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (start[name] + reached[name]) / 2)
    metrics = [json.loads((run / "metrics.json").read_text())["members"]["cednn"]["val"] for run in (plain, half)]
    assert metrics[0] != metrics[1]


def test_finishing_a_run_again_does_not_blend_again(crop_set, tmp_path, tiny_config):
    first, half = tmp_path / "first", tmp_path / "half"
    assert train(crop_set, first, tiny_config) == 0
    assert train(crop_set, half, tiny_config, "--init", str(first / "best.pt"), "--start-share", "0.5") == 0
    once = load_checkpoint(half / "best.pt").state_dict
    assert main(["train", "--resume", str(half)]) == 0
    twice = load_checkpoint(half / "best.pt").state_dict
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_a_share_needs_initial_weights_of_the_same_model(crop_set, tmp_path, tiny_config, capsys):
    assert train(crop_set, tmp_path / "none", tiny_config, "--start-share", "0.5") == 2
    assert "--start-share: got no initial weights, expected --init with it" in capsys.readouterr().err
    first = tmp_path / "first"
    assert train(crop_set, first, tiny_config, "--aus", "12,25") == 0
    init = ["--init", str(first / "best.pt"), "--start-share", "0.5"]
    assert train(crop_set, tmp_path / "other", tiny_config, *init) == 2
    assert "expected the model and the AUs of --init" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["-0.1", "1.5", "half"])
def test_a_share_outside_0_to_1_is_refused(crop_set, tmp_path, tiny_config, share):
    assert train(crop_set, tmp_path / "out", tiny_config, "--init", "x.pt", f"--start-share={share}") == 2

"""Training: what a model learns, what a run stores, and that interrupting it changes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edgeau.runtime.cli import main
from edgeau.train.checkpoint import load_checkpoint, model_from_checkpoint
from edgeau.train.trainer import Ema, TrainOptions, learning_rate

# Ctrl-C in the middle of step 13, in a separate process: without a handler it would end pytest's.
INTERRUPTED = """
import signal, sys
from edgeau.runtime.cli import main
from edgeau.train.trainer import Trainer

step = Trainer._step

def interrupted_step(self, batch):
    if self.progress.step == 12:
        signal.raise_signal(signal.SIGINT)
    return step(self, batch)

Trainer._step = interrupted_step
sys.exit(main(sys.argv[1:]))
"""


def arguments(crop_set, out, config, *more):
    pairs = [word for value in config for word in ("--config", value)]
    plain = ["train", "--model", "cednn", "--data", str(crop_set), "--out", str(out), "--device", "cpu"]
    return [*plain, "--batch", "16", "--eval-every", "10", "--steps", "20", *pairs, *more]


def history(out):
    return [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_model_generalises_to_cartoon_faces_of_held_out_subjects(make_crop_set, tmp_path, tiny_config, capsys):
    faces = make_crop_set(subjects=16, frames=16)
    out = tmp_path / "run"
    options = ["--steps", "360", "--eval-every", "60", "--lr", "0.01", "--val", "0.15", "--test", "0.15", "--json"]
    assert main(arguments(faces, out, tiny_config, *options)) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "metrics.json").read_text())
    test = printed["members"]["cednn"]["test"]
    # Measured with 5 seeds: 0.84 to 0.95, and 0.40 to 0.73 after 120 steps. Calling every AU present gives 0.5.
    assert test["mean_f1"] > 0.65
    provenance = load_checkpoint(out / "best.pt").provenance
    parts = [set(provenance["subjects"][part]) for part in ("train", "val", "test")]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 16
    assert test["samples"] == 16 * len(parts[2])
    assert provenance["metrics"]["test"]["mean_f1"] == test["mean_f1"]
    assert provenance["versions"]["torch"] == torch.__version__


def test_the_checkpoint_contains_the_trained_model(crop_set, tmp_path, tiny_config):
    out = tmp_path / "run"
    assert main(arguments(crop_set, out, tiny_config)) == 0
    checkpoint = load_checkpoint(out / "best.pt")
    model = model_from_checkpoint(checkpoint)
    face = torch.from_numpy(np.zeros((2, 32, 32, 3), np.uint8))
    assert model(face, face).au_logits.shape == (2, 3)
    assert checkpoint.config["aus"] == ("AU01", "AU12", "AU25")
    assert checkpoint.crop.size_px == 32
    assert checkpoint.neutral.policy == "running"


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_resume_and_gives_the_same_result(crop_set, tmp_path, tiny_config):
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    assert main(arguments(crop_set, whole, tiny_config)) == 0
    command = [sys.executable, "-c", INTERRUPTED, *arguments(crop_set, halved, tiny_config)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 130, done.stderr
    assert f"edgeau train --resume {halved}" in done.stderr
    assert torch.load(halved / "last.pt", weights_only=True)["progress"]["step"] == 13
    assert main(["train", "--resume", str(halved)]) == 0

    expected = torch.load(whole / "last.pt", weights_only=True)
    resumed = torch.load(halved / "last.pt", weights_only=True)
    for part in ("objective", "ema"):
        for name, tensor in expected[part].items():
            assert torch.equal(tensor, resumed[part][name]), name
    assert resumed["progress"] == expected["progress"]
    assert history(halved)[-1] == history(whole)[-1]
    # The command that started the run says how the weights came about; the one that resumed it does not.
    recorded = load_checkpoint(halved / "best.pt").provenance["command"]
    assert str(crop_set) in recorded
    assert "--resume" not in recorded


def test_weights_are_reproducible_for_a_seed_and_differ_between_seeds(crop_set, tmp_path, tiny_config):
    weights = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main(arguments(crop_set, tmp_path / name, tiny_config, "--steps", "4", "--seed", seed)) == 0
        weights.append(load_checkpoint(tmp_path / name / "best.pt").state_dict)
    same = [all(torch.equal(weights[0][k], other[k]) for k in weights[0]) for other in weights[1:]]
    assert same == [True, False]


def test_training_stops_when_validation_stops_improving(crop_set, tmp_path, tiny_config):
    out = tmp_path / "run"
    options = ["--steps", "500", "--lr", "1e-9", "--eval-every", "5", "--patience", "3"]
    assert main(arguments(crop_set, out, tiny_config, *options)) == 0
    assert json.loads((out / "metrics.json").read_text())["steps"] < 200


def test_epochs_count_passes_over_the_training_subjects(crop_set, tmp_path, tiny_config):
    out = tmp_path / "run"
    words = arguments(crop_set, out, tiny_config, "--epochs", "2")
    del words[words.index("--steps") : words.index("--steps") + 2]
    assert main(words) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["steps"] == round(2 * -(-metrics["train_samples"] // 16))


def test_training_can_start_from_the_weights_of_another_run(crop_set, tmp_path, tiny_config):
    assert main(arguments(crop_set, tmp_path / "a", tiny_config)) == 0
    # AU12 alone needs a classifier of another size; everything before it is copied.
    more = ["--aus", "12", "--init", str(tmp_path / "a" / "best.pt"), "--steps", "1", "--lr", "1e-12", "--ema", "0"]
    assert main(arguments(crop_set, tmp_path / "b", tiny_config, *more)) == 0
    first, second = (load_checkpoint(tmp_path / name / "best.pt").state_dict for name in "ab")
    assert torch.allclose(first["stem.0.weight"], second["stem.0.weight"], atol=1e-6)
    assert second["classifier.weight"].shape[0] == 1


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["train", "--model", "cednn"], "--data"),
        (["train", "--data", "x", "--out", "y"], "--model"),
        (["train", "--resume", "/nonexistent"], "options.json"),
    ],
)
def test_missing_options_are_a_one_line_error(words, fragment, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert fragment in error
    assert error.count("\n") == 1


def test_invalid_values_are_a_one_line_error(crop_set, tmp_path, tiny_config, capsys):
    for more in (
        ["--model", "cednm"],
        ["--aus", "99"],
        ["--val", "0.9"],
        ["--config", "width"],
        ["--device", "warp"],
        ["--batch", "0"],
    ):
        assert main(arguments(crop_set, tmp_path / "run", tiny_config, *more)) == 2
        assert len([line for line in capsys.readouterr().err.splitlines() if line.startswith("edgeau: ")]) == 1


def test_a_loss_that_is_not_finite_ends_the_run(crop_set, tmp_path, tiny_config, capsys):
    assert main(arguments(crop_set, tmp_path / "run", tiny_config, "--lr", "1e30", "--warmup", "0", "--clip", "0")) == 2
    assert "--lr" in capsys.readouterr().err


def test_the_learning_rate_warms_up_and_decays():
    options = TrainOptions(steps=100, lr=1.0, warmup_steps=10, final_lr=0.01)
    rates = [learning_rate(step, options) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert np.all(np.diff(rates[10:]) <= 0)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)


def test_ema_averages_weights_and_copies_statistics():
    layer = torch.nn.BatchNorm1d(2)
    ema = Ema(layer, 0.9)
    with torch.no_grad():
        layer.weight.fill_(3.0)
        layer.running_mean.fill_(7.0)
    ema.update(layer, step=1000)
    assert torch.allclose(ema.module.weight, torch.full((2,), 1.0 + 0.1 * 2.0))
    assert torch.equal(ema.module.running_mean, layer.running_mean)


def test_auto_precision_is_bf16_on_cpus_that_support_it(monkeypatch):
    from edgeau.train import trainer

    for capable, dtype in ((True, torch.bfloat16), (False, None)):
        monkeypatch.setattr(trainer, "cpu_computes_bf16", lambda capable=capable: capable)
        assert trainer.autocast_dtype("auto", torch.device("cpu")) == dtype
    assert trainer.autocast_dtype("fp32", torch.device("cpu")) is None


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="no /proc/cpuinfo to compare with")
def test_bf16_support_agrees_with_the_cpu_flags():
    from edgeau.train.trainer import cpu_computes_bf16

    flags = Path("/proc/cpuinfo").read_text()
    assert cpu_computes_bf16() == ("avx512_bf16" in flags or "amx_bf16" in flags)


def test_bf16_has_nearly_the_loss_of_fp32(crop_set, tmp_path, tiny_config):
    losses = {}
    for precision in ("fp32", "bf16"):
        more = ["--precision", precision, "--log-every", "1"]
        assert main(arguments(crop_set, tmp_path / precision, tiny_config, *more)) == 0
        losses[precision] = [line["loss"] for line in history(tmp_path / precision) if line["kind"] == "train"]
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.1)

"""Thresholds: the rule for choosing them, and that a run stores them in its checkpoint."""

import json

import numpy as np
import pytest

from edgeau.runtime.cli import main
from edgeau.train.checkpoint import load_checkpoint
from edgeau.train.thresholds import DEFAULT, RULE, choose_thresholds


def test_the_threshold_separates_presence_best():
    positive = np.arange(200) < 60
    rng = np.random.default_rng(0)
    score = np.where(positive, rng.uniform(0.3, 0.5, 200), rng.uniform(0.0, 0.2, 200))
    (threshold,) = choose_thresholds(score[:, None], positive[:, None].astype(float))
    # Any threshold from 0.2 to 0.3 makes no mistake; the median of these is chosen.
    assert threshold == pytest.approx(0.25, abs=0.02)


def test_the_threshold_is_one_half_without_enough_labels_of_both_kinds():
    score = np.linspace(0, 1, 50)[:, None]
    few = np.r_[np.ones(19), np.zeros(31)][:, None]
    assert choose_thresholds(score, few) == (DEFAULT,)
    assert choose_thresholds(score, 1 - few) == (DEFAULT,)
    unknown = np.full((50, 1), np.nan)
    assert choose_thresholds(score, unknown) == (DEFAULT,)


@pytest.mark.slow
def test_a_run_stores_its_thresholds_and_their_rule(make_crop_set, tmp_path, tiny_config):
    faces = make_crop_set("many", subjects=16, frames=20)
    pairs = [word for value in tiny_config for word in ("--config", value)]
    run = ["--data", str(faces), "--out", str(tmp_path / "run"), "--device", "cpu", "--batch", "16", "--val", "0.5"]
    assert main(["train", "--model", "cednn", *run, *pairs, "--steps", "60", "--lr", "0.02"]) == 0
    kept = load_checkpoint(tmp_path / "run" / "best.pt")
    assert kept.provenance["thresholds"] == {"rule": RULE, "samples": 160}
    assert set(kept.thresholds) != {DEFAULT}
    member = json.loads((tmp_path / "run" / "metrics.json").read_text())["members"]["cednn"]
    assert tuple(member["thresholds"].values()) == kept.thresholds

"""Training on faces rendered on the fly: reproducible for a seed, never repeated, and resumable."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from edgeau.runtime.cli import main
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.train.batches import BatchOptions
from edgeau.train.faces.stream import StreamOptions, draw_subject, parse_stream, plan
from edgeau.train.rendered import RenderedBatches, stream_intensity

AUS = ("AU12", "AU25")
STREAM = StreamOptions(frames=4, seed=5)


def options(**changes):
    return BatchOptions(**{"size_px": 32, "batch": 3, "takes_neutral": True, "landmarks": True, **changes})


def first(batches, count, start=0):
    iterator = batches.start(start)
    try:
        return [next(iterator) for _ in range(count)]
    finally:
        iterator.close()


@pytest.fixture(scope="module")
def whole():
    """Two blocks of four batches, and one more batch."""
    return first(RenderedBatches(STREAM, AUS, options(augment=None, neutral_unknown=0.0), seed=1), 9)


def test_every_picture_occurs_once(whole):
    faces = np.concatenate([batch.face.numpy().reshape(3, -1) for batch in whole[:8]])
    assert len(np.unique(faces, axis=0)) == 24
    drawn = [draw_subject(STREAM, number, CropSpec(size_px=32), {}).faces for number in range(6)]
    assert {face.tobytes() for subject in drawn for face in subject} == {face.tobytes() for face in faces}


def test_starting_later_gives_the_same_batches(whole):
    later = first(RenderedBatches(STREAM, AUS, options(augment=None, neutral_unknown=0.0), seed=1), 3, start=6)
    for mine, theirs in zip(later, whole[6:], strict=True):
        for name in ("face", "neutral", "intensity", "landmarks"):
            assert torch.equal(getattr(mine, name).nan_to_num(), getattr(theirs, name).nan_to_num()), name


def test_neutrals_and_labels_are_those_of_the_subjects_plan(whole):
    by_face = {}
    for number in range(6):
        subject = draw_subject(STREAM, number, CropSpec(size_px=32), {})
        for face, sample in zip(subject.faces, subject.samples, strict=True):
            by_face[face.tobytes()] = (subject.faces[sample.neutral], sample.au)
    from edgeau.runtime.action_units import UNION

    for batch in whole[:8]:
        for face, neutral, intensity in zip(batch.face, batch.neutral, batch.intensity, strict=True):
            expected, au = by_face[face.numpy().tobytes()]
            assert np.array_equal(neutral.numpy(), expected)
            assert intensity.tolist() == [au[UNION.index(name)] for name in AUS]


def test_base_rates_of_a_stream_are_between_10_and_90_percent():
    intensity = stream_intensity(STREAM, AUS)
    present = (intensity >= 2).mean(axis=0)
    assert ((present > 0.1) & (present < 0.9)).all()


def test_face_models_and_domains_are_mixed():
    mixed = StreamOptions(faces=("ict", "builtin"), domains=("train", "heldout"), frames=4)
    plans = [plan(mixed, number) for number in range(40)]
    assert {face for face, _ in plans} == {"ict", "builtin"}
    assert {samples[0].spec.domain for _, samples in plans} == {"train", "heldout"}


def test_a_specification_is_parsed():
    parsed = parse_stream("render:faces=ict+builtin,frames=8,seed=3,labels=disfa,domains=train+heldout,workers=2")
    assert parsed == StreamOptions(("ict", "builtin"), 8, 3, "disfa", ("train", "heldout"), 2)
    assert parse_stream("render:", seed=9).seed == 9


@pytest.mark.parametrize(
    ("spec", "word"),
    [("render:frames=2", "4 frames"), ("render:face=ict", "face=ict"), ("render:workers=x", "whole number"),
     ("render:labels=ck", "bp4d"), ("render:domains=night", "heldout")],
)  # fmt: skip
def test_errors_name_the_wrong_option(spec, word):
    with pytest.raises(InputError, match=word):
        parse_stream(spec)


def test_an_au_that_rendered_faces_have_no_label_for_is_refused():
    with pytest.raises(InputError, match="AU43"):
        stream_intensity(STREAM, ("AU43",))


INTERRUPTED = """
import sys, signal, os
from edgeau.train import trainer
before = trainer.Trainer._step
def step(self, batch):
    if self.progress.step == 5:
        os.kill(os.getpid(), signal.SIGTERM)
    return before(self, batch)
trainer.Trainer._step = step
from edgeau.runtime.cli import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def test_a_resumed_run_gives_the_same_history(make_crop_set, tmp_path, tiny_config):
    val = make_crop_set("val", subjects=2, aus=AUS)
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)

    def words(out):
        pairs = [word for value in tiny_config for word in ("--config", value)]
        data = ["--data", "render:frames=4,seed=2", "--val-data", str(val), "--augment", "strong"]
        common = ["--model", "cednn", "--batch", "4", "--steps", "8", "--eval-every", "4", "--log-every", "1"]
        return ["train", *data, *common, "--out", str(out), "--device", "cpu", *pairs]

    whole, halved = tmp_path / "whole", tmp_path / "halved"
    assert main(words(whole)) == 0
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), *words(halved)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=240)
    assert "edgeau train --resume" in done.stderr, done.stderr[-2000:]
    assert main(["train", "--resume", str(halved)]) == 0
    lines = [[json.loads(x) for x in (out / "history.jsonl").read_text().splitlines()] for out in (whole, halved)]
    assert lines[0] == lines[1]
    metrics = json.loads((whole / "metrics.json").read_text())
    assert metrics["train_samples"] == 32


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        ([], "no --val-data"),
        (["--val-data", "VAL", "--data", "VAL"], "alone"),
        (["--val-data", "VAL", "--epochs", "1"], "--steps"),
    ],
)
def test_options_that_rendering_needs_are_named(words, fragment, crop_set, tmp_path, capsys):
    words = [word.replace("VAL", str(crop_set)) for word in words]
    assert main(["train", "--model", "cednn", "--data", "render:", *words, "--out", str(tmp_path / "run")]) == 2
    assert fragment in capsys.readouterr().err


def test_validation_sets_are_not_trained_on(crop_set, make_crop_set, tmp_path, tiny_config):
    val = make_crop_set("val", subjects=3, prefix="v")
    pairs = [word for value in tiny_config for word in ("--config", value)]
    data = ["--data", str(crop_set), "--val-data", str(val), "--test", "0"]
    assert main(["train", "--model", "cednn", *data, "--steps", "1", "--out", str(tmp_path / "run"), *pairs]) == 0
    from edgeau.train.checkpoint import load_checkpoint

    subjects = load_checkpoint(tmp_path / "run" / "best.pt").provenance["subjects"]
    assert len(subjects["train"]) == 8
    assert len(subjects["val"]) == 3
    assert all(name.startswith("v") for name in subjects["val"])

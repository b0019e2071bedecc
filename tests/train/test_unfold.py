"""Training from a package's weights: they give the same outputs, and training mode keeps them useful."""

import json

import numpy as np
import pytest
import torch

from edgeau.runtime import load
from edgeau.runtime.cli import main
from edgeau.runtime.errors import InputError
from edgeau.runtime.package import shipped_package
from edgeau.train.checkpoint import model_from_checkpoint
from edgeau.train.unfold import open_init


@pytest.fixture(scope="module")
def crops():
    with np.load(shipped_package() / "parity.npz") as arrays:
        return arrays["faces"], arrays["faces"][arrays["neutral"]]


def test_the_shipped_package_gives_the_same_outputs_in_torch(crops):
    faces, neutrals = crops
    model = model_from_checkpoint(open_init("shipped"))
    with torch.no_grad():
        got = model(torch.from_numpy(faces), torch.from_numpy(neutrals)).au_logits.sigmoid().numpy()
        learning = model.train()(torch.from_numpy(faces), torch.from_numpy(neutrals)).au_logits.sigmoid().numpy()
    with load(backend="onnxruntime", variant="fp32", detector=None) as analyzer:
        expected = analyzer.analyse_crops(faces, neutrals)["au"]
    assert np.abs(got - expected).max() < 1e-4
    # With batch statistics and dropout, as in training; random statistics give 0.3.
    assert np.abs(learning - expected).mean() < 0.05


def test_a_folder_without_a_suitable_package_is_refused(tmp_path):
    with pytest.raises(InputError):
        open_init(str(tmp_path))


@pytest.mark.slow
def test_training_can_start_from_the_shipped_package(make_crop_set, tmp_path, capsys):
    faces = make_crop_set("faces", size=112, subjects=4, frames=6)
    common = ["--model", "cednn-m", "--data", str(faces), "--steps", "1", "--batch", "4", "--device", "cpu"]
    more = ["--init", "shipped", "--lr", "1e-6", "--ema", "0", "--val", "0.3", "--test", "0"]
    # With another pixel scaling than the weights expect, the crops would be noise.
    assert main(["train", *common, *more, "--out", str(tmp_path / "other")]) == 2
    assert "pixels=scaled" in capsys.readouterr().err
    assert main(["train", *common, *more, "--config", "pixels=scaled", "--out", str(tmp_path / "run")]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["members"]["cednn-m"]["parameters"] == 287_279 - 12 * 7840 - 12  # three AUs in place of fifteen

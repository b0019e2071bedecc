"""The networks of the papers' time: their cost agrees with published figures, and they run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgeau.benchmarks.claims.networks import NETWORKS
from edgeau.benchmarks.macs import model_facts

AUS = 12
# Parameters according to torchvision (its documentation of the weights), without the classifier of 1000 classes, and
# with one value per channel instead of the two of batch normalization, which is folded here.
PARAMETERS = {
    "vgg16": 14_714_688,  # 138,357,544 minus the three fully connected layers
    "resnet18": 11_689_512 - 513_000 - 4_800,
    "resnet50": 25_557_032 - 2_049_000 - 26_560,
    "mobilenetv2": 3_504_872 - 1_281_000 - 17_056,
}
CHANNELS = {"vgg16": 512, "resnet18": 512, "resnet50": 2048, "mobilenetv2": 1280}
# Giga multiply-adds: 15.3 of VGG-16's 15.5 are convolutions; He et al. (table 1) and Sandler et al. (table 4).
GMACS = {"vgg16": 15.35, "resnet18": 1.8, "resnet50": 3.8, "mobilenetv2": 0.300}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("networks")
    paths = {name: folder / f"{name}.onnx" for name in NETWORKS}
    for name, path in paths.items():
        NETWORKS[name].save(path, AUS)
    return paths


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_cost_agrees_with_published_figures(name: str, files: dict[str, Path]) -> None:
    facts = model_facts(files[name])
    head = (CHANNELS[name] + 1) * AUS
    others = 3 if name == "mobilenetv2" else 1  # the input's scale, and the limits of ReLU6
    assert facts.parameters - head == pytest.approx(PARAMETERS[name], abs=others * 60)
    assert facts.macs / 1e9 == pytest.approx(GMACS[name], rel=0.02)


@pytest.mark.parametrize("stacks", [2, 4])
def test_fan_has_the_same_arithmetic_as_the_trainable_one(stacks: int, files: dict[str, Path], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from edgeau.train.models.fan import Fan, FanConfig

    class Heatmaps(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fan = Fan(FanConfig(stacks=stacks)).eval()

        def forward(self, image: object) -> object:
            return self.fan(image).heatmaps[-1]

    file = tmp_path / "fan.onnx"
    torch.onnx.export(Heatmaps(), (torch.zeros(1, 3, 256, 256),), str(file), dynamo=False)
    head = (256 + 68) * AUS
    assert model_facts(files[f"fan{stacks}"]).macs - head == model_facts(file).macs


def test_all_networks_are_valid_onnx_and_run_on_images(files: dict[str, Path]) -> None:
    for name, file in files.items():
        onnx.checker.check_model(str(file))
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        side = NETWORKS[name].size_px
        (au,) = session.run(None, {"face": np.zeros((2, side, side, 3), np.uint8)})
        assert au.shape == (2, AUS)
        assert np.isfinite(au).all()

"""Quantization-aware fine-tuning: what is rounded, that it repairs INT8 damage, and that it leaves no trace."""

import dataclasses

import numpy as np
import onnx
import pytest
import torch

from edgeau.export.package import export_package
from edgeau.optimize.predict import predict_model
from edgeau.optimize.quantization.flavours import FLAVOURS, Finished, predict_finished
from edgeau.optimize.quantization.quantize import QuantizeOptions, quantize_package
from edgeau.runtime.cli import main
from edgeau.runtime.crop_source import read_crops
from edgeau.train.checkpoint import load_checkpoint, model_from_checkpoint, save_checkpoint
from edgeau.train.models import build_model
from edgeau.train.qat import AsInt8, Ranges, rounded_input, rounded_layers, rounded_weight

AUS = ("AU01", "AU12")
SMALL = {
    "cednn": {"stem_width": 8, "widths": (8, 16), "depths": (1, 1), "group_width": 4, "block_maps": ((0,), (1,))},
    "fan-trans": {"fan_stacks": 1, "fan_width": 16, "fan_depth": 1, "width": 16, "heads": 2, "addon_blocks": 1},
    "sma-net": {"widths": (8, 16), "depths": (1, 1)},
    "eau": {"widths": (8, 16), "depths": (1, 1), "branch_width": 16, "exchanges": 1, "gate_width": 8},
}


def small(family):
    torch.manual_seed(0)
    return build_model(family, {"aus": AUS, "size_px": 32, **SMALL[family]}).eval()


def test_weights_have_255_levels_per_channel_and_inputs_256_per_tensor():
    torch.manual_seed(0)
    weight = torch.randn(6, 3, 3, 3) * torch.logspace(-3, 3, 6).view(6, 1, 1, 1)
    error = (rounded_weight(weight) - weight).abs().amax((1, 2, 3))
    assert (error <= weight.abs().amax((1, 2, 3)) / 127 / 2 * 1.001).all()
    x = torch.linspace(-2, 2, 10_001)
    assert rounded_input(x, torch.tensor(1.0)).unique().numel() == 256


def test_gradients_pass_through_rounding_but_not_outside_the_range():
    x = torch.tensor([0.1, 0.9, 1.5], requires_grad=True)
    rounded_input(x, torch.tensor(1.0)).sum().backward()
    assert x.grad.tolist() == [1, 1, 0]
    weight = torch.randn(2, 1, 3, 3, requires_grad=True)
    rounded_weight(weight).sum().backward()
    assert (weight.grad == 1).all()


def test_folding_batch_norm_before_or_after_rounding_gives_the_same_weights():
    weight, factor = (
        torch.randn(8, 4, 3, 3),
        (torch.rand(8, 1, 1, 1) + 0.1) * torch.tensor([1, -1] * 4).view(8, 1, 1, 1),
    )
    torch.testing.assert_close(rounded_weight(weight * factor), rounded_weight(weight) * factor)


@pytest.mark.parametrize("family", SMALL)
def test_every_convolution_except_those_over_maps_is_rounded(family):
    model = small(family)
    convolutions = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Conv2d)}
    learning = [parameter.requires_grad for parameter in model.parameters()]
    assert convolutions - set(rounded_layers(model)) == {name for name in convolutions if "map_scale" in name}
    assert [parameter.requires_grad for parameter in model.parameters()] == learning
    assert not model.training


@pytest.mark.parametrize("family", SMALL)
def test_rounding_errors_are_small_and_the_model_is_left_unchanged(family):
    model = small(family)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    face = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    ranges = Ranges(model, 0.99)
    model.requires_grad_(False)
    plain = model(face, face).au_logits
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.momentum = 0.0
    model.train()
    AsInt8(model, ranges)(face, face)
    model.eval()
    rounded = AsInt8(model, ranges)(face, face).au_logits
    assert (ranges.limit > 0).all()
    assert 0 < (rounded - plain).abs().max() < 0.5 * plain.abs().max()
    torch.testing.assert_close(model(face, face).au_logits, plain)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items() if "num_b" not in name)


def words(crop_set, out, *more):
    plain = ["--data", str(crop_set), "--out", str(out), "--device", "cpu", "--batch", "16", "--augment", "none"]
    return [*plain, "--eval-every", "40", "--test", "0", *more]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, crop_set, tiny_config):
    out = tmp_path_factory.mktemp("trained") / "run"
    pairs = [word for value in tiny_config for word in ("--config", value)]
    more = ["--steps", "120", "--lr", "0.02", "--val", "0"]
    assert main(["train", "--model", "cednn", *words(crop_set, out, *more, *pairs)]) == 0
    return out / "best.pt"


@pytest.fixture(scope="module")
def brittle(trained):
    """The trained model with every second channel of each 3x3 convolution multiplied by 500. The next layer divides by
    it again, so nothing changes in float, but a single scale leaves the other channels no levels."""
    checkpoint = load_checkpoint(trained)
    model = model_from_checkpoint(checkpoint)
    for block in model.blocks:
        factor = torch.ones(block.mix[0].in_channels)
        factor[::2] = 500
        block.grouped[1].weight.data *= factor
        block.grouped[1].bias.data *= factor
        block.mix[0].weight.data /= factor.view(1, -1, 1, 1)
    file = trained.with_name("brittle.pt")
    save_checkpoint(file, dataclasses.replace(checkpoint, state_dict=model.state_dict()))
    return file


def fine_tuned(trained, brittle, crop_set, out, *more):
    taught = [
        "--teacher",
        str(trained),
        "--init",
        str(brittle),
        "--lr",
        "0.005",
        "--steps",
        "240",
        "--qat-settle",
        "120",
    ]
    assert main(["distill", *taught, *words(crop_set, out, "--label-weight", "0", *more)]) == 0
    return out / "best.pt"


def error_of_int8(checkpoint, teacher, crop_set, folder):
    """The mean difference between the INT8 file's probabilities, as TensorRT computes them, and the float teacher's."""
    taught = export_package(teacher, folder / "teacher.edgeau")
    package = export_package(checkpoint, folder / "student.edgeau")
    _, (quantized,) = quantize_package(package.path, str(crop_set), QuantizeOptions(("tensorrt",), samples=48))
    crops, manifest = read_crops(str(crop_set), package.manifest.crop), package.manifest
    reference = predict_model(onnx.load(str(taught.path / "fp32.onnx")), "onnxruntime", crops, manifest)
    outputs = predict_finished(Finished(FLAVOURS["tensorrt"], quantized.model, ()), crops, manifest)
    return np.abs(outputs - reference).mean()


@pytest.mark.slow
def test_quantization_aware_training_restores_a_brittle_model(trained, brittle, crop_set, tmp_path):
    aware = fine_tuned(trained, brittle, crop_set, tmp_path / "aware", "--qat")
    before = error_of_int8(brittle, trained, crop_set, tmp_path / "untouched")
    after = error_of_int8(aware, trained, crop_set, tmp_path / "aware")
    # Measured with 4 seeds: 0.27 to 0.35 before, 0.03 to 0.04 after. After half the steps it was 0.05 to 0.17, and
    # without rounding 0.07 to 0.22.
    assert after < 0.4 * before
    operators = {
        node.op_type for node in onnx.load(str(tmp_path / "aware" / "student.edgeau" / "fp32.onnx")).graph.node
    }
    assert not any("Quantize" in operator for operator in operators)
    assert set(load_checkpoint(aware).state_dict) == set(load_checkpoint(brittle).state_dict)
    assert load_checkpoint(aware).provenance["quantization_aware"]["settle_steps"] == 120


def test_resuming_keeps_ranges_and_frozen_statistics(trained, crop_set, tmp_path, monkeypatch):
    from edgeau.train.trainer import Trainer

    def run(out):
        taught = ["--teacher", str(trained), "--init", str(trained), "--qat", "--qat-settle", "4", "--steps", "12"]
        return main(["distill", *taught, *words(crop_set, out), "--eval-every", "6"])

    assert run(tmp_path / "whole") == 0
    validate = Trainer._validate

    def stop(self):
        validate(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_validate", stop)
        assert run(tmp_path / "cut") == 130
    assert main(["distill", "--resume", str(tmp_path / "cut")]) == 0
    states = [torch.load(tmp_path / name / "last.pt", weights_only=True)["objective"] for name in ("whole", "cut")]
    assert states[0]["steps"] == 12
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert (states[0]["ranges.limit"] > 0).all()
    assert int(states[0]["members.cednn.stem.1.num_batches_tracked"]) - 4 == int(
        load_checkpoint(trained).state_dict["stem.1.num_batches_tracked"]
    )


def test_quantization_aware_training_needs_a_trained_student(trained, crop_set, tmp_path, capsys):
    taught = ["--teacher", str(trained), "--student", "cednn", "--qat"]
    assert main(["distill", *taught, *words(crop_set, tmp_path / "run")]) == 2
    assert "--init" in capsys.readouterr().err

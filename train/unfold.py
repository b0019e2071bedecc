"""Train on from a package: its weights as a checkpoint again.

Export folds batch normalisation into the convolutions before it, and the scale of the pixels into the first one. To
train on, each normalisation gets back a mean and deviation, measured on the package's own parity crops, and the scale
and shift that undo them: the model gives the same numbers, and batch statistics are near what it expects.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from edgeau.runtime.crop_set import CropSet, read_crop_file
from edgeau.runtime.errors import InputError
from edgeau.runtime.package import PARITY_FILE, Package, shipped_package
from edgeau.train.models.cednn import Cednn

from .checkpoint import Checkpoint, load_checkpoint
from .models import build_model

SHIPPED = "shipped"
_LARGEST_GAP = 1e-3


def open_init(path: str) -> Checkpoint:
    """The weights to start from.

    Args:
        path: a checkpoint, a package of the CEDNN family, or ``shipped`` for the one that ships with edgeau.

    Raises:
        InputError: none of these, or a package that can't be trained on.
    """
    if path == SHIPPED and not Path(path).exists():
        return checkpoint_of_package(shipped_package())
    if (Path(path) / "manifest.json").is_file():
        return checkpoint_of_package(Path(path))
    return load_checkpoint(path)


def checkpoint_of_package(folder: Path) -> Checkpoint:
    """A package's FP32 weights as a checkpoint. Raises InputError if its model can't be rebuilt exactly."""
    package, what = Package.open(folder), f"package {folder}"
    manifest, variant = package.manifest, package.manifest.fp32_onnx
    made, file = manifest.provenance, folder / PARITY_FILE
    if manifest.family != Cednn.family or "model" not in made or variant is None or not file.is_file():
        expected = f"one of the CEDNN family, as `edgeau export` writes it with {PARITY_FILE}"
        raise InputError(what, got=f"one of family {manifest.family}", expected=expected)
    model = build_model(manifest.family, {"pixels": "scaled", **made["model"]}).eval()
    assert isinstance(model, Cednn)
    crops = read_crop_file(file, model.config.size_px)
    with torch.no_grad():
        try:
            _fill(model, onnx.load(str(package.file(variant))).graph)
        except (KeyError, RuntimeError) as error:
            raise InputError(what, got=f"a graph without {error}", expected="one of this version of edgeau") from error
        before = _probabilities(model, crops)
        _give_statistics(model, crops)
        gap = float(np.abs(_probabilities(model, crops) - before).max())
    if not gap < _LARGEST_GAP:
        raise InputError(what, got=f"weights that differ by {gap:.2g} once unfolded", expected=f"below {_LARGEST_GAP}")
    return Checkpoint(
        family=manifest.family,
        config=model.config.to_dict(),
        state_dict=model.state_dict(),
        crop=manifest.crop,
        neutral=manifest.neutral,
        thresholds=manifest.thresholds,
        provenance={"package": manifest.name, "fp32_sha256": variant.sha256, "subjects": made.get("subjects", {})},
    )


def _fill(model: Cednn, graph: onnx.GraphProto) -> None:
    """Copy the graph's weights; batch norms become the identity plus the folded shift."""
    weights = {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer}
    biases = {node.input[1]: node.input[2] for node in graph.node if node.op_type == "Conv" and len(node.input) > 2}
    modules = dict(model.named_modules())
    for name, module in modules.items():
        weight = f"{name}.weight"
        if isinstance(module, nn.Conv2d):
            scale = 255.0 if module is model.stem[0] and model.config.pixels == "scaled" else 1.0
            module.weight.copy_(weights[weight] * scale)
            if weight in biases:
                parent, _, index = name.rpartition(".")
                norm = modules[f"{parent}.{int(index) + 1}"]
                assert isinstance(norm, nn.BatchNorm2d)
                _set(norm, torch.zeros(()), torch.ones(()) - norm.eps, weights[biases[weight]])
        elif isinstance(module, nn.Linear):
            module.weight.copy_(weights[weight])
            module.bias.copy_(weights[f"{name}.bias"])
    if model.intensity is not None:
        for name, parameter in model.intensity.named_parameters():
            parameter.copy_(weights[f"intensity.{name}"])


def _give_statistics(model: Cednn, crops: CropSet) -> None:
    """Set each batch norm's statistics to those of its inputs, without changing what it computes."""
    inputs: dict[nn.BatchNorm2d, Tensor] = {}

    def note(norm: nn.Module, values: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        inputs[norm] = values[0]

    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    _probabilities(model, crops)
    for hook in hooks:
        hook.remove()
    for norm, values in inputs.items():
        mean, variance = values.mean(dim=(0, 2, 3)), values.var(dim=(0, 2, 3)).clamp_min(1e-6)
        _set(norm, mean, variance, norm.bias + mean)


def _set(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, shift: Tensor) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean.expand_as(norm.running_mean))
    norm.running_var.copy_(variance.expand_as(norm.running_var))
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(shift)


def _probabilities(model: Cednn, crops: CropSet) -> np.ndarray:
    face, neutral = (torch.from_numpy(images.copy()) for images in (crops.faces, crops.neutrals))
    return model(face, neutral).au_logits.sigmoid().numpy()

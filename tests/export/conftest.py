"""Small untrained models with non-trivial batch norms, their graphs and their checkpoints."""

import functools

import pytest
import torch

from edgeau.export.graph import to_onnx
from edgeau.runtime.manifest import CropSpec, NeutralSpec
from edgeau.train.checkpoint import Checkpoint, save_checkpoint
from edgeau.train.models import build_model

AUS = ("AU01", "AU04", "AU12")
EXPRESSIONS = ("neutral", "happiness")
SMALL = {
    "cednn": {"size_px": 64, "stem_width": 16, "widths": (16, 32), "depths": (1, 1), "block_maps": ((0, 1), (2,))},
    "fan-trans": {
        "size_px": 64, "fan_width": 16, "fan_stacks": 1, "fan_depth": 1, "width": 16, "heads": 2, "addon_blocks": 1,
        "layers": 1,
    },
    "sma-net": {"size_px": 64, "widths": (16, 32), "depths": (1, 1), "relation_width": 8},
    "eau": {
        "size_px": 64, "widths": (16, 32), "depths": (1, 1), "branch_width": 16, "gate_width": 8, "exchanges": 1,
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_model(family, **overrides):
    """A model in eval mode with non-trivial batch norms."""
    torch.manual_seed(0)
    model = build_model(family, {"aus": AUS, "expressions": EXPRESSIONS, **SMALL[family], **overrides})
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
    return model.eval()


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory):
    """A function that returns the path of a small model's checkpoint."""
    folder = tmp_path_factory.mktemp("checkpoints")

    @functools.cache
    def path_of(family):
        model = small_model(family)
        policy = "running" if model.takes_neutral else "none"
        checkpoint = Checkpoint(
            family=family, config=model.config.to_dict(), state_dict=model.state_dict(), crop=CropSpec(size_px=64),
            neutral=NeutralSpec(policy), thresholds=(0.5, 0.4, 0.6), provenance={"data": "none", "seed": 0},
        )  # fmt: skip
        save_checkpoint(folder / f"{family}.pt", checkpoint)
        return folder / f"{family}.pt"

    return path_of


@pytest.fixture(scope="session")
def model_of():
    return small_model


@pytest.fixture(scope="session")
def graph_of():
    """A function that returns the exported graph of a small model, cached because an export takes seconds."""
    return functools.cache(lambda family: to_onnx(small_model(family)))

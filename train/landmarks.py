"""Train on landmarks the FAN that FAN-Trans builds on, for use without pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from edgeau.runtime.errors import InputError
from edgeau.runtime.files import write_json
from edgeau.train.models.base import Pixels, Planes
from edgeau.train.models.fan import Fan, FanConfig, FanOutput
from edgeau.train.models.fan_trans import FanTransConfig
from edgeau.train.models.landmarks import heatmap_loss, points_of

from .batches import Batch, BatchOptions, plain_batches
from .data import FaceData
from .models import PRESETS
from .objectives import Objective
from .parallel import World, first_then_others
from .provenance import provenance
from .recipe import Recipe, plain_recipe
from .run import batch_options, train_members
from .run_files import started_by, write_tensors
from .sources import open_sources

# Outer corners of the eyes among the 68 points; their distance is the usual unit of landmark errors.
_RIGHT_EYE, _LEFT_EYE = 36, 45
FANS = ("fan-s", "fan-m", "fan-full")


@dataclass(frozen=True)
class FanPlan:
    """A FAN, and the size and preprocessing of its input crops (see ModelConfig)."""

    config: FanConfig
    size_px: int
    pixels: str


def fan_plan(name: str, overrides: Mapping[str, Any]) -> FanPlan:
    """The FAN inside the corresponding FAN-Trans preset: ``fan-s`` is the FAN of ``fan-trans-s``.

    Raises:
        InputError: an unknown name, or an override that FAN-Trans's configuration does not have.
    """
    if name not in FANS:
        raise InputError("FAN", got=repr(name), expected=", ".join(FANS))
    _, values = PRESETS[name.replace("fan-", "fan-trans-")]
    try:
        config = FanTransConfig(**{"aus": ("AU01",), **values, **overrides})
    except TypeError as error:
        raise InputError(
            f"configuration of {name}", got=str(error), expected="fields such as size_px and fan_width"
        ) from error
    return FanPlan(config.fan, config.size_px, config.pixels)


class Landmarks(Objective):
    """Loss of the heatmaps of all stacks against the known points."""

    def __init__(self, fan: Fan, plan: FanPlan) -> None:
        super().__init__({"fan": fan})
        self.plan = plan

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        assert batch.landmarks is not None
        heatmaps = [maps.float() for maps in see(cast(Fan, self.members["fan"]), batch.face, self.plan).heatmaps]
        return {"fan/heatmaps": heatmap_loss(heatmaps, batch.landmarks, self.plan.size_px)}


def see(fan: Fan, face: Tensor, plan: FanPlan) -> FanOutput:
    """A FAN's output for uint8 [N, H, W, 3] faces."""
    output: FanOutput = fan(Pixels(plan.pixels)(Planes()(face)))
    return output


@torch.no_grad()
def mean_error(fan: Fan, data: FaceData, rows: np.ndarray, plan: FanPlan, device: torch.device) -> float:
    """Mean distance of visible points from the ground truth, relative to the distance between the outer eye corners."""
    fan.eval()
    errors = []
    for batch in plain_batches(data, rows, BatchOptions(size_px=plan.size_px, batch=64, landmarks=True)):
        truth = batch.to(device).landmarks
        assert truth is not None
        points = points_of(see(fan, batch.face.to(device), plan).heatmaps[-1].float(), plan.size_px)
        unit = (truth[:, _RIGHT_EYE] - truth[:, _LEFT_EYE]).norm(dim=-1)
        errors.append(((points - truth).norm(dim=-1) / unit[:, None]).flatten().cpu())
    every = torch.cat(errors)
    known = every[torch.isfinite(every)]
    return float(known.mean()) if len(known) else float("inf")


def run_landmarks(recipe: Recipe, world: World, *, resume: bool = False) -> dict[str, Any]:
    """Train a FAN; write ``fan.pth`` (a plain state dict with the public weights' names) and ``metrics.json``.

    Returns:
        The content of metrics.json; empty in processes other than the first.

    Raises:
        InputError: data without landmarks, or sizes that do not fit together.
    """
    plan = fan_plan(recipe.models[0], recipe.config)
    with first_then_others(world):
        sources = open_sources(recipe)
    data, split = sources.data, sources.split
    if data.landmarks is None:
        raise InputError("training data", got="crops without landmarks", expected="68 points, as `edgeau synth` writes")
    fan = Fan(plan.config).to(world.device)

    def score(member: nn.Module) -> float:
        return -mean_error(cast(Fan, member), data, sources.val_rows, plan, world.device)

    def keep(_name: str, member: nn.Module, _step: int) -> None:
        write_tensors(recipe.out / "fan.pth", {name: value.cpu() for name, value in member.state_dict().items()})

    options = batch_options(recipe, world, size_px=plan.size_px, landmarks=True)
    objective = Landmarks(fan, plan)
    results = train_members(recipe, world, sources, objective, options, score=score, keep=keep, resume=resume)
    if not world.first:
        return {}
    fan.load_state_dict(torch.load(recipe.out / "fan.pth", weights_only=True))
    errors = {
        part: mean_error(fan, data, data.rows_of(names), plan, world.device) if names else None
        for part, names in (("val", split.val), ("test", split.test))
    }
    results |= {
        "parameters": sum(p.numel() for p in fan.parameters()),
        "fan": asdict(plan.config),
        "size_px": plan.size_px,
        "pixels": plan.pixels,
        "mean_error_eye_distances": errors,
        "provenance": provenance(data, split, recipe.seed, plain_recipe(recipe), started_by(recipe.out)),
    }
    write_json(recipe.out / "metrics.json", results)
    return results


def weights_file(path: str) -> Path:
    """The weights in a run's folder, or the file itself."""
    file = Path(path)
    return file / "fan.pth" if file.is_dir() else file

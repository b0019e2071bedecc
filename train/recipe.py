"""Everything that determines a training run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec

from .augment import AugmentOptions
from .batches import default_workers
from .data import Split
from .losses import LossOptions
from .models import input_px
from .trainer import TrainOptions


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a run.

    Attributes:
        models: names of presets or families; more than one are trained together on the same batches.
        config: configuration values that override the presets'.
        data: specifications of crop sets, or one of faces to render while training (see train/faces/stream.py).
        val_data: crop sets whose subjects are all for validation; needed with rendered faces.
        out: the run's folder.
        aus: AUs to learn; empty means all that the data labels.
        batch: samples per batch, over all processes.
        epochs: overrides ``train.steps`` unless None.
        val, test: shares of the subjects to hold out.
        held_out: names of the test subjects, instead of the share ``test``.
        split: another run's split to follow, such as the teacher's; subjects it does not name are trained on.
        neutral_unknown: probability that the face replaces its neutral in training.
        one_batch: train on the first batch alone, see BatchOptions.
        init: checkpoint or package with the initial weights, see open_init.
        start_share: share of the initial weights in the result, see blend.
        fan, fan_pooling: weights of a FAN for models built on one, and its pooling (``max``, ``avg``, or None for
            that of public weights with as many stacks).
        shared_subjects: allow data sets with the same people (see open_data).
        flip: report metrics that are averaged over each face and its mirror image (see flip_averaged).
    """

    models: tuple[str, ...]
    data: tuple[str, ...]
    out: Path
    val_data: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    aus: tuple[str, ...] = ()
    batch: int = 64
    epochs: float | None = None
    val: float = 0.1
    test: float = 0.1
    held_out: tuple[str, ...] = ()
    split: Split | None = None
    neutral_unknown: float = 0.25
    init: str | None = None
    start_share: float = 0.0
    fan: str | None = None
    fan_pooling: str | None = None
    shared_subjects: bool = False
    flip: bool = False
    seed: int = 0
    one_batch: bool = False
    workers: int = field(default_factory=default_workers)
    train: TrainOptions = field(default_factory=TrainOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    augment: AugmentOptions | None = field(default_factory=AugmentOptions)

    def __post_init__(self) -> None:
        if self.batch < 1 or self.workers < 1 or (self.epochs is not None and self.epochs <= 0):
            got = f"batch {self.batch}, workers {self.workers}, epochs {self.epochs}"
            raise InputError("training options", got=got, expected="1 or more of each")
        shares = (self.val, self.test, self.neutral_unknown, self.start_share)
        if min(shares) < 0 or max(shares) > 1:
            got = "val {}, test {}, neutral-unknown {}, start-share {}".format(*shares)
            raise InputError("training options", got=got, expected="shares from 0 to 1")
        if self.start_share and self.init is None:
            raise InputError("--start-share", got="no initial weights", expected="--init with it")


def crop_of(recipe: Recipe) -> CropSpec:
    """How pictures of a data set are cropped for a recipe: as large as its largest model needs.

    Models that take less than the default size share its crops, which are made once.
    """
    plain = CropSpec()
    return replace(plain, size_px=max(plain.size_px, *(input_px(name, recipe.config) for name in recipe.models)))


def plain_recipe(recipe: Recipe) -> dict[str, Any]:
    """Plain JSON values of a recipe, for provenance."""
    values: dict[str, Any] = json.loads(json.dumps({**asdict(recipe), "out": str(recipe.out)}))
    return values

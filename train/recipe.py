"""A training run, from options to checkpoints and held-out metrics: the work of `edgeau train` and `edgeau distill`."""

from __future__ import annotations

import copy
import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgeau.runtime.action_units import EXPRESSIONS, UNION
from edgeau.runtime.crop_set import codes_intensity, presence_of
from edgeau.runtime.errors import EdgeauWarning, InputError
from edgeau.runtime.files import write_json
from edgeau.runtime.manifest import CropSpec
from edgeau.train.faces.stream import StreamOptions, is_stream, parse_stream
from edgeau.train.models.fan import Fan, FanConfig, fan_pixels, load_fan_weights
from edgeau.train.models.fan_trans import FanTrans

from .augment import AugmentOptions
from .batches import Batches, BatchOptions, default_workers
from .checkpoint import load_checkpoint, model_from_checkpoint
from .data import FaceData, Split, open_data, split_subjects
from .evaluate import evaluate, flip_averaged, mean_f1, model_predictor, predict_rows
from .extra import Extra, MixedBatches, OpenExtra
from .log import RunLog
from .losses import AuLoss, LossOptions, frequencies
from .models import PRESETS, AuModel, build_model, input_px, resolve_model
from .objectives import Objective, Supervised
from .parallel import World, first_then_others
from .provenance import provenance
from .rendered import RenderedBatches, stream_intensity
from .run_files import RunFiles, read_state, started_by, write_state
from .thresholds import DEFAULT, RULE, choose_thresholds
from .trainer import Trainer, TrainOptions
from .unfold import open_init


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


# Builds the objective from the models and the AU loss; distillation has its own objectives.
MakeObjective = Callable[[Mapping[str, AuModel], AuLoss], Objective]


def run_recipe(
    recipe: Recipe,
    world: World,
    make_objective: MakeObjective = Supervised,
    *,
    resume: bool = False,
    notes: Mapping[str, Any] | None = None,
    open_extra: OpenExtra | None = None,
) -> dict[str, Any]:
    """Train; write ``best.pt`` (one per member), ``last.pt``, ``metrics.json`` and TensorBoard logs to the folder.

    Args:
        recipe: the models, the data and the options.
        world: this process (see World).
        make_objective: builds the objective from the models and the AU loss.
        resume: continue from ``last.pt``.
        notes: further entries for the checkpoints' provenance.
        open_extra: opens samples without AU labels that each batch has beside the labelled ones.

    Returns:
        The content of metrics.json; empty in processes other than the first.

    Raises:
        InputError: data, names or sizes that do not fit together, or nothing to resume from.
        KeyboardInterrupt: interrupted; ``last.pt`` holds the state.
    """
    with first_then_others(world):
        sources = open_sources(recipe)
    data, split = sources.data, sources.split
    _require_new_people(recipe, split)
    models = make_models(recipe, data)
    start = {name: copy.deepcopy(model.state_dict()) for name, model in models.items()} if recipe.start_share else {}
    _require_intensities(models, sources)
    if world.first:
        _warn_of_small_crops(models, data)
    extra = None if open_extra is None else open_extra(_extra_crop(models, data), data.aus)
    frequency = frequencies(sources.intensity(), recipe.loss.present_from)
    objective = make_objective(models, AuLoss(frequency, _loss_options(recipe.loss, models))).to(world.device)
    options = batch_options(
        recipe, world,
        size_px=max(model.config.size_px for model in models.values()),
        takes_neutral=any(model.takes_neutral for model in models.values()),
    )  # fmt: skip
    source = provenance(data, split, recipe.seed, plain_recipe(recipe), started_by(recipe.out)) | dict(notes or {})
    files = RunFiles(recipe.out, models, data.crop, source)

    def score(member: nn.Module) -> float:
        judged = objective.judged(member)
        score = mean_f1(judged, data, sources.val_rows, world.device, recipe.loss.present_from)
        if extra is None or extra.val is None:
            return score
        return (score + mean_f1(judged, extra.val, extra.val.rows_of(extra.val.subjects), world.device)) / 2

    results = train_members(
        recipe, world, sources, objective, options, score=score, keep=files.keep, resume=resume, extra=extra
    )
    if not world.first:
        return {}
    for name, weights in start.items():
        files.blend(name, weights, recipe.start_share)
    results["flip_averaged"] = recipe.flip
    results["members"] = {name: _examine(files, name, data, split, world.device, recipe) for name in models}
    write_json(recipe.out / "metrics.json", results)
    return results


@dataclass(frozen=True)
class Sources:
    """A recipe's data, and the split of its subjects.

    Attributes:
        data: crop sets; with a stream, only those for validation.
        split: of the subjects in ``data``.
        stream: faces to render while training, in place of ``split.train``.
    """

    data: FaceData
    split: Split
    stream: StreamOptions | None = None

    @property
    def rows(self) -> np.ndarray:
        """Samples to train on."""
        return self.data.rows_of(self.split.train)

    @property
    def val_rows(self) -> np.ndarray:
        """Samples that decide which weights are best."""
        return self.data.rows_of(self.split.val)

    def intensity(self) -> np.ndarray:
        """Labels of the training data, for base rates: float32 [N, A]."""
        return self.data.intensity[self.rows] if self.stream is None else stream_intensity(self.stream, self.data.aus)

    def batches(self, options: BatchOptions, seed: int) -> Batches | RenderedBatches:
        """Training batches."""
        if self.stream is None:
            return Batches(self.data, self.rows, options, seed)
        return RenderedBatches(self.stream, self.data.aus, options, seed)


def crop_of(recipe: Recipe) -> CropSpec:
    """How pictures of a data set are cropped for a recipe: as large as its largest model needs.

    Models that take less than the default size share its crops, which are made once.
    """
    plain = CropSpec()
    return replace(plain, size_px=max(plain.size_px, *(input_px(name, recipe.config) for name in recipe.models)))


def open_sources(recipe: Recipe) -> Sources:
    """Open a recipe's data and seed torch: the first step of every run. Raises InputError for an empty split."""
    torch.manual_seed(recipe.seed)
    if any(is_stream(spec) for spec in recipe.data):
        return _open_stream(recipe)
    crop = crop_of(recipe)
    data = open_data(
        [*recipe.data, *recipe.val_data], recipe.aus or None, seed=recipe.seed, crop=crop,
        shared_subjects=recipe.shared_subjects,
    )  # fmt: skip
    if not recipe.val_data:
        return Sources(data, split_of(recipe, data))
    val = open_data(recipe.val_data, recipe.aus or None, seed=recipe.seed, crop=crop).subjects
    rest = split_subjects([name for name in data.subjects if name not in val], 0.0, recipe.test, recipe.seed)
    return Sources(data, replace(rest, val=val))


def _open_stream(recipe: Recipe) -> Sources:
    spec = recipe.data[0]
    if len(recipe.data) > 1:
        raise InputError("--data", got=", ".join(recipe.data), expected=f"{spec} alone")
    if not recipe.val_data:
        raise InputError(f"--data {spec}", got="no --val-data", expected="a crop set to choose weights by",
                         hint="write one: edgeau synth --out val --seed 1000 --subjects 40 --frames 20")  # fmt: skip
    stream = parse_stream(spec, recipe.seed)
    data = open_data(recipe.val_data, recipe.aus or UNION, seed=recipe.seed, crop=crop_of(recipe))
    if data.crop.template != CropSpec().template:
        raise InputError("--val-data", got="crops made by another rule", expected="the rule of rendered faces")
    return Sources(replace(data, origins=(spec, *data.origins)), Split((), data.subjects, ()), stream)


def train_members(
    recipe: Recipe, world: World, sources: Sources, objective: Objective, options: BatchOptions, *,
    score: Callable[[nn.Module], float], keep: Callable[[str, nn.Module, int], None], resume: bool,
    extra: Extra | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train an objective into the recipe's folder: connects batches, log, state and Trainer.

    Args:
        score: scores a member's averaged weights on the validation samples; not called if there are none.
        keep: see Trainer.
        extra: samples without AU labels beside the labelled ones.

    Returns:
        Figures of the run for metrics.json.
    """
    batches = _batches(sources, options, recipe.seed, extra, world)
    train = _with_epochs(recipe, recipe.epochs, batches) if recipe.epochs else recipe.train
    with RunLog(recipe.out, train.steps, resume=resume, enabled=world.first) as log:
        trainer = Trainer(
            objective, batches, train, world, score=score if len(sources.val_rows) else None, keep=keep,
            save=lambda state: write_state(recipe.out, state), log=log,
        )  # fmt: skip
        if resume:
            trainer.load(read_state(recipe.out))
        began = time.monotonic()
        trainer.fit()
    return {
        "steps": trainer.progress.step,
        "train_s": round(time.monotonic() - began, 1),
        "train_samples": len(sources.rows) if sources.stream is None else trainer.progress.step * recipe.batch,
        "data_ms": data_cost(trainer, batches),
    }


def make_models(recipe: Recipe, data: FaceData) -> dict[str, AuModel]:
    """The models of a recipe by name; repeated names are numbered.

    Raises:
        InputError: an unknown model, or a configuration value that a model does not have.
    """
    labelled = tuple(EXPRESSIONS) if (data.expression >= 0).any() else ()
    fan = None if recipe.fan is None else load_fan_weights(recipe.fan, recipe.fan_pooling)
    models: dict[str, AuModel] = {}
    for number, preset in enumerate(recipe.models):
        values = {"aus": data.aus, **recipe.config}
        if fan is not None:
            values = {"pixels": fan_pixels(str(recipe.fan)), **fan_sizes(fan.config, preset), **values}
        family, config = resolve_model(preset, values)
        if labelled and family in ("sma-net", "eau") and "expressions" not in recipe.config:
            family, config = resolve_model(preset, {**values, "expressions": labelled})
        before = recipe.models[:number].count(preset)
        name = f"{preset}-{before + 1}" if before else preset
        models[name] = build_model(family, config)
    if recipe.init is not None:
        for model in models.values():
            _initialise(model, recipe.init, whole=recipe.start_share > 0)
    if fan is not None:
        _give_fan(models, fan)
    return models


def _require_new_people(recipe: Recipe, split: Split) -> None:
    """Refuse initial weights that were trained on people of the test: the test would measure memory."""
    if recipe.init is None:
        return
    used = open_init(recipe.init).provenance.get("subjects") or {}
    seen = sorted({*used.get("train", ()), *used.get("val", ())} & set(split.test))
    if seen:
        others = f" and {len(seen) - 1} others" if len(seen) > 1 else ""
        raise InputError(
            f"--init {recipe.init}", got=f"weights trained on {seen[0]}{others}, whom this run holds out",
            expected="weights that have not seen them", hint="take the same --seed or --fold, or --test 0",
        )  # fmt: skip


def _warn_of_small_crops(models: Mapping[str, AuModel], data: FaceData) -> None:
    needed = max(model.config.size_px for model in models.values())
    stored = min(shard.pixels.shape[1] for shard in data.shards)
    if stored < needed:
        hint = f"prepare them again with --size {needed}"
        text = f"crops of {stored} px are enlarged to the model's {needed}, and look blurred to it: {hint}"
        warnings.warn(text, EdgeauWarning, stacklevel=3)


def _require_intensities(models: Mapping[str, AuModel], sources: Sources) -> None:
    """Refuse to learn intensities from labels of presence, for which a fixed intensity is stored."""
    if any(model.intensity is not None for model in models.values()) and not codes_intensity(sources.intensity()):
        origins = ", ".join(sources.data.origins)
        raise InputError(
            f"--intensity with {origins}", got="labels of presence only", expected="intensities from 0 to 5"
        )


def fan_sizes(config: FanConfig, preset: str) -> dict[str, Any]:
    """The configuration of a model that is built on a FAN with these weights; empty for other models."""
    if PRESETS.get(preset, (preset,))[0] != FanTrans.family:
        return {}
    sizes = {"fan_stacks": config.stacks, "fan_width": config.width, "fan_depth": config.depth}
    return {**sizes, "fan_pooling": config.pooling}


def batch_options(
    recipe: Recipe, world: World, *, size_px: int, takes_neutral: bool = False, landmarks: bool = False
) -> BatchOptions:
    """A recipe's batch options. Raises InputError if the batch can't be divided evenly among the processes."""
    return BatchOptions(
        size_px=size_px,
        batch=_divided(recipe.batch, world),
        takes_neutral=takes_neutral,
        landmarks=landmarks,
        neutral_unknown=recipe.neutral_unknown,
        augment=recipe.augment,
        workers=recipe.workers,
        ahead=recipe.workers + 2,
        one_batch=recipe.one_batch,
        rank=world.rank,
        world=world.size,
        pin=world.device.type == "cuda",
    )


def _batches(
    sources: Sources, options: BatchOptions, seed: int, extra: Extra | None, world: World
) -> Batches | RenderedBatches | MixedBatches:
    labelled = sources.batches(options, seed)
    if extra is None:
        return labelled
    beside = replace(options, batch=_divided(extra.batch, world))
    return MixedBatches(labelled, Batches(extra.data, extra.rows, beside, seed + 1))


def _divided(batch: int, world: World) -> int:
    if batch % world.size:
        raise InputError("batch", got=str(batch), expected=f"a multiple of the {world.size} processes")
    return batch


def _extra_crop(models: Mapping[str, AuModel], data: FaceData) -> CropSpec:
    """The crop rule of samples beside the data: the data's, at the size of the largest model."""
    return replace(data.crop, size_px=max(model.config.size_px for model in models.values()))


def data_cost(trainer: Trainer, batches: Batches | RenderedBatches | MixedBatches) -> dict[str, float]:
    """Milliseconds per step spent on data: CPU time of the worker threads, and time that training waited."""
    count = max(1, batches.made)
    return {"cpu": round(batches.spent_s / count * 1e3, 2), "waited": round(trainer.waited_s / count * 1e3, 2)}


def _loss_options(options: LossOptions, models: Mapping[str, AuModel]) -> LossOptions:
    if options.class_weights != "auto":
        return options
    return replace(options, class_weights="smooth" if {m.family for m in models.values()} == {"eau"} else "frequency")


def split_of(recipe: Recipe, data: FaceData) -> Split:
    """Subjects to train on and to hold out. Raises InputError if no training subject is left."""
    if recipe.split is not None and {*recipe.split.val, *recipe.split.test} & set(data.subjects):
        return _narrowed(recipe.split, data.subjects)
    if not recipe.held_out:
        return split_subjects(data.subjects, recipe.val, recipe.test, recipe.seed)
    unknown = sorted(set(recipe.held_out) - set(data.subjects))
    present = tuple(s for s in recipe.held_out if s in data.subjects)
    if not present:
        raise InputError("held-out subjects", got=", ".join(unknown), expected="subjects of the data")
    rest = split_subjects([s for s in data.subjects if s not in present], recipe.val, 0.0, recipe.seed)
    return Split(rest.train, rest.val, present)


def _narrowed(split: Split, subjects: Sequence[str]) -> Split:
    val, test = (tuple(s for s in subjects if s in part) for part in (split.val, split.test))
    train = tuple(s for s in subjects if s not in val and s not in test)
    if not train:
        raise InputError("subjects", got="only those that the teacher's run held out", expected="others to train on")
    return Split(train, val, test)


def _with_epochs(recipe: Recipe, epochs: float, batches: Batches | RenderedBatches | MixedBatches) -> TrainOptions:
    """The trainer's options, with epochs converted to steps."""
    return replace(recipe.train, steps=max(1, round(epochs * batches.per_epoch)))


def _examine(
    files: RunFiles, name: str, data: FaceData, split: Split, device: torch.device, recipe: Recipe
) -> dict[str, Any]:
    """Metrics of a member's best weights on the held-out subjects."""
    model = model_from_checkpoint(load_checkpoint(files.path(name))).to(device)
    predictor, present_from = model_predictor(model, device), recipe.loss.present_from
    reported = flip_averaged(predictor) if recipe.flip else predictor
    metrics: dict[str, Any] = {
        "checkpoint": files.path(name).name,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    for part, subjects in (("val", split.val), ("test", split.test)):
        rows = data.rows_of(subjects)
        metrics[part] = evaluate(reported, data, rows, present_from=present_from).to_json() if len(rows) else None
    notes: dict[str, Any] = {"metrics": {"val": metrics["val"], "test": metrics["test"]}}
    if recipe.flip:
        notes["metrics"]["flip_averaged"] = True
    thresholds, rows = (DEFAULT,) * len(data.aus), data.rows_of(split.val)
    if len(rows):
        probability = predict_rows(predictor, data, rows)["au"]
        thresholds = choose_thresholds(probability, presence_of(data.intensity[rows], present_from))
        notes["thresholds"] = {"rule": RULE, "samples": len(rows)}
    files.complete(name, notes, thresholds)
    return metrics | {"thresholds": dict(zip(data.aus, thresholds, strict=True))}


def _give_fan(models: Mapping[str, AuModel], fan: Fan) -> None:
    takers = [model for model in models.values() if isinstance(model, FanTrans)]
    if not takers:
        raise InputError("--fan", got=f"models {', '.join(models)}", expected="FAN-Trans, which is built on a FAN")
    for model in takers:
        model.load_fan(fan)


def _initialise(model: AuModel, init: str, *, whole: bool) -> None:
    """Load those weights that fit; a classifier for other AUs is trained from scratch, unless all must be ``whole``."""
    start = open_init(init)
    if start.family == model.family and start.config["pixels"] != model.config.pixels:
        kind = start.config["pixels"]
        got = f"weights for pixels={kind}, a model with pixels={model.config.pixels}"
        raise InputError("--init", got=got, expected="the same", hint=f"add --config pixels={kind}")
    weights = start.state_dict
    own = model.state_dict()
    fitting = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        raise InputError(f"checkpoint {init}", got="no weights that fit", expected=f"a checkpoint of {model.family}")
    if whole and len(fitting) < len(own):
        got = f"{len(own) - len(fitting)} weights that {init} does not have"
        raise InputError("--start-share", got=got, expected="the model and the AUs of --init")
    model.load_state_dict(fitting, strict=False)


def plain_recipe(recipe: Recipe) -> dict[str, Any]:
    """Plain JSON values of a recipe, for provenance."""
    values: dict[str, Any] = json.loads(json.dumps({**asdict(recipe), "out": str(recipe.out)}))
    return values

"""A training run, from options to checkpoints and held-out metrics: the work of `edgeau train` and `edgeau distill`."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from edgeau.runtime.crop_set import codes_intensity, presence_of
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import write_json
from edgeau.runtime.manifest import CropSpec

from .batches import Batches, BatchOptions
from .checkpoint import load_checkpoint, model_from_checkpoint
from .data import FaceData, Split
from .evaluate import evaluate, flip_averaged, mean_f1, model_predictor, predict_rows
from .extra import Extra, MixedBatches, OpenExtra
from .log import RunLog
from .losses import AuLoss, LossOptions, frequencies
from .members import make_models, warn_of_small_crops
from .models import AuModel
from .objectives import Objective, Supervised
from .parallel import World, first_then_others
from .provenance import provenance
from .recipe import Recipe, plain_recipe
from .rendered import RenderedBatches
from .run_files import RunFiles, read_state, started_by, write_state
from .sources import Sources, open_sources, require_new_people
from .thresholds import DEFAULT, RULE, choose_thresholds
from .trainer import Trainer, TrainOptions

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
    require_new_people(recipe, split)
    models = make_models(recipe, data)
    start = {name: copy.deepcopy(model.state_dict()) for name, model in models.items()} if recipe.start_share else {}
    _require_intensities(models, sources)
    if world.first:
        warn_of_small_crops(models, data)
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


def _require_intensities(models: Mapping[str, AuModel], sources: Sources) -> None:
    """Refuse to learn intensities from labels of presence, for which a fixed intensity is stored."""
    if any(model.intensity is not None for model in models.values()) and not codes_intensity(sources.intensity()):
        origins = ", ".join(sources.data.origins)
        raise InputError(
            f"--intensity with {origins}", got="labels of presence only", expected="intensities from 0 to 5"
        )


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

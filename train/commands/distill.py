"""Distil a trained teacher into a student, or train peers that teach one another.

    edgeau distill --teacher runs/fan-trans/best.pt --student cednn-m --data faces --out runs/student
    edgeau distill --peers cednn-m,cednn-s --data faces --out runs/peers
    edgeau distill --teacher T --init S --prune 0.3 --data faces --out runs/smaller --lr 1e-3
    edgeau distill --teacher T --init S --qat --data faces --out runs/qat --steps 300 --lr 2e-4

A student learns from labels, from the teacher's AU probabilities and from its feature maps, and holds out the same
subjects as its teacher. Peers (any presets, repeated or not) learn from labels and from each other.

Without --student, the student is the model in --init. --prune first removes its least important channels. --qat trains
it with simulated INT8 rounding, for models that lose accuracy when quantized after training; the teacher may be the
same model in float. The result is a checkpoint like any other.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgeau.runtime import arguments
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import sha256_file
from edgeau.train.checkpoint import Checkpoint, load_checkpoint, model_from_checkpoint, save_checkpoint
from edgeau.train.data import Split
from edgeau.train.distill import PEERS, Distilled, DistillOptions, Peers
from edgeau.train.losses import AuLoss
from edgeau.train.models import AuModel
from edgeau.train.objectives import Objective
from edgeau.train.parallel import World, any_process, joined_world
from edgeau.train.prune import prune_checkpoint
from edgeau.train.qat import QatOptions, QuantizationAware
from edgeau.train.recipe import MakeObjective, Recipe, run_recipe

from .options import (
    add_recipe_arguments,
    advise_resume,
    arguments_of,
    forgotten_if_nothing_came,
    recipe_of,
    remember_arguments,
    report,
)

_WEIGHTS = ("temperature", "label_weight", "logit_weight", "feature_weight")
_QAT = QatOptions()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``edgeau distill``."""
    parser.add_argument("--teacher", metavar="CKPT", help="checkpoint of the trained teacher")
    parser.add_argument("--student", metavar="NAME", help="preset or family to train (default: what --init holds)")
    parser.add_argument("--peers", metavar="NAMES", help="two or more presets, separated by commas, without a teacher")
    for name in _WEIGHTS:
        taught, peers = getattr(DistillOptions(), name), getattr(PEERS, name)
        usual = f"default {taught} with a teacher, {peers} between peers"
        parser.add_argument(f"--{name.replace('_', '-')}", type=arguments.not_negative, help=usual)
    parser.add_argument(
        "--prune", type=arguments.probability, metavar="SHARE", help="first remove this share of --init's channels"
    )
    parser.add_argument("--qat", action="store_true", help="train --init's weights with simulated INT8 rounding")
    parser.add_argument(
        "--qat-settle", type=arguments.count, default=_QAT.settle_steps, metavar="STEPS",
        help="steps after which --qat freezes batch norm statistics (default %(default)s)",
    )  # fmt: skip
    add_recipe_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Distil and report held-out metrics."""
    args = arguments_of(args, "distill")
    weights = {name: getattr(args, name) for name in _WEIGHTS if getattr(args, name) is not None}
    options = replace(PEERS if args.peers else DistillOptions(), **weights)
    qat = QatOptions(args.qat_settle) if args.qat else None
    models = _models(args)
    recipe = recipe_of(args, models)
    notes: dict[str, Any] = {"distillation": asdict(options)}
    if qat is not None:
        notes["quantization_aware"] = asdict(qat)
    teacher = None if args.peers else load_checkpoint(args.teacher)
    if teacher is not None:
        recipe = replace(recipe, split=_split_of(teacher), aus=recipe.aus or tuple(teacher.config["aus"]))
        notes["teacher"] = {"checkpoint": args.teacher, "sha256": sha256_file(args.teacher), "family": teacher.family}
    with joined_world(args.device) as world:
        recipe = _with_student(recipe, args, world)
        if world.first:
            remember_arguments(args, "distill")
        make = _objective(teacher, options, qat, world)
        try:
            with forgotten_if_nothing_came(recipe.out):
                results = run_recipe(recipe, world, make, resume=bool(args.resume), notes=notes)
        except KeyboardInterrupt:
            if world.first:
                advise_resume(args.out, "distill")
            raise
    if world.first:
        report(results, recipe.out, as_json=args.json)
    return 0


def _models(args: argparse.Namespace) -> tuple[str, ...]:
    taught = bool(args.teacher and (args.student or args.init))
    if taught == bool(args.peers) or (args.peers and (args.teacher or args.student)):
        raise InputError(
            "options", got="both a teacher and peers, or neither",
            expected="--teacher CKPT --student NAME, or --peers NAME,NAME",
        )  # fmt: skip
    if args.peers and args.feature_weight:
        raise InputError("--feature-weight", got=f"{args.feature_weight:g} for peers", expected="a --teacher with it")
    if (args.qat or args.prune is not None) and (args.peers or not args.init):
        raise InputError("--qat or --prune", got="no trained student", expected="--teacher CKPT --init CKPT")
    if args.prune is not None and args.student:
        raise InputError("--prune", got=f"--student {args.student}", expected="--init alone, which says what is pruned")
    return tuple(args.peers.split(",")) if args.peers else (args.student or load_checkpoint(args.init).family,)


def _with_student(recipe: Recipe, args: argparse.Namespace, world: World) -> Recipe:
    """The recipe for the model in --init, pruned if asked for, unless --student names another."""
    if args.peers or args.student:
        return recipe
    start = load_checkpoint(args.init)
    if args.prune is not None:
        start = prune_checkpoint(start, args.prune)
        file = Path(args.out) / "pruned.pt"
        if world.first:
            remember_arguments(args, "distill")
            save_checkpoint(file, start)
        any_process(False, world)  # wait until the file exists
        recipe = replace(recipe, init=str(file))
    config = {name: value for name, value in start.config.items() if name != "aus"}
    return replace(recipe, config={**config, **recipe.config})


def _objective(
    teacher: Checkpoint | None, options: DistillOptions, qat: QatOptions | None, world: World
) -> MakeObjective:
    """A function that builds the objective from the models."""

    def make(models: Mapping[str, AuModel], au_loss: AuLoss) -> Objective:
        if teacher is None:
            return Peers(models, au_loss, options)
        taught_by = model_from_checkpoint(teacher)
        objective: Distilled
        if qat is None:
            objective = Distilled(models, au_loss, taught_by, options)
        else:
            objective = QuantizationAware(models, au_loss, taught_by, options, qat)
        objective.teacher.model.to(world.device)
        return objective

    return make


def _split_of(teacher: Checkpoint) -> Split | None:
    subjects = teacher.provenance.get("subjects")
    if not subjects:
        return None
    return Split(*(tuple(subjects[part]) for part in ("train", "val", "test")))

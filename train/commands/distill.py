"""Distil a trained teacher into a student, or train peers that teach one another.

    edgeau distill --teacher runs/fan-trans/best.pt --student cednn-m --data faces --out runs/student
    edgeau distill --peers cednn-m,cednn-s --data faces --out runs/peers

A student learns from labels, from the teacher's AU probabilities and from its feature maps, and holds out the same
subjects as its teacher did. Peers (any presets, the same one twice included) learn from labels and from each other.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from edgeau.runtime.errors import InputError
from edgeau.runtime.files import sha256_file
from edgeau.train.checkpoint import Checkpoint, load_checkpoint, model_from_checkpoint
from edgeau.train.data import Split
from edgeau.train.distill import Distilled, DistillOptions, Peers
from edgeau.train.losses import AuLoss
from edgeau.train.models import AuModel
from edgeau.train.objectives import Objective
from edgeau.train.parallel import World, joined_world
from edgeau.train.recipe import MakeObjective, run_recipe

from .options import add_recipe_arguments, advise_resume, arguments_of, recipe_of, remember_arguments, report

_DEFAULT = DistillOptions()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``edgeau distill``."""
    parser.add_argument("--teacher", metavar="CKPT", help="checkpoint of the trained teacher")
    parser.add_argument("--student", metavar="NAME", help="preset or family to train")
    parser.add_argument("--peers", metavar="NAMES", help="two or more presets, separated by commas, without a teacher")
    parser.add_argument("--temperature", type=float, default=_DEFAULT.temperature, help="default %(default)s")
    parser.add_argument("--label-weight", type=float, default=_DEFAULT.label_weight, help="default %(default)s")
    parser.add_argument("--logit-weight", type=float, default=_DEFAULT.logit_weight, help="default %(default)s")
    parser.add_argument("--feature-weight", type=float, default=_DEFAULT.feature_weight, help="default %(default)s")
    add_recipe_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Distil and report held-out figures."""
    args = arguments_of(args, "distill")
    options = DistillOptions(args.temperature, args.label_weight, args.logit_weight, args.feature_weight)
    models = _models(args)
    recipe = recipe_of(args, models)
    notes: dict[str, Any] = {"distillation": asdict(options)}
    teacher = None if args.peers else load_checkpoint(args.teacher)
    if teacher is not None:
        recipe = replace(recipe, split=_split_of(teacher), aus=recipe.aus or tuple(teacher.config["aus"]))
        notes["teacher"] = {"checkpoint": args.teacher, "sha256": sha256_file(args.teacher), "family": teacher.family}
    with joined_world(args.device) as world:
        if world.first:
            remember_arguments(args, "distill")
        make = _objective(teacher, options, world)
        try:
            results = run_recipe(recipe, world, make, resume=bool(args.resume), notes=notes)
        except KeyboardInterrupt:
            if world.first:
                advise_resume(args.out, "distill")
            raise
    if world.first:
        report(results, recipe.out, as_json=args.json)
    return 0


def _models(args: argparse.Namespace) -> tuple[str, ...]:
    taught = bool(args.teacher and args.student)
    if taught == bool(args.peers) or (args.peers and (args.teacher or args.student)):
        raise InputError(
            "options", got="neither or both of a teacher with its student, and peers",
            expected="--teacher CKPT --student NAME, or --peers NAME,NAME",
        )  # fmt: skip
    return tuple(args.peers.split(",")) if args.peers else (args.student,)


def _objective(teacher: Checkpoint | None, options: DistillOptions, world: World) -> MakeObjective:
    """What builds the objective once the models exist."""

    def make(models: Mapping[str, AuModel], au_loss: AuLoss) -> Objective:
        if teacher is None:
            return Peers(models, au_loss, options)
        objective = Distilled(models, au_loss, model_from_checkpoint(teacher), options)
        objective.teacher.model.to(world.device)
        return objective

    return make


def _split_of(teacher: Checkpoint) -> Split | None:
    subjects = teacher.provenance.get("subjects")
    if not subjects:
        return None
    return Split(*(tuple(subjects[part]) for part in ("train", "val", "test")))

"""Train a model on crop sets.

    edgeau synth --subjects 100 --out faces
    edgeau train --model cednn-m --data faces --out runs/cednn --steps 4000
    edgeau train --resume runs/cednn                     after Ctrl-C; ends with the same numbers
    edgeau train --model cednn-m --data disfa:/data/DISFA --fold part3 --out runs/disfa-part3
    edgeau train --model fan-trans-full --fan 2dfan2.pth --data bp4d:/data/BP4D --folds all --out runs/bp4d
    torchrun --nproc-per-node 2 -m edgeau.train.commands.train --model cednn-m --data faces --out runs/two    or --folds
    edgeau train --model fan-s --data faces --out runs/fan            first a FAN learns landmarks, then
    edgeau train --model fan-trans-s --fan runs/fan --data faces --out runs/teacher
    edgeau train --model cednn-m --init best.pt --data faces --assist photos --out runs/assisted --steps 500 --lr 5e-4

--assist takes photos with one expression each, in a folder with labels.csv (columns file and expression) or with one
folder of pictures per expression, and lets them assist the learning of AUs beside the AU labels in --data.

The run's folder gets best.pt (averaged weights, best on the validation subjects), last.pt (to resume from),
metrics.json (per-AU F1 on subjects never trained on), history.jsonl and TensorBoard logs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeau.runtime import arguments
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.terminal import note
from edgeau.train.assist import READS, Assisted, AssistOptions
from edgeau.train.extra import Extra, open_photos
from edgeau.train.landmarks import FANS, run_landmarks
from edgeau.train.losses import AuLoss
from edgeau.train.models import AuModel
from edgeau.train.models.fan import load_fan_weights
from edgeau.train.objectives import Supervised
from edgeau.train.parallel import World, joined_world
from edgeau.train.recipe import Recipe
from edgeau.train.run import run_recipe

from .options import (
    add_recipe_arguments,
    advise_resume,
    arguments_of,
    forgotten_if_nothing_came,
    recipe_of,
    remember_arguments,
    report,
)
from .protocol import add_folds_argument, require_no_other, run_protocol

_ASSIST = AssistOptions()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``edgeau train``."""
    parser.add_argument("--model", metavar="NAME", help="preset or family, such as cednn-m")
    parser.add_argument("--assist", metavar="FOLDER", help="photos with one expression each, which assist")
    parser.add_argument(
        "--assist-batch", type=arguments.positive_int, default=48, help="photos per step (default %(default)s)"
    )
    parser.add_argument(
        "--assist-weight", type=arguments.not_negative, default=_ASSIST.weight, help="default %(default)s"
    )
    parser.add_argument(
        "--assist-reads", choices=READS, default=_ASSIST.reads, help="what their head reads (default %(default)s)"
    )
    add_folds_argument(parser)
    add_recipe_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train and report held-out metrics."""
    if args.folds:
        return _run_folds(args)
    args = arguments_of(args, "train")
    for option in ("assist", "flip", "intensity"):
        if getattr(args, option) and args.model in FANS:
            raise InputError(f"--{option}", got=args.model, expected="a model of AUs, such as cednn-m")
    if not args.model:
        raise InputError("options", got="no --model", expected="a model such as cednn-m, or --resume RUN")
    recipe = recipe_of(args, (args.model,))
    _say_what_fan(recipe)
    with joined_world(args.device) as world:
        if world.first:
            remember_arguments(args, "train")
        try:
            with forgotten_if_nothing_came(recipe.out):
                if args.model in FANS:
                    results = run_landmarks(recipe, world, resume=bool(args.resume))
                elif args.assist:
                    results = _assisted(recipe, world, args)
                else:
                    results = run_recipe(recipe, world, resume=bool(args.resume))
        except KeyboardInterrupt:
            if world.first:
                advise_resume(args.out, "train")
            raise
    if world.first:
        report(results, recipe.out, as_json=args.json)
    return 0


def _say_what_fan(recipe: Recipe) -> None:
    if recipe.fan is not None:
        fan = load_fan_weights(recipe.fan, recipe.fan_pooling).config
        note(f"{recipe.fan}: a FAN of {fan.stacks} stacks, width {fan.width}, depth {fan.depth}, {fan.pooling} pooling")


def _run_folds(args: argparse.Namespace) -> int:
    require_no_other(args, "resume", "fold", "assist")
    if args.model in FANS or not args.model:
        raise InputError("--folds", got=f"--model {args.model}", expected="a model of AUs, such as cednn-m")

    def make_recipe() -> Recipe:
        recipe = recipe_of(args, (args.model,))
        _say_what_fan(recipe)
        return recipe

    def train_fold(one: Recipe, world: World, resume: bool) -> dict[str, Any]:
        return run_recipe(one, world, resume=resume)

    return run_protocol(args, make_recipe, train_fold)


def _assisted(recipe: Recipe, world: World, args: argparse.Namespace) -> dict[str, Any]:
    options = AssistOptions(args.assist_weight, args.assist_reads)
    opened: list[Extra] = []

    def open_extra(crop: CropSpec, aus: tuple[str, ...]) -> Extra:
        data, rows = open_photos(Path(args.assist), crop, aus)
        opened.append(Extra(data, rows, args.assist_batch))
        return opened[0]

    def make(models: Mapping[str, AuModel], au_loss: AuLoss) -> Supervised:
        objective = Assisted(models, au_loss, options)
        objective.fit_heads(opened[0].data, opened[0].rows)
        return objective

    notes = {"assist": {"photos": args.assist, "batch": args.assist_batch, **asdict(options)}}
    return run_recipe(recipe, world, make, resume=bool(args.resume), notes=notes, open_extra=open_extra)


if __name__ == "__main__":
    import sys

    from edgeau.runtime.cli import main

    raise SystemExit(main(["train", *sys.argv[1:]]))

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
from edgeau.runtime.terminal import emit_json, note, say
from edgeau.train.assist import READS, Assisted, AssistOptions
from edgeau.train.extra import Extra, open_photos
from edgeau.train.folds import claim_folds, plan_folds, require_folds_folder, run_folds, table_lines
from edgeau.train.landmarks import FANS, run_landmarks
from edgeau.train.losses import AuLoss
from edgeau.train.models import AuModel
from edgeau.train.models.fan import load_fan_weights
from edgeau.train.objectives import Supervised
from edgeau.train.parallel import World, first_then_others, joined_world
from edgeau.train.recipe import Recipe, run_recipe

from .options import (
    add_recipe_arguments,
    advise_resume,
    arguments_of,
    forgotten_if_nothing_came,
    recipe_of,
    remember_arguments,
    report,
)

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
    parser.add_argument(
        "--folds",
        type=folds_count,
        metavar="all|N",
        help="every part of the data set's protocol, or N parts of subjects",
    )
    add_recipe_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train and report held-out metrics."""
    if args.folds:
        return _run_folds(args)
    args = arguments_of(args, "train")
    if args.assist and args.model in FANS:
        raise InputError("--assist", got=args.model, expected="a model of AUs, such as cednn-m")
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


def folds_count(text: str) -> str:
    """``all``, or a number of folds."""
    return text if text == "all" else str(arguments.whole(2, 1000)(text))


def _run_folds(args: argparse.Namespace) -> int:
    """Train every fold of a protocol; the same command continues an interrupted one."""
    if args.resume or args.fold or args.assist or args.model in FANS or not args.model:
        expected = "--model of AUs and --data, without --resume, --fold and --assist; the same command continues"
        raise InputError("--folds", got="other options", expected=expected)
    options = {k: v for k, v in vars(args).items() if k not in ("run", "json", "workers")}
    with joined_world(args.device) as world:
        with first_then_others(world):
            recipe = recipe_of(args, (args.model,))
            if world.first:
                require_folds_folder(recipe.out, options)
                _say_what_fan(recipe)
            recipe, folds, protocol = plan_folds(args.folds, recipe)
            if world.first:
                claim_folds(recipe.out, options)

        def train(one: Recipe, resume: bool) -> dict[str, Any]:
            if world.first:
                note(f"{one.out.name}: holding out {len(one.held_out)} subjects")
            with forgotten_if_nothing_came(one.out):
                return run_recipe(one, world, resume=resume)

        summary = run_folds(recipe, folds, protocol, train, world)
    if not world.first:
        return 0
    if args.json:
        emit_json(summary)
    else:
        for line in table_lines(summary):
            say(line)
    return 0


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

"""Train a model on crop sets.

    edgeau synth --subjects 100 --out faces
    edgeau train --model cednn-m --data faces --out runs/cednn --steps 4000
    edgeau train --resume runs/cednn                     after Ctrl-C; ends with the same numbers
    edgeau train --model cednn-m --data disfa:/data/DISFA --fold part3 --out runs/disfa-part3
    torchrun --nproc-per-node 2 -m edgeau.train.commands.train --model cednn-m --data faces --out runs/two
    edgeau train --model fan-s --data faces --out runs/fan            first a FAN learns landmarks, then
    edgeau train --model fan-trans-s --fan runs/fan --data faces --out runs/teacher

The run's folder gets best.pt (averaged weights, best on the validation subjects), last.pt (to resume from),
metrics.json (per-AU F1 on subjects never trained on), history.jsonl and TensorBoard logs.
"""

from __future__ import annotations

import argparse

from edgeau.runtime.errors import InputError
from edgeau.train.landmarks import FANS, run_landmarks
from edgeau.train.parallel import joined_world
from edgeau.train.recipe import run_recipe

from .options import (
    add_recipe_arguments,
    advise_resume,
    arguments_of,
    forgotten_if_nothing_came,
    recipe_of,
    remember_arguments,
    report,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``edgeau train``."""
    parser.add_argument("--model", metavar="NAME", help="preset or family, such as cednn-m")
    add_recipe_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train and report held-out metrics."""
    args = arguments_of(args, "train")
    if not args.model:
        raise InputError("options", got="no --model", expected="a model such as cednn-m, or --resume RUN")
    recipe = recipe_of(args, (args.model,))
    with joined_world(args.device) as world:
        if world.first:
            remember_arguments(args, "train")
        try:
            with forgotten_if_nothing_came(recipe.out):
                if args.model in FANS:
                    results = run_landmarks(recipe, world, resume=bool(args.resume))
                else:
                    results = run_recipe(recipe, world, resume=bool(args.resume))
        except KeyboardInterrupt:
            if world.first:
                advise_resume(args.out, "train")
            raise
    if world.first:
        report(results, recipe.out, as_json=args.json)
    return 0


if __name__ == "__main__":
    import sys

    from edgeau.runtime.cli import main

    raise SystemExit(main(["train", *sys.argv[1:]]))

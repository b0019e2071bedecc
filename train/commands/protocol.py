"""`--folds` of `edgeau train` and `edgeau distill`: one run per part of a protocol, and the table of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from edgeau.runtime import arguments
from edgeau.runtime.errors import InputError
from edgeau.runtime.terminal import emit_json, note, say
from edgeau.train.folds import claim_folds, plan_folds, require_folds_folder, run_folds, table_lines
from edgeau.train.parallel import World, first_then_others, joined_world
from edgeau.train.recipe import Recipe

from .options import forgotten_if_nothing_came

# Trains one fold; resumes it if the last argument says so. Returns what metrics.json gets.
TrainFold = Callable[[Recipe, World, bool], dict[str, Any]]


def add_folds_argument(parser: argparse.ArgumentParser) -> None:
    """The option ``--folds``."""
    parser.add_argument(
        "--folds",
        type=folds_count,
        metavar="all|N",
        help="every part of the data set's protocol, or N parts of subjects",
    )


def folds_count(text: str) -> str:
    """``all``, or a number of folds."""
    return text if text == "all" else str(arguments.whole(2, 1000)(text))


def require_no_other(args: argparse.Namespace, *names: str) -> None:
    """Raise InputError for options that a protocol can't have, by their names in ``args``."""
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(args, name)]
    if given:
        hint = "the same command continues an interrupted protocol"
        raise InputError("--folds", got=f"{', '.join(given)} as well", expected="--folds without it", hint=hint)


def run_protocol(args: argparse.Namespace, make_recipe: Callable[[], Recipe], train_fold: TrainFold) -> int:
    """Train every fold of a protocol and print the table; the same command continues an interrupted one."""
    options = {k: v for k, v in vars(args).items() if k not in ("run", "json", "workers")}
    with joined_world(args.device) as world:
        with first_then_others(world):
            recipe = make_recipe()
            if world.first:
                require_folds_folder(recipe.out, options)
            recipe, folds, protocol = plan_folds(args.folds, recipe)
            if world.first:
                claim_folds(recipe.out, options)

        def train(one: Recipe, resume: bool) -> dict[str, Any]:
            if world.first:
                note(f"{one.out.name}: holding out {len(one.held_out)} subjects")
            with forgotten_if_nothing_came(one.out):
                return train_fold(one, world, resume)

        summary = run_folds(recipe, folds, protocol, train, world)
    if not world.first:
        return 0
    if args.json:
        emit_json(summary)
    else:
        for line in table_lines(summary):
            say(line)
    return 0

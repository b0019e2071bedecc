"""Options shared by `edgeau train` and `edgeau distill`, and how arguments become a recipe."""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeau.runtime import arguments
from edgeau.runtime.action_units import parse_aus
from edgeau.runtime.errors import InputError
from edgeau.runtime.terminal import emit_json, note, say
from edgeau.train.augment import LEVELS
from edgeau.train.batches import default_workers
from edgeau.train.data import present_from_of
from edgeau.train.evaluate import FLIP_NOTE
from edgeau.train.landmarks import weights_file
from edgeau.train.losses import CLASS_WEIGHTS, LossOptions
from edgeau.train.models.fan import POOLINGS
from edgeau.train.protocols import held_out_by
from edgeau.train.provenance import command
from edgeau.train.recipe import Recipe
from edgeau.train.run_files import OPTIONS, claim_run, discard_run, started_by, write_options
from edgeau.train.trainer import PRECISIONS, TrainOptions

_TRAIN, _LOSS = TrainOptions(), LossOptions()


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of any training run."""
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="SPEC",
        help="crop set, bp4d:ROOT, disfa:ROOT (may be repeated), or render:faces=ict+builtin to render while training",
    )
    parser.add_argument(
        "--val-data", action="append", default=[], metavar="SPEC", help="crop sets for validation only; may be repeated"
    )
    parser.add_argument("--out", metavar="RUN", help="folder of the run")
    parser.add_argument("--resume", metavar="RUN", help="continue an interrupted run with its own options")
    parser.add_argument("--aus", default="", help="AUs to learn, such as 1,2,4 or bp4d (default: all labelled ones)")
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="override a configuration value of the model",
    )
    parser.add_argument(
        "--init",
        metavar="CKPT",
        help="initial weights, or a CEDNN package or `shipped`; those that do not fit are skipped",
    )
    parser.add_argument(
        "--start-share",
        type=arguments.probability,
        default=0.0,
        metavar="SHARE",
        help="share of --init's weights in the result; 0.5 keeps most of what they knew (default 0)",
    )
    parser.add_argument("--fan", metavar="WEIGHTS", help="FAN for FAN-Trans: a run of `--model fan-s`, or a file")
    parser.add_argument(
        "--fan-pooling", choices=POOLINGS, help="default: avg for weights of 4 stacks (2DFAN4), max for 2 (ibug 2dfan2)"
    )
    parser.add_argument(
        "--shared-subjects", action="store_true", help="allow data sets with the same people: DISFA and DISFA+"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--steps", type=arguments.positive_int, default=_TRAIN.steps, help="optimiser steps (default %(default)s)"
    )
    length.add_argument("--epochs", type=arguments.positive, help="passes over the data, instead of --steps")
    parser.add_argument(
        "--batch", type=arguments.positive_int, default=64, help="samples per batch over all processes (default 64)"
    )
    parser.add_argument(
        "--lr", type=arguments.positive, default=_TRAIN.lr, help="peak learning rate (default %(default)s)"
    )
    parser.add_argument(
        "--warmup",
        type=arguments.count,
        default=_TRAIN.warmup_steps,
        help="steps to reach the peak (default %(default)s)",
    )
    parser.add_argument(
        "--weight-decay", type=arguments.not_negative, default=_TRAIN.weight_decay, help="default %(default)s"
    )
    parser.add_argument(
        "--clip", type=arguments.not_negative, default=_TRAIN.clip_norm, help="largest gradient norm, 0 for no limit"
    )
    parser.add_argument(
        "--ema", type=arguments.share_below_1, default=_TRAIN.ema_decay, help="decay of the averaged weights"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="default: mixed precision if the device is fast at it",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--seed", type=arguments.seed, default=0)
    parser.add_argument("--val", type=arguments.share_below_1, default=0.1, help="share of subjects for validation")
    parser.add_argument(
        "--test", type=arguments.share_below_1, default=0.1, help="share of subjects for the final metrics only"
    )
    parser.add_argument(
        "--fold", type=arguments.name, help="hold out a protocol's part, such as part3 with --data bp4d:ROOT"
    )
    parser.add_argument(
        "--eval-every", type=arguments.positive_int, default=_TRAIN.eval_every, help="steps (default %(default)s)"
    )
    parser.add_argument(
        "--log-every", type=arguments.positive_int, default=_TRAIN.log_every, help="steps (default %(default)s)"
    )
    parser.add_argument(
        "--patience",
        type=arguments.count,
        default=0,
        help="stop after this many validations without improvement, 0 never",
    )
    parser.add_argument(
        "--workers", type=arguments.threads, default=default_workers(), help="threads that make batches"
    )
    parser.add_argument("--augment", choices=tuple(LEVELS), default="plain", help="how strongly crops are altered")
    parser.add_argument("--one-batch", action="store_true", help="train on the first batch only, to check or to time")
    parser.add_argument(
        "--neutral-unknown", type=arguments.share, default=0.25, help="probability that the face replaces its neutral"
    )
    parser.add_argument(
        "--present-from",
        type=arguments.intensity,
        help="lowest intensity that counts as present (default: the data's)",
    )
    parser.add_argument(
        "--softness",
        type=arguments.number(0, 5),
        default=0.0,
        help="half-width in intensity of a soft target, 0 is hard",
    )
    parser.add_argument("--smoothing", type=arguments.share_below_1, default=0.0, help="label smoothing")
    parser.add_argument(
        "--pos-weight-power", type=arguments.share, default=0.0, help="0 none .. 1 balance positives fully"
    )
    parser.add_argument("--class-weights", choices=CLASS_WEIGHTS, default="auto", help="class weights of the AU loss")
    parser.add_argument(
        "--expression-weight", type=arguments.not_negative, default=_LOSS.expression_weight, help="default %(default)s"
    )
    parser.add_argument(
        "--intensity", action="store_true", help="learn intensities 0..5 too, from data that codes them"
    )
    parser.add_argument(
        "--flip", action="store_true", help="report metrics averaged over each face and its mirror image"
    )
    parser.add_argument("--json", action="store_true", help="print the metrics as JSON")


def recipe_of(args: argparse.Namespace, models: tuple[str, ...]) -> Recipe:
    """The recipe that the arguments describe. Raises InputError if --data or --out is missing."""
    if not args.data or not args.out:
        raise InputError("options", got="no --data or no --out", expected="both, or --resume RUN")
    loss = LossOptions(
        present_from=args.present_from or present_from_of((*args.data, *args.val_data)),
        softness=args.softness,
        smoothing=args.smoothing,
        class_weights=args.class_weights,
        pos_weight_power=args.pos_weight_power,
        expression_weight=args.expression_weight,
    )
    train = TrainOptions(
        steps=args.steps,
        lr=args.lr,
        warmup_steps=args.warmup,
        weight_decay=args.weight_decay,
        clip_norm=args.clip,
        ema_decay=args.ema,
        precision=args.precision,
        eval_every=args.eval_every,
        log_every=args.log_every,
        patience=args.patience,
    )
    aus = parse_aus(args.aus) if args.aus else ()
    held_out: tuple[str, ...] = ()
    if args.fold:
        protocol, held_out = held_out_by(args.fold, tuple(args.data))
        aus = aus or protocol.aus
    return Recipe(
        models=models,
        data=tuple(args.data),
        out=Path(args.out),
        val_data=tuple(args.val_data),
        config={**parse_config(args.config), **({"intensity": True} if args.intensity else {})},
        aus=aus,
        held_out=held_out,
        flip=args.flip,
        batch=args.batch,
        epochs=args.epochs,
        val=args.val,
        test=args.test,
        neutral_unknown=args.neutral_unknown,
        init=args.init,
        start_share=args.start_share,
        fan=str(weights_file(args.fan)) if args.fan else None,
        fan_pooling=args.fan_pooling,
        shared_subjects=args.shared_subjects,
        seed=args.seed,
        workers=args.workers,
        one_batch=args.one_batch,
        train=train,
        loss=loss,
        augment=LEVELS[args.augment],
    )


def parse_config(pairs: list[str]) -> dict[str, Any]:
    """Configuration values from ``NAME=VALUE``, where a value is a number, a list such as ``(24,40)``, or text."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InputError("--config", got=repr(pair), expected="NAME=VALUE, such as size_px=96")
        try:
            values[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            values[name] = text
    return values


def arguments_of(args: argparse.Namespace, verb: str) -> argparse.Namespace:
    """The arguments themselves, or with --resume those of the resumed run.

    Raises:
        InputError: no such run, or a run of another verb.
    """
    if not args.resume:
        return args
    file = Path(args.resume) / OPTIONS
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"run {args.resume}", got=f"no readable {file.name}", expected="a run's folder") from error
    if kept["verb"] != verb:
        raise InputError(
            f"run {args.resume}", got=f"one of `edgeau {kept['verb']}`", hint=f"use `edgeau {kept['verb']}`"
        )
    return argparse.Namespace(**{**vars(args), **kept["arguments"], "out": args.resume, "resume": args.resume})


def remember_arguments(args: argparse.Namespace, verb: str) -> None:
    """Write the arguments into the run's folder, for --resume.

    Raises:
        InputError: without --resume, the folder holds a run's checkpoints; or it holds unrelated files.
    """
    claim_run(Path(args.out), resume=bool(args.resume))
    plain = {k: v for k, v in vars(args).items() if k not in ("run", "resume", "json")}
    first = started_by(Path(args.out)) if args.resume else None
    write_options(Path(args.out), verb, plain, first or command())


@contextlib.contextmanager
def forgotten_if_nothing_came(out: Path) -> Iterator[None]:
    """Remove the folder of a run that failed before its first checkpoint, if nothing else is in it."""
    try:
        yield
    except BaseException:
        discard_run(out)
        raise


def report(results: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """Print held-out metrics: a table, or the content of metrics.json."""
    if as_json:
        emit_json(results)
        return
    if "mean_error_eye_distances" in results:
        error = results["mean_error_eye_distances"]
        say(f"{out / 'fan.pth'}: mean landmark error {_figure(error['test'] or error['val'])} of the eye distance")
        return
    if results["flip_averaged"]:
        say(f"metrics are {FLIP_NOTE}")
    for name, member in results["members"].items():
        test = member["test"] or member["val"]
        say(f"{name}: {member['parameters']:,} parameters, {out / member['checkpoint']}")
        if test is None:
            say("  no subjects were held out")
            continue
        which = "held-out subjects" if member["test"] else "validation subjects"
        say(f"  F1 on {test['samples']} crops of {which}: mean {_figure(test['mean_f1'])}")
        say("  " + "  ".join(f"{au} {_figure(one['f1'])}" for au, one in test["per_au"].items()))


def advise_resume(out: str, verb: str) -> None:
    """Print how to continue an interrupted run."""
    if (Path(out) / "last.pt").is_file():
        note(f"stopped; continue with: edgeau {verb} --resume {out}")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

"""Distil a trained teacher into a student, or train peers that teach one another.

    edgeau distill --teacher runs/fan-trans/best.pt --student cednn-m --data faces --out runs/student
    edgeau distill --teacher T --student cednn-m,cednn-xs --data faces --out runs/students
    edgeau distill --teacher T --init S --unlabelled my-camera.mp4 --data faces --out runs/adapted --lr 5e-4
    edgeau distill --peers cednn-m,cednn-s --data faces --out runs/peers
    edgeau distill --teacher runs/teacher --student cednn-s --data bp4d:/data/BP4D --folds all --out runs/student
    edgeau distill --teacher T --init S --prune 0.3 --data faces --out runs/smaller --lr 1e-3
    edgeau distill --teacher T --init S --qat --data faces --out runs/qat --steps 300 --lr 2e-4

A student learns from labels, from the teacher's AU probabilities and from its feature maps, and holds out the same
subjects as its teacher. With --folds, --teacher is the folder of the teacher's own --folds. Several students in one run
learn side by side and share the cost of rendering and of the teacher's answers. Peers (any presets, repeated or not)
learn from labels and from each other.

--unlabelled adapts a student to a camera, a place or people without any label: faces are found and tracked in videos
and pictures, and the teacher's answers there are learnt by their confidence, beside the labelled --data, which keep the
student good at home. Weights are chosen by the mean of F1 on labelled validation subjects and F1 against the teacher's
answers on some of the faces, which are not trained on.

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

import numpy as np

from edgeau.runtime import arguments
from edgeau.runtime.crop_set import spread
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import sha256_file
from edgeau.runtime.manifest import CropSpec
from edgeau.train.batches import BatchOptions, plain_batches
from edgeau.train.checkpoint import Checkpoint, load_checkpoint, model_from_checkpoint, save_checkpoint
from edgeau.train.data import FaceData, Split
from edgeau.train.distill import PEERS, AnswerLoss, Distilled, DistillOptions, Peers, shared_columns
from edgeau.train.evaluate import model_predictor
from edgeau.train.extra import Extra, faces_without_labels, open_unlabelled
from edgeau.train.losses import AuLoss
from edgeau.train.models import AuModel
from edgeau.train.models.intensity import LEVELS
from edgeau.train.objectives import Objective
from edgeau.train.parallel import World, any_process, joined_world
from edgeau.train.prune import prune_checkpoint
from edgeau.train.qat import QatOptions, QuantizationAware
from edgeau.train.recipe import Recipe
from edgeau.train.run import MakeObjective, run_recipe
from edgeau.train.run_files import best_member
from edgeau.train.unfold import open_init

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

_WEIGHTS = ("temperature", "label_weight", "logit_weight", "feature_weight", "mixup", "unlabelled_weight")
_ASKED = 1000  # faces without labels on which the teacher's base rates are counted and, on some, weights are chosen
_SURE = 0.8  # how sure an answer must be to count as a label in validation
_BATCH = 64
_QAT = QatOptions()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``edgeau distill``."""
    parser.add_argument("--teacher", metavar="CKPT", help="checkpoint of the trained teacher")
    parser.add_argument(
        "--student", metavar="NAMES", help="presets or families, separated by commas (default: what --init holds)"
    )
    parser.add_argument("--peers", metavar="NAMES", help="two or more presets, separated by commas, without a teacher")
    for name in _WEIGHTS:
        taught, peers = getattr(DistillOptions(), name), getattr(PEERS, name)
        usual = f"default {taught} with a teacher, {peers} between peers"
        parser.add_argument(f"--{name.replace('_', '-')}", type=arguments.not_negative, help=usual)
    parser.add_argument(
        "--unlabelled", action="append", default=[], metavar="SOURCE",
        help="video, folder of videos or pictures, or crop set without labels; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--unlabelled-batch", type=arguments.positive_int, metavar="N", help="faces of them per step (default: --batch)"
    )
    parser.add_argument(
        "--prune", type=arguments.probability, metavar="SHARE", help="first remove this share of --init's channels"
    )
    parser.add_argument("--qat", action="store_true", help="train --init's weights with simulated INT8 rounding")
    parser.add_argument(
        "--qat-settle", type=arguments.count, default=_QAT.settle_steps, metavar="STEPS",
        help="steps after which --qat freezes batch norm statistics (default %(default)s)",
    )  # fmt: skip
    add_folds_argument(parser)
    add_recipe_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Distil and report held-out metrics."""
    if args.folds:
        return _run_folds(args)
    args = arguments_of(args, "distill")
    recipe, teacher, notes = _with_teacher(args, recipe_of(args, _models(args)), args.teacher)
    with joined_world(args.device) as world:
        recipe = _with_student(recipe, args, world)
        if world.first:
            remember_arguments(args, "distill")
        try:
            with forgotten_if_nothing_came(recipe.out):
                results = _distil(args, recipe, world, teacher, notes, resume=bool(args.resume))
        except KeyboardInterrupt:
            if world.first:
                advise_resume(args.out, "distill")
            raise
    if world.first:
        report(results, recipe.out, as_json=args.json)
    return 0


def _run_folds(args: argparse.Namespace) -> int:
    """Each fold learns from the teacher of the same fold, which has not seen the people that it holds out."""
    require_no_other(args, "resume", "fold", "unlabelled", "prune", "qat")
    models = _models(args)
    if args.teacher and not Path(args.teacher).is_dir():
        expected = "the folder of a run with --folds: one teacher would have seen people that are held out"
        got = "a file" if Path(args.teacher).exists() else "no such folder"
        raise InputError(f"--folds with --teacher {args.teacher}", got=got, expected=expected)

    def train_fold(one: Recipe, world: World, resume: bool) -> dict[str, Any]:
        file = None if args.peers else str(best_member(Path(args.teacher) / one.out.name))
        one, teacher, notes = _with_teacher(args, one, file)
        return _distil(args, _with_student(one, args, world), world, teacher, notes, resume=resume)

    return run_protocol(args, lambda: recipe_of(args, models), train_fold)


def _with_teacher(
    args: argparse.Namespace, recipe: Recipe, file: str | None
) -> tuple[Recipe, Checkpoint | None, dict[str, Any]]:
    """The recipe with the teacher's AUs and split, the teacher, and notes for the checkpoints' provenance.

    Raises:
        InputError: no such checkpoint, or the teacher was trained on people that the recipe holds out.
    """
    notes: dict[str, Any] = {"distillation": asdict(_options(args))}
    if args.unlabelled:
        notes["unlabelled"] = list(args.unlabelled)
    if args.qat:
        notes["quantization_aware"] = asdict(QatOptions(args.qat_settle))
    if file is None:
        return recipe, None, notes
    teacher = load_checkpoint(file)
    split = _split_of(teacher)
    if split is not None:
        seen = sorted({*split.train, *split.val} & set(recipe.held_out))
        if seen:
            got = f"one that was trained on {seen[0]}" + (f" and {len(seen) - 1} others" if len(seen) > 1 else "")
            raise InputError(f"teacher {file}", got=got, expected="a teacher that holds out the same people")
    notes["teacher"] = {"checkpoint": file, "sha256": sha256_file(file), "family": teacher.family}
    return replace(recipe, split=split, aus=recipe.aus or tuple(teacher.config["aus"])), teacher, notes


def _options(args: argparse.Namespace) -> DistillOptions:
    weights = {name: getattr(args, name) for name in _WEIGHTS if getattr(args, name) is not None}
    return replace(PEERS if args.peers else DistillOptions(), **weights)


def _distil(
    args: argparse.Namespace, recipe: Recipe, world: World, teacher: Checkpoint | None, notes: Mapping[str, Any], *,
    resume: bool,
) -> dict[str, Any]:  # fmt: skip
    taught_by = None if teacher is None else model_from_checkpoint(teacher).to(world.device)
    unlabelled = Unlabelled(args, taught_by) if args.unlabelled and taught_by is not None else None
    make = _objective(taught_by, _options(args), QatOptions(args.qat_settle) if args.qat else None, unlabelled)
    return run_recipe(recipe, world, make, resume=resume, notes=notes, open_extra=unlabelled)


def _models(args: argparse.Namespace) -> tuple[str, ...]:
    taught = bool(args.teacher and (args.student or args.init))
    if taught == bool(args.peers) or (args.peers and (args.teacher or args.student)):
        raise InputError(
            "options", got="both a teacher and peers, or neither",
            expected="--teacher CKPT --student NAME, or --peers NAME,NAME",
        )  # fmt: skip
    if args.peers and args.feature_weight:
        raise InputError("--feature-weight", got=f"{args.feature_weight:g} for peers", expected="a --teacher with it")
    for name in ("unlabelled", "mixup", "unlabelled_weight"):
        if args.peers and getattr(args, name):
            raise InputError(f"--{name.replace('_', '-')}", got="peers", expected="a --teacher with it")
    if args.unlabelled and args.qat:
        raise InputError("--unlabelled", got="--qat as well", expected="one of them; adapt first, then train for INT8")
    if (args.qat or args.prune is not None) and (args.peers or not args.init):
        raise InputError("--qat or --prune", got="no trained student", expected="--teacher CKPT --init CKPT")
    if args.qat and args.start_share:
        raise InputError("--start-share", got="--qat as well", expected="one of them: INT8 ranges can't be averaged")
    if args.prune is not None and args.student:
        raise InputError("--prune", got=f"--student {args.student}", expected="--init alone, which says what is pruned")
    return tuple((args.peers or args.student or open_init(args.init).family).split(","))


def _with_student(recipe: Recipe, args: argparse.Namespace, world: World) -> Recipe:
    """The recipe for the model in --init, pruned if asked for, unless --student names another."""
    if args.peers or args.student:
        return recipe
    start = open_init(args.init)
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


class Unlabelled:
    """Opens the faces without labels once data and AUs are known, and asks the teacher about some of them.

    Args:
        args: of the command.
        teacher: on the training device.

    Attributes:
        frequency: share of the faces on which the teacher sees each AU that it shares with the data, float [A'].
    """

    def __init__(self, args: argparse.Namespace, teacher: AuModel) -> None:
        self.args, self.teacher = args, teacher
        self.frequency = np.zeros(0)

    def __call__(self, crop: CropSpec, aus: tuple[str, ...]) -> Extra:
        data, rows = open_unlabelled(self.args.unlabelled, crop, aus, self._activity)
        own, theirs = shared_columns(aus, self.teacher.config.aus)
        asked = rows[spread(len(rows), _ASKED)]
        answers = self._answers(data, asked)[:, theirs]
        self.frequency = np.clip(answers.mean(axis=0), 0.01, 0.99)
        held = slice(0, None, 2) if len(rows) > len(asked) else slice(0, None, 10)
        labels = np.full_like(data.intensity, np.nan)
        sure = np.where(np.abs(answers - 0.5) >= _SURE - 0.5, np.where(answers >= 0.5, LEVELS, 0.0), np.nan)
        labels[np.ix_(asked[held], own)] = sure[held]
        batch = self.args.unlabelled_batch or self.args.batch
        return Extra(data, np.setdiff1d(rows, asked[held]), batch, replace(data, intensity=labels))

    def _answers(self, data: FaceData, rows: np.ndarray) -> np.ndarray:
        """AU probabilities of these samples, float [N, A]."""
        config = self.teacher.config
        options = BatchOptions(size_px=config.size_px, batch=_BATCH, takes_neutral=self.teacher.takes_neutral)
        predictor = model_predictor(self.teacher, next(self.teacher.parameters()).device)
        return np.concatenate([predictor.outputs(batch)["au"] for batch in plain_batches(data, rows, options)])

    def _activity(self, faces: np.ndarray) -> np.ndarray:
        data, rows = faces_without_labels(faces, self.teacher.config.aus, CropSpec(faces.shape[1]), ())
        return np.asarray(self._answers(data, rows).mean(axis=1))


def _objective(
    teacher: AuModel | None, options: DistillOptions, qat: QatOptions | None, extra: Unlabelled | None
) -> MakeObjective:
    """A function that builds the objective from the models."""

    def make(models: Mapping[str, AuModel], au_loss: AuLoss) -> Objective:
        if teacher is None:
            return Peers(models, au_loss, options)
        if qat is not None:
            return QuantizationAware(models, au_loss, teacher, options, qat)
        answers = None if extra is None else AnswerLoss(extra.frequency)
        return Distilled(models, au_loss, teacher, options, answers)

    return make


def _split_of(teacher: Checkpoint) -> Split | None:
    subjects = teacher.provenance.get("subjects")
    if not subjects:
        return None
    return Split(*(tuple(subjects[part]) for part in ("train", "val", "test")))

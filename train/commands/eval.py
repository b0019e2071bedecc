"""Per-AU F1 of a checkpoint or a package on labelled crops.

    edgeau eval runs/cednn/best.pt --data faces
    edgeau eval cednn.edgeau --data disfa:/data/DISFA --variant int8-ort --json

F1 is computed at probability 0.5 with counts pooled over the set, then averaged over AUs. Subjects used for training or
validation are left out unless --subjects says otherwise.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.runtime import arguments
from edgeau.runtime.backends import BACKEND_NAMES, Backend
from edgeau.runtime.choose import choose, open_variant
from edgeau.runtime.crop_set import spread
from edgeau.runtime.errors import InputError
from edgeau.runtime.evaluate import Metrics
from edgeau.runtime.manifest import CropSpec, Manifest
from edgeau.runtime.package import Package
from edgeau.runtime.terminal import emit_json, note, say
from edgeau.train.batches import Batch
from edgeau.train.checkpoint import load_checkpoint, model_from_checkpoint
from edgeau.train.data import FaceData, open_data, present_from_of
from edgeau.train.evaluate import FLIP_NOTE, Outputs, Predictor, evaluate, flip_averaged, model_predictor
from edgeau.train.parallel import find_device
from edgeau.train.provenance import used_subjects


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``edgeau eval``."""
    parser.add_argument("model", metavar="CKPT_OR_PACKAGE", help="a checkpoint, or a package's folder")
    parser.add_argument(
        "--data", action="append", required=True, metavar="SPEC", help="labelled crops; may be repeated"
    )
    parser.add_argument("--subjects", default="heldout", help="heldout, all, or names separated by commas")
    parser.add_argument("--variant", help="variant of a package (default: the one that `edgeau run` would use)")
    parser.add_argument("--backend", choices=BACKEND_NAMES, help="backend for a package")
    parser.add_argument("--own-thresholds", action="store_true", help="use the model's thresholds instead of 0.5")
    parser.add_argument(
        "--present-from",
        type=arguments.intensity,
        help="lowest intensity that counts as present (default: the data's)",
    )
    parser.add_argument("--limit", type=arguments.positive_int, help="largest number of crops, spread evenly")
    parser.add_argument("--batch", type=arguments.positive_int, default=64, help="crops per batch (default 64)")
    parser.add_argument(
        "--flip", action="store_true", help="average over each face and its mirror image; `edgeau run` does not"
    )
    parser.add_argument("--device", default="auto", help="for checkpoints: auto, cpu or cuda")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    if (Path(args.model) / "manifest.json").is_file():
        return _evaluate_package(args)
    checkpoint = load_checkpoint(args.model)
    device = find_device(args.device)
    predictor = model_predictor(model_from_checkpoint(checkpoint).to(device), device)
    identity = {"model": args.model, "family": checkpoint.family, "device": str(device)}
    return _evaluate(args, predictor, checkpoint.crop, checkpoint.provenance, checkpoint.thresholds, identity)


def held_out_rows(data: FaceData, made: Mapping[str, Any], subjects: str) -> np.ndarray:
    """Samples to evaluate on.

    Args:
        data: everything.
        made: provenance, whose ``subjects`` tells those that training used.
        subjects: ``heldout``, ``all`` or names separated by commas.

    Raises:
        InputError: none is left, or an unknown name.
    """
    names = data.subjects
    if subjects == "heldout":
        used = used_subjects(made)
        names = tuple(s for s in data.subjects if not used(s))
    elif subjects != "all":
        names = tuple(s.strip() for s in subjects.split(","))
        unknown = sorted(set(names) - set(data.subjects))
        if unknown:
            raise InputError("--subjects", got=", ".join(unknown), expected="subjects of the data, heldout or all")
    rows = data.rows_of(names)
    if len(rows) == 0:
        raise InputError(
            "subjects to evaluate on", got="none that training did not see", expected="other people",
            hint="give other --data, or --subjects all and call it training accuracy",
        )  # fmt: skip
    return rows


def _evaluate_package(args: argparse.Namespace) -> int:
    package = Package.open(args.model)
    choice = choose(package, args.variant, args.backend)
    manifest = package.manifest
    with open_variant(package, choice) as backend:
        identity = {
            "model": args.model,
            "family": manifest.family,
            "variant": choice.variant,
            "backend": choice.backend,
        }
        predictor = _package_predictor(manifest, backend)
        return _evaluate(args, predictor, manifest.crop, manifest.provenance, manifest.thresholds, identity)


def _package_predictor(manifest: Manifest, backend: Backend) -> Predictor:
    def outputs(batch: Batch) -> Outputs:
        arrays = {"face": batch.face.numpy()}
        if batch.neutral is not None:
            arrays["neutral"] = batch.neutral.numpy()
        return backend.infer(arrays)

    return Predictor(outputs, manifest.aus, manifest.inputs[0].width, manifest.takes_neutral)


def _evaluate(
    args: argparse.Namespace,
    predictor: Predictor,
    crop: CropSpec,
    source: Mapping[str, Any],
    thresholds: tuple[float, ...],
    identity: Mapping[str, Any],
) -> int:
    data = open_data(args.data, predictor.aus, crop=crop)
    rows = held_out_rows(data, source, args.subjects)
    rows = rows[spread(len(rows), args.limit)]
    if "subjects" not in source and args.subjects == "heldout":
        note("the model does not name its training subjects; all subjects are treated as held out")
    present_from = args.present_from or present_from_of(args.data)
    if args.flip:
        predictor = flip_averaged(predictor)
    metrics = evaluate(
        predictor, data, rows, present_from=present_from, batch=args.batch,
        thresholds=thresholds if args.own_thresholds else 0.5,
    )  # fmt: skip
    held = len({int(s) for s in data.subject[rows]})
    if args.json:
        chosen = {"data": args.data, "subjects": args.subjects, "subject_count": held, "flip_averaged": args.flip,
                  "present_from": present_from}  # fmt: skip
        emit_json({**identity, **chosen, **metrics.to_json()})
    else:
        details = ", ".join(str(value) for value in list(identity.values())[1:])
        say(f"{args.model} ({details}): {held} subjects, {len(rows)} crops")
        if args.flip:
            say(FLIP_NOTE)
        _table(metrics)
    return 0


def _table(metrics: Metrics) -> None:
    width = max(6, *(len(au) + 1 for au in metrics.per_au))
    say(f"{'AU':<{width}}{'F1':>8}{'accuracy':>10}{'AUC':>8}{'present':>9}{'labelled':>10}")
    for au, one in metrics.per_au.items():
        figures = f"{_figure(one.f1):>8}{_figure(one.accuracy):>10}{_figure(one.auc):>8}"
        say(f"{au:<{width}}{figures}{one.positives:>9}{one.labelled:>10}")
    say(
        f"{'mean':<{width}}{_figure(metrics.mean_f1):>8}{_figure(metrics.mean_accuracy):>10}{_figure(metrics.mean_auc):>8}"
    )
    if metrics.without_positives:
        say(f"never present in this set, so not in the mean F1: {', '.join(metrics.without_positives)}")
    if metrics.mean_mae is not None:
        agreement = f"ICC(3,1) {_figure(metrics.mean_icc)}, PCC {_figure(metrics.mean_pcc)}"
        say(f"intensity: {agreement}, mean absolute error {_figure(metrics.mean_mae)}")
    if metrics.expression_accuracy is not None:
        say(f"expression accuracy {_figure(metrics.expression_accuracy)}")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

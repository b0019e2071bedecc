"""INT8 variants of a package: calibrate and quantize once, finish once for each target, prove each against FP32."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgeau.optimize.onnx_graph.model_file import read_model, require_float
from edgeau.optimize.predict import predict_model
from edgeau.optimize.scoring import Scorer, read_evaluation
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import PathLike
from edgeau.runtime.manifest import Manifest, Variant
from edgeau.runtime.package import Package
from edgeau.runtime.parity import cosine, measure_parity

from .budget import Restored, restore_accuracy
from .calibration import graph_inputs, read_calibration, some
from .flavours import TARGETS, Target, finish_for, layers_in_float, predict_finished
from .nncf_quantize import nncf_version, prepared, quantize_model

__all__ = ["QuantizeOptions", "quantize_package"]

Progress = Callable[[str], None]
# Crops that show which values half precision can't hold.
RANGE_CROPS = 32


@dataclass(frozen=True)
class QuantizeOptions:
    """How to quantize.

    Attributes:
        targets: names of TARGETS; one variant is made for each.
        samples: how many crops to calibrate on.
        seed: of every random choice.
        max_drop: how much mean F1 may fall (or, without labels, which share of AU decisions may flip) before layers go
            back to float; None leaves every layer quantized.
        eval_samples: how many evaluation crops to use; None for all.
    """

    targets: tuple[str, ...] = ("onnxruntime", "openvino", "tensorrt", "tensorrt-fp16")
    samples: int = 300
    seed: int = 0
    max_drop: float | None = None
    eval_samples: int | None = None


@dataclass(frozen=True)
class Made:
    """One variant that was made: its description, its model, and what the accuracy budget did, if there was one."""

    variant: Variant
    model: onnx.ModelProto
    restored: Restored | None


@dataclass(frozen=True)
class _Job:
    """What every target's variant is made from and judged by; ``samples`` are some of the calibration crops."""

    manifest: Manifest
    source: Variant
    model: onnx.ModelProto
    quantized: onnx.ModelProto
    scorer: Scorer
    data: str
    calibration: dict[str, Any]
    samples: list[dict[str, np.ndarray]]


def quantize_package(
    path: PathLike,
    calibration: str,
    options: QuantizeOptions = QuantizeOptions(),
    *,
    evaluation: str | None = None,
    out: PathLike | None = None,
    progress: Progress = lambda _: None,
) -> tuple[Package, list[Made]]:
    """Add INT8 variants to a package, each as soon as it is made, replacing older ones of the same names.

    Args:
        path: the package, which must have an FP32 variant.
        calibration: data specification, as ``--calib`` takes it.
        options: targets, number of samples, seed, accuracy budget.
        evaluation: data on which the budget is kept and parity measured; without it, parity is on the calibration data.
        out: write to this package instead and leave ``path`` as it is.
        progress: called with a line for each step.

    Returns:
        The package as it now is, and what was made.

    Raises:
        InputError: data, model, options or folder can't be used; nothing has been written then.
    """
    package = Package.open(path)
    targets = _wanted_targets(options, evaluation)
    if out is None:
        require_writable(package.path)
    else:
        Package.check_output(out, package.path)
    source = float_variant(package.manifest)
    model = read_model(package.file(source))
    require_float(model, f"{package.path.name}: {source.file}")
    crops, notes = read_calibration(calibration, package.manifest, samples=options.samples, seed=options.seed)
    test, test_name = crops, calibration
    if evaluation is not None:
        test_name = evaluation
        test = read_evaluation(evaluation, package.manifest, samples=options.eval_samples, seed=options.seed)
    progress(f"calibrating on {len(crops)} crops from {calibration}")
    samples = graph_inputs(crops, package.manifest)
    quantized = quantize_model(model, samples, seed=options.seed)
    scorer = Scorer.of(test, package.manifest, predict_model(model, "onnxruntime", test, package.manifest))
    job = _Job(
        package.manifest, source, prepared(model), quantized, scorer, test_name, notes, some(samples, RANGE_CROPS)
    )
    made: list[Made] = []
    for target in targets:
        progress(f"finishing for {target.name}")
        made.append(_make(job, target, options.max_drop, progress))
        if out is None:
            # At once: this one is kept where the next takes longer than there is time for.
            package = store(package, made[-1].variant, made[-1].model)
    return (package if out is None else _write(package, made, out)), made


def float_variant(manifest: Manifest) -> Variant:
    """The FP32 variant from which others are made. Raises InputError where the package has none."""
    for variant in manifest.variants:
        if variant.precision == "fp32" and variant.file.endswith(".onnx"):
            return variant
    names = ", ".join(v.name for v in manifest.variants) or "none"
    raise InputError(f"package {manifest.name}", got=f"variants {names}", expected="an fp32 ONNX to start from")


def require_writable(folder: Path) -> None:
    """Raise InputError where nothing can be written into a package's folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"package {folder} can't be written to", got=error.strerror, hint="give -o OUT_PACKAGE for a copy"
        ) from error


def store(package: Package, variant: Variant, model: onnx.ModelProto) -> Package:
    """Write a variant into a package in place."""
    return package.add_variant(variant, lambda file: onnx.save(model, str(file)))


def _wanted_targets(options: QuantizeOptions, evaluation: str | None) -> list[Target]:
    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown or not options.targets:
        raise InputError("--targets", got=", ".join(unknown) or "none", expected=f"some of {', '.join(TARGETS)}")
    if options.max_drop is not None and not 0 <= options.max_drop < 1:
        raise InputError("--max-drop", got=str(options.max_drop), expected="a number such as 0.005, in [0, 1)")
    if options.max_drop is not None and evaluation is None:
        raise InputError("--max-drop needs data to judge on", hint="give --eval DATA")
    return [TARGETS[name] for name in dict.fromkeys(options.targets)]


def _make(job: _Job, target: Target, max_drop: float | None, progress: Progress) -> Made:
    """Finish for one target, keep the budget if there is one, and compare with FP32."""
    restored = None
    if max_drop is not None:
        restored = restore_accuracy(
            job.model, job.quantized, target, job.scorer, job.manifest, max_drop, progress, job.samples
        )
    finished = restored.finished if restored is not None else finish_for(job.quantized, target, job.samples)
    outputs = predict_finished(finished, job.scorer.crops, job.manifest)
    accuracy = job.scorer.score(outputs)
    notes: dict[str, Any] = {
        "target": target.name,
        "calibration": job.calibration,
        "nncf": nncf_version(),
        "passes": list(finished.passes),
        "left_by_passes": list(finished.left),
        "float_layers": layers_in_float(finished.model),
        "parity_measured_on": target.judged_on,
        "cosine": cosine(job.scorer.reference, outputs),
        "accuracy": {"metric": accuracy.metric, "value": accuracy.value},
    }
    if restored is not None:
        notes["budget"] = restored.to_json()
    samples, seed = job.calibration["samples"], job.calibration["seed"]
    variant = Variant(
        name=target.variant,
        file=f"{target.variant}.onnx",
        sha256="",
        size_bytes=0,
        precision="int8",
        backends=(target.backend,),
        made_by=f"edgeau quantize --targets {target.name} --samples {samples} --seed {seed}",
        made_from=job.source.name,
        parity=measure_parity(job.scorer.reference, outputs, job.manifest.thresholds, job.data, job.source.name),
        notes=notes,
    )
    return Made(variant, finished.model, restored)


def _write(package: Package, made: list[Made], out: PathLike) -> Package:
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        copy = package.copy_to(Path(folder) / package.path.name)
        for item in made:
            copy = store(copy, item.variant, item.model)
        Package.check_output(out, package.path)
        return copy.copy_to(out)

"""INT8 variants of a package: calibrate and quantize once, finish once per flavour, compare each with FP32."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgeau.optimize.predict import predict_model
from edgeau.optimize.samples import RANGE_CROPS, graph_inputs, some
from edgeau.optimize.scoring import Scorer, read_evaluation
from edgeau.optimize.variants import read_float_variant, require_writable, store
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import PathLike
from edgeau.runtime.manifest import Manifest, Variant
from edgeau.runtime.package import Package
from edgeau.runtime.parity import cosine, measure_parity
from edgeau.runtime.report import Report, silent

from .budget import Restored, restore_accuracy
from .calibration import read_calibration
from .flavours import FLAVOURS, Finished, Flavour, finish_for, layers_in_float, predict_finished
from .nncf_quantize import nncf_version, prepared, quantize_model

__all__ = ["QuantizeOptions", "quantize_package"]


@dataclass(frozen=True)
class QuantizeOptions:
    """How to quantize.

    Attributes:
        flavours: names of FLAVOURS; one variant is made for each.
        samples: number of crops to calibrate on.
        seed: of all random choices.
        max_drop: how much mean F1 may fall (without labels: the share of AU decisions that may flip) before layers go
            back to float; None leaves every layer quantized.
        eval_samples: number of evaluation crops; None for all.
    """

    flavours: tuple[str, ...] = ("onnxruntime", "openvino", "tensorrt", "tensorrt-fp16")
    samples: int = 300
    seed: int = 0
    max_drop: float | None = None
    eval_samples: int | None = None


@dataclass(frozen=True)
class QuantizedVariant:
    """One INT8 variant: its description, its model, and what the accuracy budget did, if there is one."""

    variant: Variant
    model: onnx.ModelProto
    restored: Restored | None


@dataclass(frozen=True)
class _Job:
    """What all variants are made from and evaluated with.

    Attributes:
        manifest: of the package.
        source: the FP32 variant, ``model`` its model.
        quantized: the model quantized by NNCF, not finished.
        scorer: scores outputs on ``data``.
        calibration: notes about the calibration data.
        samples: some of the calibration crops, as inputs of the graph.
    """

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
    progress: Report = silent,
) -> tuple[Package, list[QuantizedVariant]]:
    """Add INT8 variants to a package, each as soon as it is made; existing ones of the same names are replaced.

    Args:
        path: the package, which must have an FP32 variant.
        calibration: data specification, as ``--calib`` takes it.
        options: flavours, number of samples, seed, accuracy budget.
        evaluation: data for the accuracy budget and parity; without it, parity is measured on the calibration data.
        out: write to this package instead and leave ``path`` as it is.
        progress: called with a line for each step.

    Returns:
        The package with the new variants, and these.

    Raises:
        InputError: data, model, options or folder can't be used; nothing has been written then.
    """
    package = Package.open(path)
    flavours = _chosen_flavours(options, evaluation)
    if out is None:
        require_writable(package.path)
    else:
        Package.check_output(out, package.path)
    job = _prepare(package, calibration, evaluation, options, progress)
    variants: list[QuantizedVariant] = []
    for flavour in flavours:
        progress(f"finishing for {flavour.name}")
        variants.append(_quantize_for(flavour, job, options.max_drop, progress))
        if out is None:
            # At once, so that it is kept if there is no time left for the next.
            package = store(package, variants[-1].variant, variants[-1].model)
    return (package if out is None else _write(package, variants, out)), variants


def _chosen_flavours(options: QuantizeOptions, evaluation: str | None) -> list[Flavour]:
    unknown = [name for name in options.flavours if name not in FLAVOURS]
    if unknown or not options.flavours:
        raise InputError("--targets", got=", ".join(unknown) or "none", expected=f"some of {', '.join(FLAVOURS)}")
    if options.max_drop is not None and not 0 <= options.max_drop < 1:
        raise InputError("--max-drop", got=str(options.max_drop), expected="a number such as 0.005, in [0, 1)")
    if options.max_drop is not None and evaluation is None:
        raise InputError("--max-drop needs evaluation data", hint="give --eval DATA")
    return [FLAVOURS[name] for name in dict.fromkeys(options.flavours)]


def _prepare(
    package: Package, calibration: str, evaluation: str | None, options: QuantizeOptions, progress: Report
) -> _Job:
    """Read model and data, calibrate, and quantize."""
    manifest = package.manifest
    source, model = read_float_variant(package)
    crops, notes = read_calibration(calibration, manifest, samples=options.samples, seed=options.seed)
    test = crops
    if evaluation is not None:
        test = read_evaluation(evaluation, manifest, samples=options.eval_samples, seed=options.seed)
    progress(f"calibrating on {len(crops)} crops from {calibration}")
    samples = graph_inputs(crops, manifest)
    return _Job(
        manifest=manifest,
        source=source,
        model=prepared(model),
        quantized=quantize_model(model, samples, seed=options.seed),
        scorer=Scorer.of(test, manifest, predict_model(model, "onnxruntime", test, manifest)),
        data=evaluation or calibration,
        calibration=notes,
        samples=some(samples, RANGE_CROPS),
    )


def _quantize_for(flavour: Flavour, job: _Job, max_drop: float | None, progress: Report) -> QuantizedVariant:
    """Finish for one flavour, within the accuracy budget if there is one, and compare with FP32."""
    if max_drop is None:
        restored, finished = None, finish_for(job.quantized, flavour, job.samples)
    else:
        restored = restore_accuracy(
            job.model, job.quantized, flavour, job.scorer, job.manifest, max_drop, progress, job.samples
        )
        finished = restored.finished
    outputs = predict_finished(finished, job.scorer.crops, job.manifest)
    samples, seed = job.calibration["samples"], job.calibration["seed"]
    variant = Variant(
        name=flavour.variant,
        file=f"{flavour.variant}.onnx",
        sha256="",
        size_bytes=0,
        precision="int8",
        backends=(flavour.backend,),
        made_by=f"edgeau quantize --targets {flavour.name} --samples {samples} --seed {seed}",
        made_from=job.source.name,
        parity=measure_parity(job.scorer.reference, outputs, job.manifest.thresholds, job.data, job.source.name),
        notes=_notes(job, finished, outputs, restored),
    )
    return QuantizedVariant(variant, finished.model, restored)


def _notes(job: _Job, finished: Finished, outputs: np.ndarray, restored: Restored | None) -> dict[str, Any]:
    accuracy = job.scorer.score(outputs)
    notes: dict[str, Any] = {
        "target": finished.flavour.name,
        "calibration": job.calibration,
        "nncf": nncf_version(),
        "passes": list(finished.passes),
        "left_by_passes": list(finished.left),
        "float_layers": layers_in_float(finished.model),
        "parity_measured_on": finished.flavour.measured_on,
        "cosine": cosine(job.scorer.reference, outputs),
        "accuracy": {"metric": accuracy.metric, "value": accuracy.value},
    }
    return notes if restored is None else {**notes, "budget": restored.to_json()}


def _write(package: Package, variants: list[QuantizedVariant], out: PathLike) -> Package:
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        copy = package.copy_to(Path(folder) / package.path.name)
        for item in variants:
            copy = store(copy, item.variant, item.model)
        Package.check_output(out, package.path)
        return copy.copy_to(out)

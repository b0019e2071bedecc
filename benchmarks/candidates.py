"""What can be measured: every variant of a package on every backend that may run it, with settings and inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.runtime.backends import BACKEND_NAMES, Backend, BackendOptions, missing
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.evaluate import evaluate
from edgeau.runtime.manifest import Manifest, Variant
from edgeau.runtime.package import Package

from .measurement import Failure


@dataclass(frozen=True)
class Candidate:
    """Something to measure.

    Attributes:
        package, variant, precision: names for the record.
        backend: name of the backend.
        file: what the backend loads.
        options: of the backend.
        inputs: uint8 [N, H, W, 3] by input name.
        onnx_file: the ONNX file in which parameters and MACs are counted; None for an engine without one.
        data: what the inputs are.
        accuracy: computes the figures of this variant on labelled data.
    """

    package: str
    variant: str
    precision: str
    backend: str
    file: Path
    options: BackendOptions
    inputs: Mapping[str, np.ndarray]
    onnx_file: Path | None = None
    data: str = ""
    accuracy: Callable[[Backend], dict[str, Any]] | None = None


def candidates_of(
    package: Package,
    *,
    backends: Sequence[str] = BACKEND_NAMES,
    variants: Sequence[str] | None = None,
    threads: Sequence[int | None] = (1,),
    batches: Sequence[int] = (1,),
    provider: str = "CPUExecutionProvider",
    crops: CropSet | None = None,
) -> tuple[list[Candidate], list[Failure]]:
    """Every variant of a package on every backend that may run it.

    Args:
        package: what to measure.
        backends, variants, threads, batches: which of them; variants None means all, and a thread count None that the
            library chooses.
        provider: ONNX Runtime's.
        crops: real inputs, and labels for accuracy; without them the inputs are noise with a fixed seed.

    Returns:
        The candidates, and what can't be measured here with the reason.
    """
    manifest = package.manifest
    selected = manifest.variants if variants is None else tuple(package.variant(name) for name in variants)
    labelled = crops if crops is not None and not np.isnan(crops.presence(manifest.aus)).all() else None
    candidates: list[Candidate] = []
    failures: list[Failure] = []
    for variant, backend in ((v, b) for v in selected for b in v.backends if b in backends):
        try:
            file = _file(package, variant, backend)
        except EdgeauError as error:
            failures.append(Failure(manifest.name, variant.name, backend, str(error)))
            continue
        scorer = _Scorer(labelled, manifest, batches[0]) if labelled is not None else None
        for count, batch in ((t, b) for t in (threads if backend != "tensorrt" else (1,)) for b in batches):
            inputs, data = _inputs(manifest, batch, crops)
            candidates.append(
                Candidate(
                    package=manifest.name,
                    variant=variant.name,
                    precision=variant.precision,
                    backend=backend,
                    file=file,
                    options=BackendOptions(threads=count, provider=provider),
                    inputs=inputs,
                    onnx_file=_onnx_file(package, variant),
                    data=data,
                    accuracy=scorer,
                )
            )
    return candidates, failures


def accuracy(backend: Backend, crops: CropSet, manifest: Manifest, batch: int = 1) -> dict[str, Any]:
    """What a record says about accuracy: the evaluator's F1 at the manifest's thresholds.

    Returns:
        ``data``, ``samples``, ``f1`` by AU (None without positive samples), and ``mean_f1`` over those that have one.
    """
    metrics = evaluate(backend, crops, manifest, batch)
    return {"data": crops.origin, "samples": metrics.samples, "f1": metrics.f1, "mean_f1": metrics.mean_f1}


class _Scorer:
    """Accuracy of a variant on a backend, computed once for all thread counts and batches.

    It uses the batch size that is timed first, because an engine accepts only those in its profile.
    """

    def __init__(self, crops: CropSet, manifest: Manifest, batch: int) -> None:
        self._crops, self._manifest, self._batch = crops, manifest, batch
        self._accuracy: dict[str, Any] | None = None

    def __call__(self, backend: Backend) -> dict[str, Any]:
        if self._accuracy is None:
            self._accuracy = accuracy(backend, self._crops, self._manifest, self._batch)
        return self._accuracy


def _file(package: Package, variant: Variant, backend: str) -> Path:
    reason = missing(backend)
    if reason is not None:
        raise EdgeauError(reason)
    if backend == "tensorrt" and variant.file.endswith(".onnx"):
        raise EdgeauError(f"no engine yet; type: edgeau build {package.path}")
    return package.file(variant)


def _onnx_file(package: Package, variant: Variant) -> Path | None:
    """The ONNX file of a variant: itself, or for an engine the one that it was built from."""
    if variant.file.endswith(".onnx"):
        return package.path / variant.file
    source = next((v for v in package.manifest.variants if v.name == variant.made_from), None)
    return package.path / source.file if source is not None and source.file.endswith(".onnx") else None


def _inputs(manifest: Manifest, batch: int, crops: CropSet | None) -> tuple[dict[str, np.ndarray], str]:
    if crops is not None:
        rows = np.arange(batch) % len(crops)
        return {name: images[rows] for name, images in crops.inputs(manifest.takes_neutral).items()}, crops.origin
    generator = np.random.default_rng(0)
    shapes = {spec.name: (batch, spec.height, spec.width, 3) for spec in manifest.inputs}
    arrays = {name: generator.integers(0, 256, shape, np.uint8) for name, shape in shapes.items()}
    return arrays, "noise, seed 0"

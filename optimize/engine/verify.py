"""The postcondition of a build: the engine gives what FP32 gave, or it isn't kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeau.runtime.backends import open_backend
from edgeau.runtime.backends.cuda import installed_binding
from edgeau.runtime.engine_file import EngineSidecar
from edgeau.runtime.errors import EngineError, InputError, MissingExtraError
from edgeau.runtime.manifest import Variant
from edgeau.runtime.package import Package
from edgeau.runtime.parity_crops import Evidence, gather

from .bounds import bound_for, check_engine
from .job import Job
from .ladder import LADDER, Rung
from .library import flavour
from .suspect import find_suspect


def gather_evidence(job: Job) -> Evidence:
    """Crops and reference for parity, read before the long build so that what is missing is known early.

    Raises:
        InputError: no backend runs this library's plans, or the package has no FP32 ONNX.
        MissingExtraError: CUDA can't be called from Python.
    """
    if flavour(job.trt) == "tensorrt_rtx":
        raise InputError(
            "parity of a plan of TensorRT for RTX", got="no backend that runs it", hint="add --skip-parity"
        )
    if installed_binding() is None:
        raise MissingExtraError("libcudart, cuda-python or pycuda", "jetson", "running the engine for parity")
    return gather(job.package, fp32_variant(job.package), job.options.crops)


def fp32_variant(package: Package) -> Variant:
    """The variant that engines are compared with. Raises InputError if there is none."""
    variant = package.manifest.fp32_onnx
    if variant is None:
        hint = "export it again"
        raise InputError(
            f"package {package.path}", got="no fp32 ONNX", expected="one to compare the engine with", hint=hint
        )
    return variant


def verify_engine(job: Job, rung: Rung, sidecar: EngineSidecar, plan: Path, evidence: Evidence) -> EngineSidecar:
    """Run the plan on the evidence.

    Returns:
        The sidecar with its parity.

    Raises:
        EngineError: the engine differs from FP32 by more than its bound; the text names the layers to suspect.
    """
    job.report(f"comparing with FP32 on {len(evidence.reference)} crops")
    with open_backend("tensorrt", plan) as backend:
        parity, angle = check_engine(backend, evidence, job.package.manifest, sidecar.batch)
    excess = bound_for(rung.precision, rung.variant).broken_by(parity)
    if excess:
        lower = LADDER[min(LADDER.index(rung.precision) + 1, len(LADDER) - 1)]
        raise EngineError(
            f"the {rung.precision} engine does not say the same as FP32 on {parity.samples} crops: {excess}; suspect "
            f"{find_suspect(job, rung, sidecar, plan.parent, evidence)}; build with --precision {lower}, or quantize "
            "again with more calibration data; nothing was kept"
        )
    return dataclasses.replace(sidecar, parity=parity, notes={**sidecar.notes, "cosine": angle})

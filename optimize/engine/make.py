"""An engine of a package: chosen, built, compared with FP32 and stored with its sidecar.

    requires  a package with an ONNX variant for the precision, and TensorRT with a GPU
    does      goes down the ladder until a precision builds, runs the engine on crops and compares
    ensures   engines/NAME.engine with a sidecar whose hash is the plan's, and a variant in the manifest; or nothing

This file has the order of the steps; each step is in the file that owns it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Optional

from edgeau.runtime.engine_file import write_sidecar
from edgeau.runtime.files import PathLike
from edgeau.runtime.machine import Machine, read_machine
from edgeau.runtime.package import Package
from edgeau.runtime.report import Report, silent

from .builder import BuildOptions, BuiltEngine, build_engine
from .capabilities import capabilities
from .describe import EngineOrigin, engine_name, make_sidecar
from .job import Job, MakeOptions
from .ladder import Climb, Rung, climb_down, rungs_from
from .library import load_tensorrt
from .store import StoredEngine, store_engine, workshop
from .verify import gather_evidence, verify_engine


def make_engine(
    path: PathLike,
    options: MakeOptions = MakeOptions(),
    *,
    trt: Any = None,
    machine: Optional[Machine] = None,
    report: Report = silent,
) -> StoredEngine:
    """Build an engine for this machine into a package.

    Args:
        path: the package.
        options: what to build.
        trt: TensorRT's module; by default the installed one.
        machine: what this machine is; by default it is read.
        report: gets lines of progress.

    Raises:
        InputError, PackageError: package, options or crops can't be used.
        EngineError: no TensorRT or GPU, nothing could be built, or the engine differs from FP32 by more than its bound.
    """
    package = Package.open(path)
    job = Job(package, options, trt or load_tensorrt(), machine or read_machine(), report)
    dla = options.builder.dla_core is not None
    rungs, skipped = rungs_from(package, options.precision, capabilities(job.trt), fall_back=options.fall_back, dla=dla)
    evidence = gather_evidence(job) if options.parity else None
    climb = climb_down(rungs, lambda rung: _build(job, rung), report)
    sidecar = make_sidecar(climb.built, _origin(job, climb), job.machine)
    with workshop(package) as folder:
        plan = folder / engine_name(job.machine, climb.built, climb.rung.precision)
        plan.write_bytes(climb.built.plan)
        write_sidecar(plan, sidecar)
        if evidence is not None:
            sidecar = verify_engine(job, climb.rung, sidecar, plan, evidence)
        stored = store_engine(package, sidecar, plan)
    return dataclasses.replace(stored, skipped=tuple(skipped))


def _build(job: Job, rung: Rung) -> BuiltEngine:
    """Build a rung from the bytes that the manifest's hash covers."""
    options = BuildOptions(
        rung.precision,
        rung.strongly_typed,
        rung.float_grouped,
        timing_cache=job.timing_cache,
        settings=job.options.builder,
    )
    return build_engine(job.package.read(rung.variant), options, trt=job.trt, report=job.report)


def _origin(job: Job, climb: Climb) -> EngineOrigin:
    rung = climb.rung
    return EngineOrigin(
        job.package.manifest.name,
        rung.variant.name,
        Path(rung.variant.file).name,
        rung.variant.sha256,
        rung.precision,
        job.options.precision,
        job.options.builder.batch,
        climb.failures,
    )

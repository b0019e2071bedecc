"""An engine of a package: chosen, built, checked against FP32 and written with its sidecar.

requires  a package with an ONNX variant for the precision, and TensorRT with a GPU
does      goes down the ladder until a precision builds, runs the engine on crops and compares
ensures   engines/NAME.engine with a sidecar whose hash is the plan's, and a variant in the manifest; or nothing
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from edgeau.runtime.backends import open_backend
from edgeau.runtime.backends.cuda import installed_binding
from edgeau.runtime.engine_file import EngineSidecar, write_sidecar
from edgeau.runtime.errors import EngineError, InputError, MissingExtraError
from edgeau.runtime.files import PathLike, sha256_file
from edgeau.runtime.leftovers import temporary_folder
from edgeau.runtime.machine import Machine, read_machine
from edgeau.runtime.manifest import Parity, Variant
from edgeau.runtime.package import Package
from edgeau.runtime.parity_crops import Evidence, gather
from edgeau.runtime.targets import slug_of

from .bounds import bound_for, check_engine
from .builder import BuildOptions, BuiltEngine, build_engine
from .capabilities import capabilities
from .ladder import LADDER, Rung, climb_down, options_for, rungs_from
from .library import load_tensorrt, version
from .progress import Report, silent
from .suspect import find_suspect
from .timing_cache import cache_name

ENGINES = "engines"


@dataclass(frozen=True)
class MakeOptions:
    """What to build.

    Attributes:
        precision: where the ladder starts.
        build: how; its precision, typing and timing cache are set here.
        crops: data for parity, as ``read_crops`` takes it; None means the built-in faces.
        parity: whether the engine is run and compared after it was built.
        fall_back: whether lower precisions are tried where this one can't be built.
    """

    precision: str = "int8"
    build: BuildOptions = field(default_factory=BuildOptions)
    crops: Optional[str] = None
    parity: bool = True
    fall_back: bool = True


@dataclass(frozen=True)
class Made:
    """What came of it.

    Attributes:
        package: the package that now has the engine.
        variant: its entry in the manifest.
        sidecar: what is known of the engine.
        skipped: one line for each precision below that the package has no file for.
    """

    package: Package
    variant: Variant
    sidecar: EngineSidecar
    skipped: Tuple[str, ...]


def make_engine(
    path: PathLike,
    options: MakeOptions = MakeOptions(),
    *,
    trt: Any = None,
    machine: Optional[Machine] = None,
    report: Report = silent,
) -> Made:
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
    trt = load_tensorrt() if trt is None else trt
    machine = read_machine() if machine is None else machine
    able = capabilities(trt)
    rungs, skipped = rungs_from(package, options.precision, able)
    rungs = rungs if options.fall_back else rungs[:1]
    evidence = _evidence(package, options, trt)
    slug = slug_of(machine.model)
    cache = package.path / ENGINES / cache_name(slug, version(trt))
    settings = dataclasses.replace(options.build, timing_cache=cache)

    def build(rung: Rung) -> BuiltEngine:
        return build_engine(rung.file, options_for(rung, settings), trt=trt, report=report)

    rung, built, failures = climb_down(rungs, build, report)
    name = f"{slug}.trt{'.'.join(built.tensorrt.split('.')[:3])}.{rung.precision}.engine"
    sidecar = _describe(package, rung, built, failures, machine, options)
    with _workshop(package) as folder:
        plan = folder / name
        plan.write_bytes(built.plan)
        write_sidecar(plan, sidecar)
        if evidence is not None:
            report(f"comparing with FP32 on {len(evidence.reference)} crops")
            sidecar = _checked(package, rung, sidecar, plan, evidence, settings, trt)
        package, variant = store_engine(package, sidecar, plan)
    return Made(package, variant, sidecar, tuple(skipped))


def _evidence(package: Package, options: MakeOptions, trt: Any) -> Optional[Evidence]:
    """Crops and reference for parity, read before the long build so that what is missing is known early."""
    if not options.parity:
        return None
    if trt.__name__.startswith("tensorrt_rtx"):
        raise InputError(
            "parity of a plan of TensorRT for RTX", got="no backend that runs it", hint="add --skip-parity"
        )
    if installed_binding() is None:
        raise MissingExtraError("libcudart, cuda-python or pycuda", "jetson", "running the engine for parity")
    fp32 = package.manifest.fp32_onnx
    if fp32 is None:
        raise InputError(f"package {package.path}", got="no fp32 ONNX", expected="one to compare the engine with")
    return gather(package, fp32, options.crops)


def _describe(
    package: Package,
    rung: Rung,
    built: BuiltEngine,
    failures: Tuple[str, ...],
    machine: Machine,
    options: MakeOptions,
) -> EngineSidecar:
    notes: Dict[str, Any] = {"build_s": round(built.build_s, 3), "warnings": list(built.warnings)}
    return EngineSidecar(
        engine_sha256=hashlib.sha256(built.plan).hexdigest(),
        engine_size_bytes=len(built.plan),
        onnx_file=rung.file.name,
        onnx_sha256=sha256_file(rung.file),
        made_from=rung.variant,
        package=package.manifest.name,
        flavour=built.flavour,
        tensorrt=built.tensorrt,
        precision=rung.precision,
        asked_precision=options.precision,
        batch=options.build.batch,
        inputs=dict(built.inputs),
        device=machine.model or "",
        compute_capability=machine.compute_capability or "",
        cuda=machine.cuda,
        driver=machine.driver,
        l4t=machine.l4t,
        jetpack=machine.jetpack,
        settings=built.settings,
        ladder=failures,
        layers=built.layers,
        fell_back=built.fell_back,
        notes=notes,
        built_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


@contextlib.contextmanager
def _workshop(package: Package) -> Any:
    """A folder in the package's ``engines`` for what is not finished, gone when the block ends."""
    (package.path / ENGINES).mkdir(exist_ok=True)
    try:
        with temporary_folder(package.path / ENGINES) as folder:
            yield folder
    finally:
        with contextlib.suppress(OSError):
            (package.path / ENGINES).rmdir()


def _checked(
    package: Package,
    rung: Rung,
    sidecar: EngineSidecar,
    plan: Path,
    evidence: Evidence,
    settings: BuildOptions,
    trt: Any,
) -> EngineSidecar:
    """The sidecar with parity in it. Raises EngineError where the engine differs too much from FP32."""
    with open_backend("tensorrt", plan) as backend:
        parity, angle = check_engine(backend, evidence, package.manifest, sidecar.batch)
    broken = bound_for(rung.precision, package.variant(rung.variant)).broken_by(parity)
    if broken:
        where = find_suspect(package, rung, sidecar, plan.parent, evidence, settings, trt)
        lower = LADDER[min(LADDER.index(rung.precision) + 1, len(LADDER) - 1)]
        raise EngineError(
            f"the {rung.precision} engine does not say the same as FP32 on {parity.samples} crops: {broken}; suspect "
            f"{where}; build with --precision {lower}, or quantize again with more calibration data; nothing was kept"
        )
    return dataclasses.replace(sidecar, parity=parity, notes={**sidecar.notes, "cosine": angle})


def store_engine(package: Package, sidecar: EngineSidecar, plan: Path) -> Tuple[Package, Variant]:
    """Put the finished engine into the package: sidecar, plan, manifest. Whatever fails, no new file is left alone."""
    variant = Variant(
        name=plan.name[: -len(".engine")],
        file=f"{ENGINES}/{plan.name}",
        sha256="",
        size_bytes=0,
        precision=sidecar.precision,
        backends=("tensorrt",),
        made_by=f"edgeau build, TensorRT {sidecar.tensorrt}",
        made_from=sidecar.made_from,
        parity=sidecar.parity,
        notes=_variant_notes(sidecar),
    )

    def write(path: Path) -> None:
        shutil.copyfile(plan, path)
        write_sidecar(path, sidecar)

    package = package.add_variant(variant, write)
    return package, package.variant(variant.name)


def _variant_notes(sidecar: EngineSidecar) -> Dict[str, Any]:
    keys = ("device", "compute_capability", "tensorrt", "batch", "ladder", "fell_back")
    notes = {key: getattr(sidecar, key) for key in keys}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in notes.items() if value}


def parity_line(parity: Optional[Parity]) -> str:
    """A parity for a person, in one line."""
    if parity is None:
        return "parity was not measured"
    ratio = "exact" if parity.sqnr_db is None else f"{parity.sqnr_db:.1f} dB"
    flipped = f"{parity.decisions_flipped} of {parity.decisions} decisions flipped"
    errors = f"mean error {parity.mean_abs_error:.2g}, max {parity.max_abs_error:.2g}"
    return f"against {parity.reference} on {parity.samples} crops: {errors}, SQNR {ratio}, {flipped}"

"""Which file is built at which precision, and what comes next when TensorRT can't build it.

INT8, then mixed, then FP16, then FP32: each rung is a file of the package and a way to type the network. A rung fails
on a device for reasons that another device does not have (a missing INT8 kernel, a compiler's error), so the reason is
kept and the next rung is tried.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from edgeau.runtime.errors import EngineError, InputError
from edgeau.runtime.manifest import Variant
from edgeau.runtime.package import Package

from .builder import BuildFailedError, BuildOptions, BuiltEngine
from .capabilities import Capabilities
from .progress import Report

LADDER = ("int8", "mixed", "fp16", "fp32")
FIRST_WITH_INT8_WEIGHTS = 10


@dataclass(frozen=True)
class Rung:
    """One way to build.

    Attributes:
        precision: of the engine.
        variant: name of the package's variant that is built.
        file: its ONNX file.
        strongly_typed: whether the graph says the precision.
        float_grouped: whether grouped convolutions are left in float on the device.
    """

    precision: str
    variant: str
    file: Path
    strongly_typed: bool
    float_grouped: bool = False


@dataclass(frozen=True)
class Missing:
    """A rung that can't be tried because the package lacks its file; ``hint`` is the command that makes it."""

    precision: str
    reason: str
    hint: str


def find_rung(package: Package, precision: str, able: Capabilities) -> Rung | Missing:
    """How an engine of this precision is built from a package by a TensorRT that can do this."""
    if precision == "int8":
        return _quantized(package, "int8", able, float_grouped=False)
    if precision == "mixed":
        found = _quantized(package, "mixed", able, float_grouped=False)
        return found if isinstance(found, Rung) else _quantized(package, "int8", able, float_grouped=True)
    if precision == "fp16":
        return _half(package, able)
    variant = _onnx_variant(package, "fp32")
    if variant is None:
        return Missing("fp32", "the package has no fp32 ONNX", "edgeau export CHECKPOINT -o PACKAGE")
    return Rung("fp32", variant.name, package.file(variant), strongly_typed=not able.precision_flags)


def rungs_from(package: Package, precision: str, able: Capabilities) -> Tuple[List[Rung], List[str]]:
    """The rungs from a precision downwards, and one line for each lower one that the package has no file for.

    Raises:
        InputError: no such precision, or the package lacks the file for the precision that was asked for.
    """
    if precision not in LADDER:
        raise InputError("precision", got=precision, expected=", ".join(LADDER))
    first = find_rung(package, precision, able)
    if isinstance(first, Missing):
        raise InputError(f"{precision} engine of {package.path}: {first.reason}", hint=f"type: {first.hint}")
    rungs, skipped = [first], []
    for lower in LADDER[LADDER.index(precision) + 1 :]:
        found = find_rung(package, lower, able)
        if isinstance(found, Missing):
            skipped.append(f"{lower} was not tried: {found.reason}; {found.hint}")
        else:
            rungs.append(found)
    return rungs, skipped


def climb_down(
    rungs: List[Rung], build: Callable[[Rung], BuiltEngine], report: Report
) -> Tuple[Rung, BuiltEngine, Tuple[str, ...]]:
    """Build the first rung that TensorRT can build.

    Returns:
        The rung, its engine, and one line for each rung that failed before it.

    Raises:
        EngineError: none could be built; the text has every rung's reason.
    """
    failures: List[str] = []
    for rung in rungs:
        report(f"building {rung.precision} from {rung.file.name}")
        try:
            built: Optional[BuiltEngine] = build(rung)
        except BuildFailedError as error:
            failures.append(f"{rung.precision}: {error}")
            report(f"{failures[-1]}; trying the next precision")
            continue
        assert built is not None
        if rung.float_grouped and not built.settings.get("left_in_float"):
            failures.append("mixed: the graph has no quantized grouped convolution to leave in float")
            continue
        return rung, built, tuple(failures)
    raise EngineError("no precision could be built: " + "; ".join(failures))


def options_for(rung: Rung, settings: BuildOptions) -> BuildOptions:
    """These settings, with the rung's precision and typing."""
    return dataclasses.replace(
        settings, precision=rung.precision, strongly_typed=rung.strongly_typed, float_grouped=rung.float_grouped
    )


def _quantized(package: Package, precision: str, able: Capabilities, *, float_grouped: bool) -> Rung | Missing:
    variant = _finished_variant(package, precision, able)
    if variant is None:
        reason = f"the package has no {precision} ONNX finished for TensorRT"
        best = _targets(able)[0]
        return Missing(precision, reason, f"edgeau quantize {package.path} --calib DATA --targets {best}")
    name = "mixed" if float_grouped else precision
    return Rung(name, variant.name, package.file(variant), able.prefers_strong, float_grouped)


def _half(package: Package, able: Capabilities) -> Rung | Missing:
    """FP16 stands in the graph where TensorRT reads it from there, and is a flag on the FP32 file where it is one."""
    half, single = _onnx_variant(package, "fp16"), _onnx_variant(package, "fp32")
    if able.prefers_strong and half is not None:
        return Rung("fp16", half.name, package.file(half), strongly_typed=True)
    if "FP16" in able.precision_flags and single is not None:
        return Rung("fp16", single.name, package.file(single), strongly_typed=False)
    reason = f"TensorRT {able.version} takes FP16 from the graph, and the package has no fp16 ONNX"
    return Missing("fp16", reason, f"make it on a PC, `edgeau build {package.path} --target BOARD` does")


def _targets(able: Capabilities) -> Tuple[str, ...]:
    """The targets whose quantized files this TensorRT reads, the best first.

    A strongly typed network computes what is not INT8 in the types of its file, so that the one with FP16 inside is
    the fast one; a weakly typed one can't read it, and chooses FP16 itself. Before TensorRT 10, weights stand in FP32
    in front of their Q.
    """
    if able.prefers_strong:
        return ("tensorrt-fp16", "tensorrt", "tensorrt-8")
    old = int(able.version.split(".")[0]) < FIRST_WITH_INT8_WEIGHTS
    return ("tensorrt-8", "tensorrt") if old else ("tensorrt", "tensorrt-8")


def _finished_variant(package: Package, precision: str, able: Capabilities) -> Optional[Variant]:
    """The quantized file that this TensorRT reads best."""
    wanted = _targets(able)
    finished = [v for v in _onnx_variants(package, precision) if "tensorrt" in v.backends]
    fitting = [v for v in finished if v.notes.get("target", "tensorrt") in wanted]
    return min(fitting, key=lambda v: wanted.index(v.notes.get("target", "tensorrt")), default=None)


def _onnx_variant(package: Package, precision: str) -> Optional[Variant]:
    return next(iter(_onnx_variants(package, precision)), None)


def _onnx_variants(package: Package, precision: str) -> List[Variant]:
    return [v for v in package.manifest.variants if v.precision == precision and v.file.endswith(".onnx")]

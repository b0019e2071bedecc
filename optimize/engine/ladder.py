"""Which ONNX file is built at which precision, and what is tried next if TensorRT can't build it.

INT8, then mixed, then FP16, then FP32: each rung is a variant of the package and a way to type the network. A rung
fails on a device for reasons that another device doesn't have (a missing INT8 kernel, a compiler's error), so the
reason is recorded and the next rung is tried. DLA has one rung, FP16 (``dla``).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple, Union

from edgeau.runtime.errors import EngineError, InputError
from edgeau.runtime.manifest import Variant
from edgeau.runtime.package import Package
from edgeau.runtime.report import Report

from .builder import BuiltEngine
from .capabilities import Capabilities
from .dla import DLA_PRECISION, WHY_NO_INT8
from .library import BuildFailedError

LADDER = ("int8", "mixed", "fp16", "fp32")


@dataclass(frozen=True)
class Rung:
    """One way to build.

    Attributes:
        precision: of the engine.
        variant: of the package, whose ONNX file is built.
        strongly_typed: whether the graph says the precision.
        float_grouped: whether grouped convolutions are left in float on the device.
    """

    precision: str
    variant: Variant
    strongly_typed: bool
    float_grouped: bool = False


@dataclass(frozen=True)
class Missing:
    """A rung that can't be tried because the package lacks its file; ``hint`` is the command that makes it."""

    precision: str
    reason: str
    hint: str


@dataclass(frozen=True)
class Climb:
    """What could be built.

    Attributes:
        rung: the first that TensorRT could build.
        built: its engine.
        failures: one line per rung that failed before it.
    """

    rung: Rung
    built: BuiltEngine
    failures: Tuple[str, ...]


def find_rung(package: Package, precision: str, able: Capabilities) -> Union[Rung, Missing]:
    """How a TensorRT with these capabilities builds an engine of this precision from a package."""
    if precision == "int8":
        return _quantized(package, "int8", able, float_grouped=False)
    if precision == "mixed":
        mixed = _quantized(package, "mixed", able, float_grouped=False)
        return mixed if isinstance(mixed, Rung) else _quantized(package, "int8", able, float_grouped=True)
    if precision == "fp16":
        return _half(package, able)
    variant = _single(package, able)
    if variant is None:
        return Missing("fp32", "the package has no fp32 ONNX", "edgeau export CHECKPOINT -o PACKAGE")
    return Rung("fp32", variant, strongly_typed=not able.precision_flags)


def rungs_from(
    package: Package, precision: str, able: Capabilities, *, fall_back: bool = True, dla: bool = False
) -> Tuple[List[Rung], List[str]]:
    """The rungs from a precision downwards, and one line per precision that can't be tried.

    Args:
        package: with the ONNX variants.
        precision: where the ladder starts.
        able: what TensorRT can do here.
        fall_back: whether lower precisions may be built instead.
        dla: whether the engine is for DLA.

    Raises:
        InputError: no such precision, the package lacks the file for it, or DLA can't run it and nothing else may be
            built.
    """
    if precision not in LADDER:
        raise InputError("precision", got=precision, expected=", ".join(LADDER))
    precisions = LADDER[LADDER.index(precision) :]
    skipped: List[str] = []
    if dla:
        if DLA_PRECISION not in precisions or (precision != DLA_PRECISION and not fall_back):
            raise InputError("precision for DLA", got=precision, expected=DLA_PRECISION, hint=WHY_NO_INT8)
        skipped = [f"{higher} was not tried: {WHY_NO_INT8}" for higher in precisions if higher in ("int8", "mixed")]
        precisions = (DLA_PRECISION,)
    first = find_rung(package, precisions[0], able)
    if isinstance(first, Missing):
        others = [lower for lower in precisions[1:] if isinstance(find_rung(package, lower, able), Rung)]
        instead = f", or build with --precision {others[0]}" if others else ""
        hint = f"type: {first.hint}{instead}"
        raise InputError(f"{precisions[0]} engine of {package.path}: {first.reason}", hint=hint)
    rungs = [first]
    for lower in precisions[1:] if fall_back else ():
        rung = find_rung(package, lower, able)
        if isinstance(rung, Missing):
            skipped.append(f"{lower} was not tried: {rung.reason}; {rung.hint}")
        else:
            rungs.append(rung)
    return rungs, skipped


def climb_down(rungs: List[Rung], build: Callable[[Rung], BuiltEngine], report: Report) -> Climb:
    """Build the first rung that TensorRT can build. Raises EngineError with every rung's reason if there is none."""
    failures: List[str] = []
    for rung in rungs:
        report(f"building {rung.precision} from {rung.variant.file}")
        try:
            built = build(rung)
        except BuildFailedError as error:
            failures.append(f"{rung.precision}: {error}")
            report(f"{failures[-1]}; trying the next precision")
            continue
        if rung.float_grouped and not built.settings.get("left_in_float"):
            failures.append("mixed: the graph has no quantized grouped convolution to leave in float")
            continue
        return Climb(rung, built, tuple(failures))
    raise EngineError("no precision could be built: " + "; ".join(failures))


def _quantized(package: Package, precision: str, able: Capabilities, *, float_grouped: bool) -> Union[Rung, Missing]:
    variant = _finished_variant(package, precision, able)
    if variant is None:
        reason = f"the package has no {precision} ONNX finished for TensorRT"
        best = _targets(able)[0]
        return Missing(
            precision, reason, f"edgeau quantize {shlex.quote(str(package.path))} --calib DATA --targets {best}"
        )
    name = "mixed" if float_grouped else precision
    return Rung(name, variant, able.prefers_strong, float_grouped)


def _half(package: Package, able: Capabilities) -> Union[Rung, Missing]:
    """FP16 is in the graph if TensorRT prefers to read it there, else a flag on the FP32 file."""
    half, single = _onnx_variant(package, "fp16"), _single(package, able)
    if able.prefers_strong and half is not None:
        return Rung("fp16", half, strongly_typed=True)
    if "FP16" in able.precision_flags and single is not None:
        return Rung("fp16", single, strongly_typed=False)
    reason = f"TensorRT {able.version} takes FP16 from the graph, and the package has no fp16 ONNX"
    return Missing(
        "fp16", reason, f"make it on a PC, `edgeau build {shlex.quote(str(package.path))} --target BOARD` does"
    )


def _targets(able: Capabilities) -> Tuple[str, ...]:
    """The targets whose quantized files this TensorRT reads, the best first.

    A strongly typed network computes what is not INT8 in the types of its file, so that the one with FP16 inside is
    the fast one; a weakly typed one can't read it, and chooses FP16 itself. Before TensorRT 10, weights must be FP32 in
    front of their Q.
    """
    if able.prefers_strong:
        return ("tensorrt-fp16", "tensorrt", "tensorrt-8")
    return ("tensorrt-8", "tensorrt") if able.is_old else ("tensorrt", "tensorrt-8")


def _finished_variant(package: Package, precision: str, able: Capabilities) -> Optional[Variant]:
    """The quantized file that this TensorRT reads best."""
    order = _targets(able)
    finished = [v for v in _onnx_variants(package, precision) if "tensorrt" in v.backends]
    fitting = [v for v in finished if v.notes.get("target", "tensorrt") in order]
    return min(fitting, key=lambda v: order.index(v.notes.get("target", "tensorrt")), default=None)


def _single(package: Package, able: Capabilities) -> Optional[Variant]:
    """The FP32 file: the one finished for this TensorRT where there is one, else the one that others are made from."""
    target = "tensorrt-8" if able.is_old else "tensorrt"
    finished = (v for v in _onnx_variants(package, "fp32") if v.notes.get("target") == target)
    return next(finished, package.manifest.fp32_onnx)


def _onnx_variant(package: Package, precision: str) -> Optional[Variant]:
    return next(iter(_onnx_variants(package, precision)), None)


def _onnx_variants(package: Package, precision: str) -> List[Variant]:
    return [v for v in package.manifest.variants if v.precision == precision and v.file.endswith(".onnx")]

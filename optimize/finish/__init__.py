"""Finishing: the passes that make one Q/DQ file right and fast for one reader of it.

The same integers mean different things to different readers (``quantization/emulate.py`` says how), so each target
has its own passes, in order. They work on anybody's Q/DQ ONNX. Run on their own output, they change nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import onnx

from edgeau.optimize.onnx_graph.graph import with_shapes
from edgeau.runtime.errors import InputError

from .base import FinishError, FinishingPass, Note, PassReport
from .bias import FloatBias
from .branches import BarredBranches
from .casts import CastBeforeMoving
from .concat import SharedConcatScale
from .constants import DirectConstants, OmittedInputs
from .fusions import UnbrokenFusions
from .layer_norm import PlainLayerNorm
from .parameters import MatchingParameters
from .per_tensor import PerTensorActivations
from .residual import ResidualAdds
from .sensitive import FloatSensitive
from .signed import SignedActivations, SignedWeights
from .small_layers import FloatSmallLayers
from .unsigned import OneIntegerType, UnsignedActivations
from .weights import FoldWeights, OutputChannelAxis, UnfoldWeights

__all__ = ["FinishError", "FinishResult", "Note", "PassReport", "finish", "passes_for"]

_TENSORRT: tuple[FinishingPass, ...] = (
    OmittedInputs(),
    CastBeforeMoving(),
    DirectConstants(),
    MatchingParameters(),
    SignedActivations(),
    SignedWeights(),
    PerTensorActivations(),
    SharedConcatScale(),
    OutputChannelAxis(),
    FloatBias(),
    FloatSensitive(),
    FloatSmallLayers(),
    ResidualAdds(),
    UnbrokenFusions(),
)
_ONNXRUNTIME: tuple[FinishingPass, ...] = (
    DirectConstants(),
    MatchingParameters(),
    PerTensorActivations(),
    UnbrokenFusions(),
    UnsignedActivations(),
    OneIntegerType(),
    FoldWeights(),
)
_OPENVINO: tuple[FinishingPass, ...] = (DirectConstants(), MatchingParameters(), BarredBranches())


@dataclass(frozen=True)
class FinishResult:
    """A finished model.

    Attributes:
        model: the finished copy; the model given, where nothing had to change.
        passes: one report for each pass that ran, in order.
    """

    model: onnx.ModelProto
    passes: tuple[PassReport, ...]

    @property
    def modified(self) -> bool:
        """Whether any pass changed anything."""
        return any(report.modified for report in self.passes)

    @property
    def left(self) -> tuple[str, ...]:
        """What no pass could fix and why, one line each."""
        return tuple(str(note) for report in self.passes for note in report.left)


def finish(model: onnx.ModelProto, target: str) -> FinishResult:
    """Rewrite a Q/DQ model for one target.

    Args:
        model: any ONNX; the float parts of it, and models without Q/DQ, stay as they are. Not changed.
        target: ``onnxruntime``, ``openvino``, ``tensorrt`` (10 and 11), ``tensorrt-8``, or with a version such as
            ``tensorrt-10.3``.

    Raises:
        InputError: unknown target.
        FinishError: a pass did not keep its promise, or the result is not valid ONNX.
    """
    reports = []
    current = with_shapes(model)
    for step in passes_for(target):
        current, report = step(current)
        reports.append(report)
    if not any(report.modified for report in reports):
        return FinishResult(model, tuple(reports))
    try:
        onnx.checker.check_model(current)
    except onnx.checker.ValidationError as error:
        raise FinishError(f"finishing for {target} wrote invalid ONNX: {str(error).splitlines()[0]}") from error
    return FinishResult(current, tuple(reports))


def passes_for(target: str) -> tuple[FinishingPass, ...]:
    """The passes that finish for a target, in order. Raises InputError for an unknown target."""
    match = re.fullmatch(r"tensorrt(?:-(\d+(?:\.\d+)*))?", target)
    if match:
        version = tuple(int(part) for part in match[1].split(".")) if match[1] else (999,)
        older = (PlainLayerNorm(),) if version < (8, 6) else ()
        return (*older, *_TENSORRT, UnfoldWeights() if version < (10,) else FoldWeights())
    if target == "onnxruntime":
        return _ONNXRUNTIME
    if target == "openvino":
        return _OPENVINO
    raise InputError(
        "target", got=target, expected="onnxruntime, openvino, tensorrt-8, tensorrt or a version such as tensorrt-10.3"
    )

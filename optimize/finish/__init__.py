"""Finishing: the passes that make a Q/DQ file correct and fast for one of its readers.

The same integers mean different things to different readers (``quantization/emulate.py`` says how), so each reader has
its own passes, in order. They work on Q/DQ ONNX from any quantizer, and are idempotent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from edgeau.optimize.onnx_graph.graph import with_shapes

from .base import FinishError, FinishingPass, Note, PassReport
from .branches import BarredBranches
from .casts import CastBeforeMoving
from .concat import SharedConcatScale
from .constants import DirectConstants, OmittedInputs
from .dynamic import FloatDynamic
from .float_constants import FloatConstants
from .fusions import UnbrokenFusions
from .integer_operators import FloatOperators
from .layer_norm import PlainLayerNorm
from .opset import to_supported_opset
from .parameters import MatchingParameters
from .per_tensor import PerTensorActivations
from .pointwise import FloatPointwise
from .reader import ONNXRUNTIME, OPENVINO, parse_reader
from .residual import ResidualAdds
from .sensitive import FloatSensitive
from .signed import ReluForClip, SignedActivations, SignedWeights
from .small_layers import FloatSmallLayers
from .unsigned import OneIntegerType, UnsignedActivations
from .weights import FoldWeights, OutputChannelAxis, UnfoldWeights

__all__ = ["FinishError", "FinishResult", "Note", "PassReport", "finish", "passes_for", "stages"]

_TENSORRT: tuple[FinishingPass, ...] = (
    FloatDynamic(),
    FloatOperators(),
    OmittedInputs(),
    CastBeforeMoving(),
    DirectConstants(),
    MatchingParameters(),
    FloatConstants(),
    SignedActivations(),
    SignedWeights(),
    PerTensorActivations(),
    SharedConcatScale(),
    OutputChannelAxis(),
    FloatSensitive(),
    FloatPointwise(),
    FloatSmallLayers(),
    ResidualAdds(),
    UnbrokenFusions(),
    ReluForClip(),
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
        model: the finished copy; the original if nothing had to change.
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


def finish(model: onnx.ModelProto, reader: str) -> FinishResult:
    """Rewrite a Q/DQ model for one reader.

    Args:
        model: any ONNX, float or quantized; not changed. What is float stays as it is, except for the opset and what
            the reader lacks.
        reader: ``onnxruntime``, ``openvino``, ``tensorrt`` (10 and 11), ``tensorrt-8``, or with a version such as
            ``tensorrt-10.3``.

    Raises:
        InputError: unknown reader.
        FinishError: a pass failed its postcondition, or the result is not valid ONNX.
    """
    reports = []
    for current, _, report in stages(model, reader):  # noqa: B007 - the last model is the result
        reports.append(report)
    if not any(report.modified for report in reports):
        return FinishResult(model, tuple(reports))
    try:
        onnx.checker.check_model(current)
    except onnx.checker.ValidationError as error:
        raise FinishError(f"finishing for {reader} wrote invalid ONNX: {str(error).splitlines()[0]}") from error
    return FinishResult(current, tuple(reports))


def stages(model: onnx.ModelProto, reader: str) -> Iterator[tuple[onnx.ModelProto, str, PassReport]]:
    """The model after each step of `finish`, what the step does in one sentence, and its report."""
    current, report = to_supported_opset(with_shapes(model), parse_reader(reader))
    yield current, "Convert the model to an opset that the reader supports.", report
    for step in passes_for(reader):
        current, report = step(current)
        yield current, " ".join((step.__doc__ or "").split("\n\n")[0].split()), report


def passes_for(reader: str) -> tuple[FinishingPass, ...]:
    """The passes that finish for a reader, in order. Raises InputError for an unknown reader."""
    parsed = parse_reader(reader)
    if parsed.name == ONNXRUNTIME:
        return _ONNXRUNTIME
    if parsed.name == OPENVINO:
        return _OPENVINO
    older = (PlainLayerNorm(),) if parsed.older_than(8, 6) else ()
    return (*older, *_TENSORRT, UnfoldWeights() if parsed.older_than(10) else FoldWeights())

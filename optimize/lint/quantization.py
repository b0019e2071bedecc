"""Rules on Q and DQ: what their scales and zero points are, and where they stand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from edgeau.optimize.finish.base import Note
from edgeau.optimize.finish.bias import FloatBias
from edgeau.optimize.finish.concat import SharedConcatScale
from edgeau.optimize.finish.fusions import UnbrokenFusions
from edgeau.optimize.finish.parameters import MatchingParameters
from edgeau.optimize.finish.per_tensor import PerTensorActivations
from edgeau.optimize.finish.qdq import DEQUANTIZE, QUANTIZE, is_weight, scale_of, zero_point_of
from edgeau.optimize.finish.residual import ResidualAdds
from edgeau.optimize.finish.sensitive import FloatSensitive
from edgeau.optimize.finish.small_layers import FloatSmallLayers
from edgeau.optimize.finish.unsigned import OneIntegerType, UnsignedActivations
from edgeau.optimize.finish.weights import OutputChannelAxis, UnfoldWeights
from edgeau.optimize.onnx_graph.graph import attribute

from .rules import EVERYWHERE, ONNXRUNTIME, TENSORRT, Case, changes_of, rule, rule_of_pass

AGAIN = "quantize the float model again"


def _pairs(case: Case) -> Iterator[tuple[onnx.NodeProto, np.ndarray]]:
    """Every Q and DQ whose zero point is known, with it; int32 belongs to biases, which have a rule of their own."""
    for node in case.graph.of_type(QUANTIZE, DEQUANTIZE):
        zero_point = zero_point_of(case.graph, node)
        if zero_point is not None and zero_point.dtype != np.int32:
            yield node, zero_point


@rule(
    "E101", "unsigned zero point", (TENSORRT,), hint="--fix makes it int8 with scale * 255 / 127",
    why="TensorRT takes uint8 for int8 with the same scale: everything above half the range is cut off, "
    "and only a warning says so",
)  # fmt: skip
def _unsigned(case: Case) -> Iterator[Note]:
    for node, zero_point in _pairs(case):
        if zero_point.dtype == np.uint8 and not zero_point.any():
            given = "zero point uint8" if len(node.input) > 2 else "no zero point, which means uint8"
            yield Note(node.name, f"{given} 0")


@rule(
    "E102", "zero point that is not 0", (TENSORRT,), hint="--fix makes the range symmetric, a little coarser",
    why="TensorRT has only symmetric quantization and refuses the model (shiftIsAllZeros)",
)  # fmt: skip
def _shifted(case: Case) -> Iterator[Note]:
    for node, zero_point in _pairs(case):
        if zero_point.dtype.kind in "iu" and zero_point.any():
            yield Note(node.name, f"zero point {int(zero_point.ravel()[np.flatnonzero(zero_point)[0]])}")


@rule(
    "E103", "scale that is not positive", EVERYWHERE, hint=AGAIN,
    why="dividing by it gives infinity or NaN; TensorRT refuses the model",
)  # fmt: skip
def _bad_scale(case: Case) -> Iterator[Note]:
    for node in case.graph.of_type(QUANTIZE, DEQUANTIZE):
        scale = scale_of(case.graph, node)
        if scale is not None and not (np.isfinite(scale) & (scale > 0)).all():
            wrong = scale.ravel()[~(np.isfinite(scale) & (scale > 0)).ravel()]
            yield Note(node.name, f"{wrong.size} of {scale.size} scales not positive, such as {wrong[0]}")


@rule(
    "E104", "as many scales as channels", EVERYWHERE, hint=AGAIN,
    why="each channel needs one scale; no reader can say which is whose",
)  # fmt: skip
def _scale_count(case: Case) -> Iterator[Note]:
    for node in case.graph.of_type(QUANTIZE, DEQUANTIZE):
        scale, shape = scale_of(case.graph, node), case.graph.shape(node.input[0])
        if scale is None or scale.size == 1 or scale.ndim != 1 or shape is None:
            continue
        axis = attribute(node, "axis", 1)
        size = shape[axis] if -len(shape) <= axis < len(shape) else -1
        if size is not None and size != scale.size:
            yield Note(node.name, f"{scale.size} scales along axis {axis} of shape {shape}")


@rule(
    "E108", "scale or zero point that is computed", (TENSORRT,), hint="make it an initializer: " + AGAIN,
    why="TensorRT needs both when it builds",
)  # fmt: skip
def _computed(case: Case) -> Iterator[Note]:
    for node in case.graph.of_type(QUANTIZE, DEQUANTIZE):
        for name in node.input[1:]:
            if name and case.graph.constant(name) is None:
                yield Note(node.name, f"{name} is computed")


@rule(
    "E111", "no zero point, before TensorRT 8.6", (TENSORRT,), hint="--fix writes it",
    why="the importer of TensorRT 8.5 wants three inputs",
)  # fmt: skip
def _missing(case: Case) -> Iterator[Note]:
    if case.before(8, 6):
        for node in case.graph.of_type(QUANTIZE, DEQUANTIZE):
            if len(node.input) < 3 or not node.input[2]:
                yield Note(node.name, f"{node.op_type} with two inputs")


@rule(
    "E112", "integers that TensorRT has not", (TENSORRT,), hint=AGAIN + " to 8 bits",
    why="TensorRT quantizes activations to INT8 (INT4 from 10.0, FP8 from 8.6); the importer refuses other integers",
)  # fmt: skip
def _odd_integers(case: Case) -> Iterator[Note]:
    for node, zero_point in _pairs(case):
        kind = zero_point.dtype
        wide = kind.kind in "iu" and kind.itemsize > 1
        unsigned_weight = kind.name == "uint4"
        too_new = (kind.name == "int4" and case.before(10, 0)) or ("float8" in kind.name and case.before(8, 6))
        if wide or unsigned_weight or too_new:
            yield Note(node.name, f"zero point {kind}")


@rule(
    "E120", "weights that are unsigned", (TENSORRT,), hint="--fix stores them as int8",
    why='the importer refuses them ("Found unsupported input type of UINT8")',
)  # fmt: skip
def _unsigned_weights(case: Case) -> Iterator[Note]:
    for node, zero_point in _pairs(case):
        if zero_point.dtype == np.uint8 and node.op_type == DEQUANTIZE and is_weight(case.graph, node):
            yield Note(node.name, f"{node.input[0]} is uint8")


rule_of_pass(
    "E105", "weight scales along the wrong axis", OutputChannelAxis(), (TENSORRT,),
    why="TensorRT takes scales per output channel: axis 0 of Conv, 1 of ConvTranspose; others it misreads",
)  # fmt: skip
rule_of_pass(
    "E106", "activation with a scale per channel", PerTensorActivations(), (TENSORRT,),
    why='"Activations cannot be quantized per-channel" (NvInfer.h); the importer is silent, the build fails',
)  # fmt: skip
rule_of_pass(
    "E107", "scales and zero points differ in number", MatchingParameters(), EVERYWHERE,
    why="ONNX wants one zero point for each scale; TensorRT refuses the model",
)  # fmt: skip
rule_of_pass(
    "E109", "bias stored as integers", FloatBias(), (TENSORRT,),
    why="TensorRT wants float biases; the importer takes int32 for int8 and refuses",
)  # fmt: skip


@rule(
    "E110", "constants behind other nodes, before TensorRT 10", (TENSORRT,), hint="--fix",
    why="importers before TensorRT 10 don't follow an Identity or Constant to a scale or zero point",
)  # fmt: skip
def _indirect_error(case: Case) -> Iterator[Note]:
    if case.before(10, 0):
        yield from _indirect(case)


@rule(
    "W207", "constants behind other nodes", (TENSORRT,), hint="--fix",
    why="TensorRT 10 follows them; earlier ones and other tools don't",
)  # fmt: skip
def _indirect_warning(case: Case) -> Iterator[Note]:
    if not case.before(10, 0):
        yield from _indirect(case)


def _indirect(case: Case) -> Iterator[Note]:
    for node in case.graph.of_type(QUANTIZE, DEQUANTIZE):
        for name in node.input:
            if name and name not in case.graph.tensors and case.graph.constant(name) is not None:
                yield Note(node.name, f"reads {name} through another node")


@rule(
    "W210", "weights stored as INT8, for TensorRT 8", (TENSORRT,), hint="--fix stores them as FP32 with Q and DQ",
    why="the guides for TensorRT 8 ask for FP32 weights with Q and DQ; INT8 ones are documented from 10 on",
)  # fmt: skip
def _folded(case: Case) -> Iterator[Note]:
    if case.before(10, 0):
        for note in changes_of(UnfoldWeights(), case).changed:
            yield Note(note.node, "weights stored as INT8")


rule_of_pass(
    "W201", "Q/DQ between a convolution and its sum", ResidualAdds(), (TENSORRT,),
    why="TensorRT can't fuse Conv + Add then; the pair belongs on the skip input alone",
)  # fmt: skip
rule_of_pass(
    "W202", "Q/DQ between a layer and its activation", UnbrokenFusions(), (TENSORRT, ONNXRUNTIME),
    why="it breaks the fusion of convolution, normalisation and activation, and rounds twice",
)  # fmt: skip
rule_of_pass(
    "W203", "layer too small for INT8", FloatSmallLayers(), (TENSORRT,),
    why="tensor cores want 16 channels on both sides and many rows; such a layer is slower in INT8 than in FP16",
)  # fmt: skip
rule_of_pass(
    "W205", "sensitive operator quantized", FloatSensitive(), (TENSORRT,),
    why="8 bits before a sigmoid, softmax, normalisation, threshold or in the head move decisions and save no time",
)  # fmt: skip
rule_of_pass(
    "W206", "Concat of different scales", SharedConcatScale(), (TENSORRT,),
    why="TensorRT converts each input to one scale before it joins them; sharing the largest saves that",
)  # fmt: skip
rule_of_pass(
    "W208", "signed activation that is never negative", UnsignedActivations(), (ONNXRUNTIME,),
    why="ONNX Runtime takes a ReLU into QLinearConv only with unsigned integers and zero point 0, else in float",
)  # fmt: skip
rule_of_pass(
    "W209", "signed and unsigned activations mixed", OneIntegerType(), (ONNXRUNTIME,),
    why="ONNX Runtime has no integer Add, Mul or Concat of signed with unsigned, and leaves them in float",
)  # fmt: skip

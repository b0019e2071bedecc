"""Rules about Q and DQ: their scales, zero points and places in the graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from edgeau.optimize.finish.base import Note
from edgeau.optimize.finish.concat import SharedConcatScale
from edgeau.optimize.finish.float_constants import FloatConstants
from edgeau.optimize.finish.fusions import UnbrokenFusions
from edgeau.optimize.finish.parameters import MatchingParameters
from edgeau.optimize.finish.per_tensor import PerTensorActivations
from edgeau.optimize.finish.pointwise import FloatPointwise
from edgeau.optimize.finish.qdq import is_weight, scale_of, zero_point_of
from edgeau.optimize.finish.reader import ONNXRUNTIME, TENSORRT
from edgeau.optimize.finish.residual import ResidualAdds
from edgeau.optimize.finish.sensitive import FloatSensitive
from edgeau.optimize.finish.small_layers import FloatSmallLayers
from edgeau.optimize.finish.unsigned import OneIntegerType, UnsignedActivations
from edgeau.optimize.finish.weights import OutputChannelAxis, UnfoldWeights
from edgeau.optimize.onnx_graph.graph import attribute, label
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, QUANTIZE

from .rules import EVERYWHERE, Case, changes_of, rule, rule_of_pass

AGAIN = "quantize the float model again"


def _pairs(case: Case) -> Iterator[tuple[onnx.NodeProto, np.ndarray]]:
    """Every Q and DQ with a known zero point, except those of biases (int32), which have a separate rule."""
    for node in case.graph.of_type(QUANTIZE, DEQUANTIZE):
        zero_point = zero_point_of(case.graph, node)
        if zero_point is not None and zero_point.dtype != np.int32:
            yield node, zero_point


@rule(
    "E101",
    "unsigned zero point",
    (TENSORRT,),
    hint="--fix makes it int8 with scale * 255 / 127",
    why="TensorRT reads uint8 as int8 with the same scale: values above half the range are clipped, "
    "with only a warning",
)
def _unsigned(case: Case) -> Iterator[Note]:
    for node, zero_point in _pairs(case):
        if zero_point.dtype == np.uint8 and not zero_point.any():
            stated = "zero point uint8" if len(node.input) > 2 else "no zero point, which means uint8"
            yield Note(label(node), f"{stated} 0")


@rule(
    "E102",
    "zero point that is not 0",
    (TENSORRT,),
    hint="--fix makes the range symmetric, at a slightly coarser resolution",
    why="TensorRT has only symmetric quantization and refuses the model (shiftIsAllZeros)",
)
def _shifted(case: Case) -> Iterator[Note]:
    for node, zero_point in _pairs(case):
        if zero_point.dtype.kind in "iu" and zero_point.any():
            yield Note(label(node), f"zero point {int(zero_point.ravel()[np.flatnonzero(zero_point)[0]])}")


@rule(
    "E103",
    "scale that is not positive",
    EVERYWHERE,
    hint=AGAIN,
    why="dividing by it gives infinity or NaN; TensorRT refuses the model",
)
def _bad_scale(case: Case) -> Iterator[Note]:
    for node in case.graph.of_type(QUANTIZE, DEQUANTIZE):
        scale = scale_of(case.graph, node)
        if scale is not None and not (np.isfinite(scale) & (scale > 0)).all():
            wrong = scale.ravel()[~(np.isfinite(scale) & (scale > 0)).ravel()]
            yield Note(label(node), f"{wrong.size} of {scale.size} scales not positive, such as {wrong[0]}")


@rule(
    "E104",
    "number of scales is not that of channels",
    EVERYWHERE,
    hint=AGAIN,
    why="each channel needs one scale",
)
def _scale_count(case: Case) -> Iterator[Note]:
    for node in case.graph.of_type(QUANTIZE, DEQUANTIZE):
        scale, shape = scale_of(case.graph, node), case.graph.shape(node.input[0])
        if scale is None or scale.size == 1 or scale.ndim != 1 or shape is None:
            continue
        axis = attribute(node, "axis", 1)
        size = shape[axis] if -len(shape) <= axis < len(shape) else -1
        if size is not None and size != scale.size:
            yield Note(label(node), f"{scale.size} scales along axis {axis} of shape {shape}")


@rule(
    "E108",
    "scale or zero point that is computed",
    (TENSORRT,),
    hint="make it an initializer: " + AGAIN,
    why="TensorRT needs both at build time",
)
def _computed(case: Case) -> Iterator[Note]:
    for node in case.graph.of_type(QUANTIZE, DEQUANTIZE):
        for name in node.input[1:]:
            if name and case.graph.constant(name) is None:
                yield Note(label(node), f"{name} is computed")


@rule(
    "E111",
    "no zero point, before TensorRT 8.6",
    (TENSORRT,),
    hint="--fix adds it",
    why="the importer of TensorRT 8.5 expects three inputs",
)
def _missing(case: Case) -> Iterator[Note]:
    if case.before(8, 6):
        for node in case.graph.of_type(QUANTIZE, DEQUANTIZE):
            if len(node.input) < 3 or not node.input[2]:
                yield Note(label(node), f"{node.op_type} with two inputs")


@rule(
    "E112",
    "integers that TensorRT lacks",
    (TENSORRT,),
    hint=AGAIN + " to 8 bits",
    why="TensorRT quantizes activations to INT8 (INT4 from 10.0, FP8 from 8.6); the importer refuses other integers",
)
def _odd_integers(case: Case) -> Iterator[Note]:
    for node, zero_point in _pairs(case):
        kind = zero_point.dtype
        wide = kind.kind in "iu" and kind.itemsize > 1
        unsigned_weight = kind.name == "uint4"
        too_new = (kind.name == "int4" and case.before(10, 0)) or ("float8" in kind.name and case.before(8, 6))
        if wide or unsigned_weight or too_new:
            yield Note(label(node), f"zero point {kind}")


@rule(
    "E120",
    "weights that are unsigned",
    (TENSORRT,),
    hint="--fix stores them as int8",
    why='the importer refuses them ("Found unsupported input type of UINT8")',
)
def _unsigned_weights(case: Case) -> Iterator[Note]:
    for node, zero_point in _pairs(case):
        if zero_point.dtype == np.uint8 and node.op_type == DEQUANTIZE and is_weight(case.graph, node):
            yield Note(label(node), f"{node.input[0]} is uint8")


rule_of_pass(
    "E105",
    "weight scales along the wrong axis",
    OutputChannelAxis(),
    (TENSORRT,),
    why="TensorRT supports scales per output channel: axis 0 of Conv, 1 of ConvTranspose; it misreads others",
)
rule_of_pass(
    "E106",
    "activation with a scale per channel",
    PerTensorActivations(),
    (TENSORRT,),
    why='"Activations cannot be quantized per-channel" (NvInfer.h); the importer says nothing, the build fails',
)
rule_of_pass(
    "E107",
    "different numbers of scales and zero points",
    MatchingParameters(),
    EVERYWHERE,
    why="ONNX requires one zero point per scale; TensorRT refuses the model",
)
rule_of_pass(
    "E109",
    "constant other than a weight stored as integers",
    FloatConstants(),
    (TENSORRT,),
    why="TensorRT expects float biases and operands; the importer reads int32 as int8 and refuses the model",
)


@rule(
    "E110",
    "constants behind other nodes, before TensorRT 10",
    (TENSORRT,),
    hint="--fix",
    why="importers before TensorRT 10 don't follow an Identity or Constant to a scale or zero point",
)
def _indirect_error(case: Case) -> Iterator[Note]:
    if case.before(10, 0):
        yield from _indirect(case)


@rule(
    "W207",
    "constants behind other nodes",
    (TENSORRT,),
    hint="--fix",
    why="TensorRT 10 follows them; earlier versions and other tools don't",
)
def _indirect_warning(case: Case) -> Iterator[Note]:
    if not case.before(10, 0):
        yield from _indirect(case)


def _indirect(case: Case) -> Iterator[Note]:
    for node in case.graph.of_type(QUANTIZE, DEQUANTIZE):
        for name in node.input:
            if name and name not in case.graph.tensors and case.graph.constant(name) is not None:
                yield Note(label(node), f"reads {name} through another node")


@rule(
    "W210",
    "weights stored as INT8, for TensorRT 8",
    (TENSORRT,),
    hint="--fix stores them as FP32 with Q and DQ",
    why="the guides for TensorRT 8 require FP32 weights with Q and DQ; INT8 weights are documented from 10 on",
)
def _folded(case: Case) -> Iterator[Note]:
    if case.before(10, 0):
        for note in changes_of(UnfoldWeights(), case).changed:
            yield Note(note.node, "weights stored as INT8")


rule_of_pass(
    "W201",
    "Q/DQ between a convolution and its sum",
    ResidualAdds(),
    (TENSORRT,),
    why="it keeps TensorRT from fusing Conv + Add; the pair belongs on the skip input only",
)
rule_of_pass(
    "W202",
    "Q/DQ between a layer and its activation",
    UnbrokenFusions(),
    (TENSORRT, ONNXRUNTIME),
    why="it breaks the fusion of convolution, normalisation and activation, and rounds twice",
)
rule_of_pass(
    "W203",
    "layer too small for INT8",
    FloatSmallLayers(),
    (TENSORRT,),
    why="tensor cores need 16 channels on both sides and many rows; such a layer is slower in INT8 than in FP16",
)
rule_of_pass(
    "W205",
    "sensitive operator quantized",
    FloatSensitive(),
    (TENSORRT,),
    why="8 bits before a sigmoid, softmax, normalisation, threshold or in the head change decisions and save no time",
)
rule_of_pass(
    "W204",
    "operator without weights quantized",
    FloatPointwise(),
    (TENSORRT,),
    why="it gains no speed from INT8, breaks fusions, and each pair in front of it rounds once more",
)
rule_of_pass(
    "W206",
    "Concat of inputs with different scales",
    SharedConcatScale(),
    (TENSORRT,),
    why="TensorRT rescales each input before joining them, unless they share a scale",
)
rule_of_pass(
    "W208",
    "signed activation that is never negative",
    UnsignedActivations(),
    (ONNXRUNTIME,),
    why="ONNX Runtime fuses ReLU into QLinearConv only for unsigned integers with zero point 0, else runs it in float",
)
rule_of_pass(
    "W209",
    "signed and unsigned activations mixed",
    OneIntegerType(),
    (ONNXRUNTIME,),
    why="ONNX Runtime has no integer Add, Mul or Concat of signed with unsigned, and runs them in float",
)

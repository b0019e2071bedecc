"""Facts about ONNX operators that several rooms need: one name for each set, and its only definition.

What one reader does with an operator (which it fuses, which it looks through) is with the pass written for that reader.
"""

from __future__ import annotations

DEFAULT_DOMAINS = ("", "ai.onnx")
QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
FIRST_OPSET_OF_AXIS = 13  # of both: scales per channel
DYNAMIC_QUANTIZE = "DynamicQuantizeLinear"
# From this opset on, these reductions take their axes as an input instead of an attribute; ReduceSum did from 13 on.
FIRST_OPSET_OF_AXES_INPUT = 18
AXES_MOVED_TO_INPUT = frozenset(
    {
        "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
        "ReduceLogSumExp", "ReduceSumSquare",
    }
)  # fmt: skip

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
# Layers with learnt weights, in which nearly all arithmetic is done.
WEIGHTED_OPS = CONVOLUTIONS | {"Gemm", "MatMul"}

# Each output value is one of the input values, so Q and DQ may be moved across these operators.
MOVING_OPS = frozenset(
    {
        "Identity", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "MaxPool", "Slice", "Split", "Gather",
        "Expand", "DepthToSpace", "SpaceToDepth",
    }
)  # fmt: skip

# Change of resolution: what a residual stream passes through between two sums.
RESAMPLING_OPS = frozenset({"MaxPool", "AveragePool", "Resize", "Identity"})

COMPARISONS = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Sign"})

# Reductions over many values and the functions that statistics are computed with.
STATISTICS_OPS = frozenset(
    {
        "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "Pow",
        "Sqrt", "Reciprocal", "Exp", "Log",
    }
)  # fmt: skip

# Never quantized, for any reader: probabilities and normalisations.
NEVER_QUANTIZED_OPS = frozenset({"Sigmoid", "Softmax", "LogSoftmax", "LayerNormalization", "InstanceNormalization"})

# Never quantized for TensorRT, and float32 in FP16 files: a small error of their input is a large one of their output.
# For ONNX Runtime and OpenVINO only NEVER_QUANTIZED_OPS are held in float; the others are left to NNCF.
SENSITIVE_OPS = (
    NEVER_QUANTIZED_OPS
    | COMPARISONS
    | {
        "Tanh", "Exp", "Log", "Erf", "Softplus", "Sqrt", "Pow", "Reciprocal", "GroupNormalization", "LpNormalization",
        "ReduceMean", "ReduceSum", "ReduceL2", "ArgMax", "TopK",
    }
)  # fmt: skip

# Operators that compute on integers rather than on what a DQ makes of them.
INTEGER_OPS = frozenset({"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"})
# Any of these in a file means that it is quantized already.
QUANTIZED_OPS = INTEGER_OPS | {QUANTIZE, DEQUANTIZE, "FakeQuantize"}

"""What the ONNX importers of TensorRT versions support, as data with its sources.

Sources: onnx-tensorrt's docs/operators.md on the branches 8.5-GA, 8.6-GA, 10.1-GA, 10.15-GA; TensorRT's CHANGELOG for
Gelu and Swish. A version between two branches is treated as the older.
"""

from __future__ import annotations

from onnx import TensorProto

# Operators by the version of TensorRT that introduced them.
OPERATORS_SINCE: dict[str, tuple[int, ...]] = {
    "LayerNormalization": (8, 6),
    "GroupNormalization": (8, 6),
    "Gelu": (10, 0),
    "RMSNormalization": (10, 15),
    "RotaryEmbedding": (10, 15),
    "Attention": (10, 15),
    "Swish": (11, 0),
}

# Marked "N" in operators.md of 10.15, and not mentioned in the CHANGELOG of 11.
OPERATORS_NEVER = frozenset(
    {
        "AffineGrid", "Bernoulli", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Col2Im",
        "CenterCropPad", "Compress", "ConcatFromSequence", "DFT", "Det", "ImageDecoder", "MaxRoiPool", "MaxUnpool",
        "MelWeightMatrix", "Multinomial", "NegativeLogLikelihoodLoss", "Optional", "OptionalGetElement",
        "OptionalHasElement", "RegexFullMatch", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase",
        "SequenceInsert", "SequenceLength", "SequenceMap", "SoftmaxCrossEntropyLoss",
    }
)  # fmt: skip

UNSUPPORTED_TYPES = frozenset(
    {
        TensorProto.UINT16, TensorProto.INT16, TensorProto.UINT32, TensorProto.UINT64, TensorProto.STRING,
        TensorProto.COMPLEX64, TensorProto.COMPLEX128,
    }
)  # fmt: skip

# onnx-tensorrt's importers of ReduceMean, ReduceMax and others pass on only the first input up to branch 9.3, and the
# axes as well from 10.0-GA on (builtin_op_importers.cpp, onnxOpImporters.cpp). ReduceSum's were read from opset 13 on.
FIRST_TO_READ_AXES = (10, 0)

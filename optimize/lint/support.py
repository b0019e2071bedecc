"""What the ONNX importers of TensorRT versions support, as data with its sources.

Sources: onnx-tensorrt's docs/operators.md on the branches 8.5-GA, 8.6-GA, 10.1-GA, 10.15-GA; NVIDIA's "ONNX Opset
Guide" for 11.x; TensorRT's CHANGELOG for Gelu and Swish. A version between two branches is treated as the older.
"""

from __future__ import annotations

from onnx import TensorProto

OLDEST_OPSET = 9
# (first version of TensorRT, newest opset), oldest first.
NEWEST_OPSETS = (((0,), 17), ((10, 0), 20), ((10, 15), 24), ((11, 0), 25))

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


def newest_opset(version: tuple[int, ...]) -> int:
    """The newest opset that a version of TensorRT is documented to import."""
    return max(opset for since, opset in NEWEST_OPSETS if version >= since)

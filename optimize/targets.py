"""What a quantized model is finished for, and how each finished file is judged without the target's hardware."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from .emulate import emulate_tensorrt
from .finish import finish
from .scope import WEIGHTED_OPS


@dataclass(frozen=True)
class Target:
    """One reader of INT8 files.

    Attributes:
        name: as users write it.
        finishing: the target's name in `finish`.
        variant: name of the variant made for it.
        backend: the only backend that may run it; the others would read it wrongly or slowly.
        judged_on: how its outputs are computed here.
    """

    name: str
    finishing: str
    variant: str
    backend: str
    judged_on: str


TARGETS = {
    target.name: target
    for target in (
        Target("onnxruntime", "onnxruntime", "int8-ort", "onnxruntime", "ONNX Runtime, CPU"),
        Target("openvino", "openvino", "int8-openvino", "openvino", "OpenVINO, CPU"),
        Target("tensorrt", "tensorrt", "int8-tensorrt", "tensorrt", "TensorRT's reading, emulated in ONNX Runtime"),
    )
}


@dataclass(frozen=True)
class Finished:
    """A model finished for a target.

    Attributes:
        model: the file that the target gets.
        judged: the model that computes here what the target will compute from it.
        passes: names of the finishing passes that changed something.
    """

    model: onnx.ModelProto
    judged: onnx.ModelProto
    passes: tuple[str, ...]


def finish_for(quantized: onnx.ModelProto, target: Target) -> Finished:
    """Finish NNCF's output for a target. Raises EdgeauError where a pass's postcondition fails."""
    result = finish(quantized, target.finishing)
    judged = emulate_tensorrt(result.model) if target.backend == "tensorrt" else result.model
    return Finished(result.model, judged, tuple(result.passes))


def layers_in_float(model: onnx.ModelProto) -> list[str]:
    """Names of the convolutions and matrix products whose data input is not dequantized from INT8, in graph order."""
    dequantized = {out for node in model.graph.node if node.op_type == "DequantizeLinear" for out in node.output}
    through = {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "MaxPool", "Slice", "Identity"}
    for node in model.graph.node:
        if node.op_type in through and node.input[0] in dequantized:
            dequantized.update(node.output)
    return [node.name for node in model.graph.node if node.op_type in WEIGHTED_OPS and node.input[0] not in dequantized]

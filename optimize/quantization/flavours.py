"""What a quantized model is finished for, and how each finished file is judged without the target's hardware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from edgeau.optimize.finish import finish
from edgeau.optimize.half.convert import to_fp16
from edgeau.optimize.predict import predict_model
from edgeau.runtime.backends import missing
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.evaluate import predict
from edgeau.runtime.manifest import Manifest

from .emulate import emulate_tensorrt, run
from .scope import WEIGHTED_OPS

# Values pass through these unchanged: what is quantized before them is quantized behind them.
DATA_MOVING_OPS = frozenset({"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "MaxPool", "Slice", "Identity"})


@dataclass(frozen=True)
class Target:
    """One reader of INT8 files.

    Attributes:
        name: as users write it, and as `finish` takes it.
        variant: name of the variant made for it.
        backend: the only backend that may run it; the others would read it wrongly or slowly.
        judged_on: how its outputs are computed here.
        finish_as: what `finish` calls it.
        half: whether what is not INT8 is FP16 in the graph, for a network whose types are those of its file.
    """

    name: str
    variant: str
    backend: str
    judged_on: str
    finish_as: str
    half: bool = False


_EMULATED = "TensorRT's reading, emulated in ONNX Runtime"
TARGETS = {
    target.name: target
    for target in (
        Target("onnxruntime", "int8-ort", "onnxruntime", "ONNX Runtime, CPU", "onnxruntime"),
        Target("openvino", "int8-openvino", "openvino", "OpenVINO, CPU", "openvino"),
        Target("tensorrt", "int8-tensorrt", "tensorrt", _EMULATED, "tensorrt"),
        Target("tensorrt-fp16", "int8-tensorrt-fp16", "tensorrt", _EMULATED, "tensorrt", half=True),
        Target("tensorrt-8", "int8-tensorrt8", "tensorrt", _EMULATED, "tensorrt-8"),
    )
}


@dataclass(frozen=True)
class Finished:
    """A model finished for a target.

    Attributes:
        target: who reads it.
        model: the file that the target gets.
        passes: names of the finishing passes that changed something.
        left: what no pass could fix, one line each.
    """

    target: Target
    model: onnx.ModelProto
    passes: tuple[str, ...]
    left: tuple[str, ...] = ()


def finish_for(quantized: onnx.ModelProto, target: Target, samples: Sequence[dict[str, np.ndarray]] = ()) -> Finished:
    """Finish NNCF's output for a target. Raises EdgeauError where a pass's postcondition fails.

    ``samples`` of the graph's inputs show which values FP16 can't hold, where the target is `half`.
    """
    result = finish(quantized, target.finish_as)
    done = tuple(report.name for report in result.passes if report.modified)
    if not target.half:
        return Finished(target, result.model, done, result.left)
    return Finished(target, to_fp16(result.model, samples), (*done, "fp16-inside"), result.left)


def predict_finished(finished: Finished, crops: CropSet, manifest: Manifest) -> np.ndarray:
    """AU probabilities float32 [N, A] as the target will compute them, as near as this machine can tell.

    On a CPU backend that backend itself; for TensorRT its reading of Q/DQ, emulated in ONNX Runtime.
    """
    if finished.target.backend != "tensorrt":
        backend = finished.target.backend
        return predict_model(finished.model, backend if missing(backend) is None else "onnxruntime", crops, manifest)
    emulated = emulate_tensorrt(finished.model)
    names = [output.name for output in emulated.graph.output]
    inputs = crops.inputs(manifest.takes_neutral)
    return predict(lambda batch: dict(zip(names, run(emulated, batch), strict=True)), inputs)["au"]


def layers_in_float(model: onnx.ModelProto) -> list[str]:
    """Names of the convolutions and matrix products whose data input is not dequantized from INT8, in graph order."""
    dequantized = {out for node in model.graph.node if node.op_type == "DequantizeLinear" for out in node.output}
    for node in model.graph.node:
        if node.op_type in DATA_MOVING_OPS and node.input[0] in dequantized:
            dequantized.update(node.output)
    return [node.name for node in model.graph.node if node.op_type in WEIGHTED_OPS and node.input[0] not in dequantized]

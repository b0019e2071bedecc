"""The flavours of INT8 files, one per reader, and how each is evaluated without that reader's hardware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from edgeau.optimize.finish import finish
from edgeau.optimize.half.convert import to_fp16
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, MOVING_OPS, WEIGHTED_OPS
from edgeau.optimize.onnx_graph.session import open_session
from edgeau.optimize.predict import predict_model
from edgeau.runtime.backends import missing
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.evaluate import predict
from edgeau.runtime.manifest import Manifest

from .emulate import emulate_tensorrt


@dataclass(frozen=True)
class Flavour:
    """A kind of INT8 file.

    Attributes:
        name: as ``--targets`` takes it.
        variant: name of the package's variant.
        backend: the only backend that may run it; others would misread it or run it slowly.
        measured_on: how its outputs are computed here.
        reader: as `finish` takes it.
        half: whether the graph is FP16 where it isn't INT8, for readers that compute in the types of the file.
    """

    name: str
    variant: str
    backend: str
    measured_on: str
    reader: str
    half: bool = False


_EMULATED = "TensorRT's reading, emulated in ONNX Runtime"
FLAVOURS = {
    flavour.name: flavour
    for flavour in (
        Flavour("onnxruntime", "int8-ort", "onnxruntime", "ONNX Runtime, CPU", "onnxruntime"),
        Flavour("openvino", "int8-openvino", "openvino", "OpenVINO, CPU", "openvino"),
        Flavour("tensorrt", "int8-tensorrt", "tensorrt", _EMULATED, "tensorrt-10"),
        Flavour("tensorrt-fp16", "int8-tensorrt-fp16", "tensorrt", _EMULATED, "tensorrt-10", half=True),
        Flavour("tensorrt-8", "int8-tensorrt8", "tensorrt", _EMULATED, "tensorrt-8"),
    )
}


@dataclass(frozen=True)
class Finished:
    """A model finished for a flavour.

    Attributes:
        flavour: what it was finished for.
        model: the result.
        passes: names of the finishing passes that changed something.
        left: what no pass could fix, one line each.
    """

    flavour: Flavour
    model: onnx.ModelProto
    passes: tuple[str, ...]
    left: tuple[str, ...] = ()


def finish_for(quantized: onnx.ModelProto, flavour: Flavour, samples: Sequence[dict[str, np.ndarray]] = ()) -> Finished:
    """Finish NNCF's output for a flavour. Raises EdgeauError if a pass fails its postcondition.

    For flavours with `half`, ``samples`` of the graph's inputs show which values exceed the range of FP16.
    """
    result = finish(quantized, flavour.reader)
    passes = tuple(report.name for report in result.passes if report.modified)
    if not flavour.half:
        return Finished(flavour, result.model, passes, result.left)
    return Finished(flavour, to_fp16(result.model, samples), (*passes, "fp16-inside"), result.left)


def predict_finished(finished: Finished, crops: CropSet, manifest: Manifest) -> np.ndarray:
    """AU probabilities float32 [N, A] as the flavour's reader computes them, as far as that can be known here.

    CPU backends are run; for TensorRT its reading of Q/DQ is emulated in ONNX Runtime.
    """
    if finished.flavour.backend != "tensorrt":
        backend = finished.flavour.backend
        return predict_model(finished.model, backend if missing(backend) is None else "onnxruntime", crops, manifest)
    emulated = emulate_tensorrt(finished.model)
    names = [output.name for output in emulated.graph.output]
    session = open_session(emulated, optimized=False)
    inputs = crops.inputs(manifest.takes_neutral)
    return predict(lambda batch: dict(zip(names, session.run(None, batch), strict=True)), inputs)["au"]


def layers_in_float(model: onnx.ModelProto) -> list[str]:
    """Names of the weighted layers whose data input is not dequantized from INT8, in graph order."""
    dequantized = {out for node in model.graph.node if node.op_type == DEQUANTIZE for out in node.output}
    for node in model.graph.node:
        if node.op_type in MOVING_OPS and node.input[0] in dequantized:
            dequantized.update(node.output)
    return [node.name for node in model.graph.node if node.op_type in WEIGHTED_OPS and node.input[0] not in dequantized]

"""An FP16 variant of a package: half the size, the same inputs and outputs, sensitive operators left in FP32."""

from __future__ import annotations

from edgeau.optimize.finish import finish
from edgeau.optimize.onnx_graph.model_file import read_model, require_float
from edgeau.optimize.predict import predict_model
from edgeau.optimize.quantization.calibration import graph_inputs, some
from edgeau.optimize.quantization.quantize import RANGE_CROPS, float_variant, store
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.manifest import Variant
from edgeau.runtime.package import Package
from edgeau.runtime.parity import measure_parity

from .convert import to_fp16

NAME = "fp16"


def add_fp16(package: Package, data: str, *, samples: int = 300, seed: int = 0) -> Package:
    """Add the variant ``fp16``, replacing an older one.

    Args:
        package: must have an FP32 variant; written to.
        data: specification of crops on which parity is measured.
        samples, seed: how many of them, and for sources that draw.

    Raises:
        InputError: the FP32 model or the data can't be used; nothing has been written then.
    """
    source = float_variant(package.manifest)
    model = read_model(package.file(source))
    require_float(model, f"{package.path.name}: {source.file}")
    crops = read_crops(data, package.manifest.crop, limit=samples, seed=seed)
    # Finishing a float model only makes its preprocessing readable for TensorRT.
    half = to_fp16(finish(model, "tensorrt").model, some(graph_inputs(crops, package.manifest), RANGE_CROPS))
    reference, outputs = (predict_model(m, "onnxruntime", crops, package.manifest) for m in (model, half))
    variant = Variant(
        name=NAME,
        file=f"{NAME}.onnx",
        sha256="",
        size_bytes=0,
        precision="fp16",
        backends=("onnxruntime", "openvino", "tensorrt"),
        made_by="edgeau optimize",
        made_from=source.name,
        parity=measure_parity(reference, outputs, package.manifest.thresholds, data, source.name),
    )
    return store(package, variant, half)

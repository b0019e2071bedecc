"""The FP16 variant of a package: half the size, the same inputs and outputs, sensitive operators in FP32."""

from __future__ import annotations

from edgeau.optimize.finish import finish
from edgeau.optimize.predict import predict_model
from edgeau.optimize.samples import RANGE_CROPS, graph_inputs, some
from edgeau.optimize.variants import read_float_variant, store
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
        samples: how many of them at most.
        seed: for data that is drawn at random.

    Raises:
        InputError: the FP32 model or the data can't be used; nothing has been written then.
    """
    source, model = read_float_variant(package)
    crops = read_crops(data, package.manifest.crop, limit=samples, seed=seed)
    # Finishing a float model changes its preprocessing and opset, so that TensorRT 10 can read it.
    half = to_fp16(finish(model, "tensorrt-10").model, some(graph_inputs(crops, package.manifest), RANGE_CROPS))
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

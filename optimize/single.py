"""FP32 for a reader that misreads or refuses the original file: the same numbers from other operators."""

from __future__ import annotations

from edgeau.optimize.finish import finish
from edgeau.optimize.predict import predict_model
from edgeau.optimize.variants import read_float_variant, store
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.manifest import Variant
from edgeau.runtime.package import Package
from edgeau.runtime.parity import measure_parity

# Target, as in the notes of a variant: name of the variant, reader as `finish` takes it.
TARGETS = {"tensorrt": ("fp32-tensorrt", "tensorrt-10"), "tensorrt-8": ("fp32-tensorrt8", "tensorrt-8")}
# Float rounding of a few operators written differently; a wrong axis costs orders of magnitude more.
MAX_ABS_ERROR = 1e-4


def add_fp32_for(package: Package, target: str, data: str, *, samples: int = 100, seed: int = 0) -> Package:
    """Add the FP32 variant finished for a target, replacing an older one.

    Args:
        package: must have an FP32 variant; written to.
        target: key of TARGETS.
        data: specification of crops on which parity is measured.
        samples: how many of them at most.
        seed: for data that is drawn at random.

    Raises:
        InputError: the FP32 model or the data can't be used; nothing has been written then.
        EdgeauError: the finished file computes something else.
    """
    name, reader = TARGETS[target]
    source, model = read_float_variant(package)
    crops = read_crops(data, package.manifest.crop, limit=samples, seed=seed)
    finished = finish(model, reader).model
    reference, outputs = (predict_model(m, "onnxruntime", crops, package.manifest) for m in (model, finished))
    parity = measure_parity(reference, outputs, package.manifest.thresholds, data, source.name)
    if parity.max_abs_error > MAX_ABS_ERROR:
        raise EdgeauError(
            f"{source.file} finished for {reader} differs by {parity.max_abs_error:.1e}; nothing was kept"
        )
    variant = Variant(
        name=name,
        file=f"{name}.onnx",
        sha256="",
        size_bytes=0,
        precision="fp32",
        backends=("tensorrt",),
        made_by="edgeau build",
        made_from=source.name,
        parity=parity,
        notes={"target": target},
    )
    return store(package, variant, finished)

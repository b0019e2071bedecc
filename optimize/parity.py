"""Running variants on crops, and comparing what they say."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from edgeau.runtime.backends import Backend, open_backend
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.errors import BackendError
from edgeau.runtime.manifest import Manifest, Parity
from edgeau.runtime.parity import measure_parity

BATCH = 16


def predict(backend: Backend, inputs: Mapping[str, np.ndarray], batch: int = BATCH) -> np.ndarray:
    """AU probabilities float32 [N, A] of uint8 [N, H, W, 3] inputs, run in batches.

    Raises:
        BackendError: the backend failed, or the graph has no output ``au``.
    """
    if "au" not in backend.output_names:
        raise BackendError(f"the graph has outputs {', '.join(backend.output_names)}, and none is called au")
    count = len(next(iter(inputs.values())))
    parts = [
        backend.infer({name: np.ascontiguousarray(array[i : i + batch]) for name, array in inputs.items()})["au"]
        for i in range(0, count, batch)
    ]
    return np.concatenate(parts)


def predict_file(file: Path, backend: str, crops: CropSet, manifest: Manifest) -> np.ndarray:
    """AU probabilities float32 [N, A] of a variant's file on a backend."""
    with open_backend(backend, file) as opened:
        return predict(opened, crops.inputs(manifest.takes_neutral), batch_for(file))


def predict_model(model: onnx.ModelProto, backend: str, crops: CropSet, manifest: Manifest) -> np.ndarray:
    """AU probabilities float32 [N, A] of a model in memory."""
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        file = Path(folder) / "model.onnx"
        onnx.save(model, str(file))
        return predict_file(file, backend, crops, manifest)


def compare(reference: np.ndarray, outputs: np.ndarray, manifest: Manifest, data: str, name: str) -> Parity:
    """Parity of two [N, A] outputs at the manifest's thresholds."""
    return measure_parity(reference, outputs, manifest.thresholds, data, name)


def batch_for(file: Path) -> int:
    """A batch size that a variant's file can run: one crop for engines, whose profiles may start there."""
    return (fixed_batch(file) or BATCH) if file.suffix == ".onnx" else 1


def fixed_batch(file: Path) -> int | None:
    """The batch size that an ONNX file is fixed to, None where it is dynamic."""
    model = onnx.load(str(file), load_external_data=False)
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    return first.dim_value if first.HasField("dim_value") and first.dim_value > 0 else None

"""AU probabilities of variants' files, and of models in memory, on a crop set."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx

from edgeau.runtime.backends import open_backend
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.evaluate import BATCH, predict_aus
from edgeau.runtime.manifest import Manifest


def predict_model(model: onnx.ModelProto, backend: str, crops: CropSet, manifest: Manifest) -> np.ndarray:
    """AU probabilities float32 [N, A] of a model in memory on a backend. Raises BackendError if it fails there."""
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        file = Path(folder) / "model.onnx"
        onnx.save(model, str(file))
        with open_backend(backend, file) as opened:
            return predict_aus(opened, crops.inputs(manifest.takes_neutral), batch_for(file))


def batch_for(file: Path) -> int:
    """The largest batch that a variant's file is run with here: 1 for an engine, whose profile may start there."""
    return (_fixed_batch(file) or BATCH) if file.suffix == ".onnx" else 1


def _fixed_batch(file: Path) -> int | None:
    """The batch size that an ONNX file is fixed to, None where it is dynamic."""
    model = onnx.load(str(file), load_external_data=False)
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    return first.dim_value if first.HasField("dim_value") and first.dim_value > 0 else None

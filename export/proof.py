"""Prove that an exported graph computes what the torch model computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from edgeau.runtime.backends import open_backend
from edgeau.runtime.crop import crop_face
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.detect import default_detector
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.evaluate import predict
from edgeau.runtime.manifest import CropSpec, Parity
from edgeau.runtime.parity import measure_parity
from edgeau.train.models import AuModel

from .graph import Probabilities, input_names, output_names

TOLERANCE = 1e-4
SAMPLES = 6

Outputs = dict[str, np.ndarray]


def prove_parity(
    model: AuModel, file: Path, crop: CropSpec, thresholds: tuple[float, ...], data: str | None = None
) -> Parity:
    """Compare torch with ONNX Runtime on random and real crops, in batches of three and of one.

    Args:
        model: in eval mode.
        file: the exported graph.
        crop: the model's crop rule, for the real crops.
        thresholds: for counting decisions.
        data: data specification of the real crops; None cuts them from ``skimage.data.astronaut()``.

    Raises:
        EdgeauError: a probability differs by more than 1e-4.
    """
    real, origin = _photo_crops(crop) if data is None else _data_crops(data, crop)
    images = np.concatenate([_random_crops(crop.size_px), real])
    # Shifted by one, so that each face is compared with a different picture as its neutral.
    inputs = {name: np.roll(images, shift, axis=0) for shift, name in enumerate(input_names(model))}
    expected = _by_torch(model, inputs)
    with open_backend("onnxruntime", file) as backend:
        for size in (3, 1):
            got = predict(backend.infer, inputs, size)
            for name in output_names(model):
                _require_close(name, expected[name], got[name], size)
    return measure_parity(expected["au"], got["au"], thresholds, f"{SAMPLES} random crops and {origin}", "torch")


def _require_close(name: str, expected: np.ndarray, got: np.ndarray, size: int) -> None:
    error = float(np.abs(expected - got).max())
    # Negated so that NaN fails as well.
    if not error <= TOLERANCE:
        raise EdgeauError(
            f"output {name} of the exported graph differs from torch by {error:.2g} at batch {size}, "
            f"expected at most {TOLERANCE}; nothing was written"
        )


def _by_torch(model: AuModel, inputs: Mapping[str, np.ndarray]) -> Outputs:
    module = Probabilities(model).eval()
    with torch.no_grad():
        rows = [
            module(*(torch.from_numpy(array[i : i + 1].copy()) for array in inputs.values()))
            for i in range(len(inputs["face"]))
        ]
    return {name: torch.cat([row[i] for row in rows]).numpy() for i, name in enumerate(output_names(model))}


def _random_crops(size_px: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SAMPLES, size_px, size_px, 3), np.uint8)


def _photo_crops(crop: CropSpec) -> tuple[np.ndarray, str]:
    """Crops of one face whose points are jittered, as a detector's are from frame to frame."""
    from skimage.data import astronaut

    image = astronaut()
    faces = default_detector().detect(image[:, :, ::-1].copy())
    if not faces:
        raise EdgeauError("no face was found in skimage.data.astronaut(); give crops with --data")
    random = np.random.default_rng(1)
    moved = faces[0].points_xy + random.normal(0, 2, (SAMPLES, 5, 2))
    crops = np.stack([crop_face(image, points, crop) for points in moved])
    return crops, f"{SAMPLES} crops of skimage.data.astronaut()"


def _data_crops(data: str, crop: CropSpec) -> tuple[np.ndarray, str]:
    crops = read_crops(data, crop, limit=SAMPLES).faces
    return crops, f"{len(crops)} crops of {Path(data).name}"

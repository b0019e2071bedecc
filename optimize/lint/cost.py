"""What a fix costs: how far the outputs move, after each pass, as ONNX Runtime's CPU computes them.

Float models lose nothing but rounding. Quantized ones do where a reader has fewer ways to quantize than the file's
writer: TensorRT has no zero points, so ranges become symmetric and an activation that is never negative loses one bit.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Sequence  # noqa: UP035

import numpy as np
import onnx
from onnx import TensorProto

from edgeau.optimize.finish import stages
from edgeau.optimize.finish.integer_operators import first_quantized_range
from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.session import run_each
from edgeau.runtime.crop_set import read_arrays
from edgeau.runtime.crop_source import SHIPPED_PARITY, read_crops
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.parity import finite, sqnr_db

# Evaluated on Python 3.8 too.
Samples = Sequence[Dict[str, np.ndarray]]  # noqa: UP006
FACES = 8
_DEFAULT_SIDE = 224  # where the file leaves height and width open
_NOTICEABLE_DB = 0.1


@dataclass(frozen=True)
class Step:
    """A pass that changed something: its name, what it does, number of changes, and SQNR after it (None: no noise)."""

    name: str
    does: str
    changes: int
    sqnr_db: float | None


@dataclass(frozen=True)
class Cost:
    """What a fix costs.

    Attributes:
        samples: what the models were run on.
        reference: what the outputs are compared with: the file itself, or its float model.
        before_db: SQNR of the file's outputs; None where there is no noise, as against itself.
        steps: passes that changed something, in order.
    """

    samples: str
    reference: str
    before_db: float | None
    steps: tuple[Step, ...]

    @property
    def after_db(self) -> float | None:
        """SQNR of the fixed file's outputs; None where there is no noise."""
        return self.steps[-1].sqnr_db if self.steps else self.before_db

    @property
    def worst(self) -> Step | None:
        """The pass that costs most; None where none costs anything noticeable."""
        levels = [_level(self.before_db), *(_level(step.sqnr_db) for step in self.steps)]
        losses = [before - after for before, after in itertools.pairwise(levels)]
        if not losses or max(losses) < _NOTICEABLE_DB:
            return None
        return self.steps[losses.index(max(losses))]


def measure_cost(
    model: onnx.ModelProto, reader: str, samples: Samples, said: str, float_model: onnx.ModelProto | None = None
) -> Cost:
    """Run a model after each of a reader's passes.

    Args:
        model: the file to fix.
        reader: as `finish` takes it.
        samples: inputs by name.
        said: what they are, for the report.
        float_model: what the file was quantized from; by default outputs are compared with the file's own.

    Raises:
        EdgeauError: ONNX Runtime can't run the file on these inputs.
    """
    own = _outputs(model, samples)
    reference = own if float_model is None else _outputs(float_model, samples)
    if reference.shape != own.shape:
        raise InputError("float model", got=f"{reference.size} output values", expected=f"{own.size}, as the file has")
    steps = []
    for stage, step, report in stages(model, reader):
        if report.modified:
            noise = finite(sqnr_db(reference, _outputs(stage, samples)))
            steps.append(Step(report.name, step, len(report.changed), noise))
    name = "its own outputs" if float_model is None else "its float model"
    return Cost(said, name, finite(sqnr_db(reference, own)), tuple(steps))


def read_inputs(file: Path, model: onnx.ModelProto) -> Samples:
    """Samples from an .npz with one array [N, ...] per input, named as the input. Raises InputError."""
    arrays = read_arrays(file)
    names = sorted(Graph(model).inputs)
    if not set(names) <= set(arrays):
        raise InputError(
            f"inputs {file}", got=f"arrays {', '.join(sorted(arrays)) or 'none'}", expected=", ".join(names)
        )
    count = min(len(arrays[name]) for name in names)
    return [{name: arrays[name][i : i + 1] for name in names} for i in range(count)]


def face_inputs(model: onnx.ModelProto) -> tuple[Samples, str]:
    """The faces that ship with edgeau, resized and scaled to the range that the file was calibrated for.

    Raises:
        InputError: an input is not an image of 1 or 3 channels.
    """
    graph = Graph(model)
    crops = read_crops(SHIPPED_PARITY, CropSpec(), limit=FACES, seed=0).faces
    made = {name: _as_input(graph, name, crops) for name in sorted(graph.inputs)}
    samples = [{name: array[i : i + 1] for name, array in made.items()} for i in range(len(crops))]
    return samples, f"{len(crops)} faces that ship with edgeau"


def _as_input(graph: Graph, name: str, crops_rgb: np.ndarray) -> np.ndarray:
    import cv2

    shape, kind = graph.shape(name), graph.element_type(name)
    if shape is None or len(shape) != 4 or kind not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8):
        raise InputError(f"input {name}", got=f"shape {shape}", expected="images", hint="give --inputs FILE.npz")
    last = shape[3] in (1, 3) and shape[1] not in (1, 3)
    channels, (height, width) = (shape[3], shape[1:3]) if last else (shape[1], shape[2:])
    if channels not in (1, 3):
        raise InputError(f"input {name}", got=f"{channels} channels", expected="1 or 3", hint="give --inputs FILE.npz")
    size = (width or _DEFAULT_SIDE, height or _DEFAULT_SIDE)
    images = np.stack([cv2.resize(crop, size, interpolation=cv2.INTER_AREA) for crop in crops_rgb])
    images = images if channels == 3 else images.mean(axis=3, keepdims=True).astype(np.uint8)
    images = images if last else images.transpose(0, 3, 1, 2)
    if kind == TensorProto.UINT8:
        return np.ascontiguousarray(images)
    lowest, highest = first_quantized_range(graph, name) or (0.0, 1.0)
    scaled = images.astype(np.float32) / 255 * (highest - lowest) + lowest
    return scaled.astype(np.float16 if kind == TensorProto.FLOAT16 else np.float32)


def _outputs(model: onnx.ModelProto, samples: Samples) -> np.ndarray:
    """All output values of all samples. Raises EdgeauError."""
    try:
        found = [np.asarray(output, np.float64).ravel() for outputs in run_each(model, samples) for output in outputs]
    except (RuntimeError, ValueError, TypeError) as error:
        raise EdgeauError(f"ONNX Runtime can't run it: {str(error).strip().splitlines()[0]}") from error
    return np.concatenate(found)


def _level(decibels: float | None) -> float:
    """Noise below 100 dB doesn't count."""
    return 100.0 if decibels is None else min(decibels, 100.0)

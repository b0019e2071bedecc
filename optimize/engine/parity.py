"""Does the engine still say the same? Engine against the FP32 ONNX, on this device, on real crops.

The reference outputs come with the crops (a bundle's ``parity.npz`` has them), or are computed here where ONNX Runtime
or OpenVINO is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from edgeau.runtime.backends import Backend, missing, open_backend
from edgeau.runtime.crop_set import read_crops
from edgeau.runtime.errors import EngineError, InputError
from edgeau.runtime.manifest import Manifest, Parity, Variant
from edgeau.runtime.package import Package
from edgeau.runtime.parity import cosine, measure_parity, sqnr_db

DEFAULT_CROPS = "synthetic:subjects=4,frames=8,seed=7"
REFERENCE_KEY = "reference"
Inputs = Mapping[str, np.ndarray]
Run = Callable[[Inputs], Dict[str, np.ndarray]]


@dataclass(frozen=True)
class Evidence:
    """Crops and what the FP32 ONNX says of them.

    Attributes:
        inputs: uint8 [N, H, W, 3] by input name.
        reference: float32 [N, A], the FP32 variant's probabilities.
        data: what the crops are, for the record.
        variant: name of the FP32 variant.
    """

    inputs: Inputs
    reference: np.ndarray
    data: str
    variant: str


@dataclass(frozen=True)
class Bound:
    """What an engine may differ from FP32.

    Attributes:
        mean_abs_error: of probabilities, 0..1.
        flipped_share: share of AU decisions that may flip, 0..1.
    """

    mean_abs_error: float
    flipped_share: float

    def broken_by(self, parity: Parity) -> Optional[str]:
        """What of it a measured parity exceeds, in words; None where it holds."""
        share = parity.decisions_flipped / parity.decisions
        if parity.mean_abs_error > self.mean_abs_error:
            return f"mean error {parity.mean_abs_error:.4g} exceeds {self.mean_abs_error:.4g}"
        if share > self.flipped_share:
            flipped = f"{parity.decisions_flipped} of {parity.decisions} AU decisions flipped"
            return f"{flipped}, more than {self.flipped_share:.2%}"
        return None


# What rounding alone gives, with room: FP16 has 11 bits of significand, INT8 two decimal digits a layer.
BOUNDS = {
    "fp32": Bound(1e-4, 0.002),
    "fp16": Bound(5e-3, 0.01),
    "mixed": Bound(0.03, 0.05),
    "int8": Bound(0.03, 0.05),
}


def bound_for(precision: str, variant: Variant) -> Bound:
    """The bound of a precision, widened to twice what the ONNX variant itself was measured to differ from FP32."""
    bound, known = BOUNDS[precision], variant.parity
    if known is None or variant.precision == "fp32" or not known.decisions:
        return bound
    return Bound(
        max(bound.mean_abs_error, 2 * known.mean_abs_error),
        max(bound.flipped_share, 2 * known.decisions_flipped / known.decisions),
    )


def gather(package: Package, fp32: Variant, spec: str, *, limit: int = 64) -> Evidence:
    """Read crops and their reference outputs, or compute these.

    Raises:
        InputError: the crops can't be read, the stored reference does not fit them, or there is neither a stored one
            nor a backend to compute it with.
    """
    manifest = package.manifest
    crops = read_crops(spec, manifest.crop, limit=None if spec.endswith(".npz") else limit)
    inputs = crops.inputs(manifest.takes_neutral)
    stored = _stored_reference(spec)
    if stored is not None:
        if stored.shape != (len(crops), len(manifest.aus)):
            raise InputError(
                f"reference in {spec}", got=f"shape {list(stored.shape)}", expected=str([len(crops), len(manifest.aus)])
            )
        return Evidence(inputs, stored.astype(np.float32), spec, fp32.name)
    return Evidence(inputs, reference_outputs(package, fp32, inputs), spec, fp32.name)


def reference_outputs(package: Package, fp32: Variant, inputs: Inputs) -> np.ndarray:
    """Probabilities float32 [N, A] of the FP32 ONNX. Raises InputError where no backend here can run it."""
    for name in ("onnxruntime", "openvino"):
        if name in fp32.backends and missing(name) is None:
            with open_backend(name, package.file(fp32)) as backend:
                return predict(backend.infer, inputs, (1, 16, 16))["au"]
    raise InputError(
        "reference for parity",
        got="crops without stored outputs and neither onnxruntime nor openvino installed",
        hint="give --crops a parity.npz from a bundle (`edgeau build PACKAGE --target BOARD` makes one)",
    )


def predict(run: Run, inputs: Inputs, batch: Tuple[int, int, int]) -> Dict[str, np.ndarray]:
    """Outputs by name of all crops, in batches that the profile ``batch`` (smallest, preferred, largest) allows."""
    count = len(next(iter(inputs.values())))
    parts: List[Dict[str, np.ndarray]] = []
    for start in range(0, count, batch[1]):
        rows = np.arange(start, min(start + batch[1], count))
        # The last batch may be smaller than the profile allows: it is filled with its first crop, and cut again.
        padded = np.concatenate([rows, np.full(max(0, batch[0] - len(rows)), rows[0])])
        outputs = run({name: np.ascontiguousarray(array[padded]) for name, array in inputs.items()})
        parts.append({name: np.array(array[: len(rows)]) for name, array in outputs.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def check_engine(
    backend: Backend, evidence: Evidence, manifest: Manifest, batch: Tuple[int, int, int]
) -> Tuple[Parity, float]:
    """Parity of an open engine with the FP32 ONNX, and the cosine of their outputs.

    Raises:
        BackendError: the engine can't be run, or gave values that are not numbers.
    """
    outputs = predict(backend.infer, evidence.inputs, batch)["au"].astype(np.float32)
    parity = measure_parity(evidence.reference, outputs, manifest.thresholds, evidence.data, evidence.variant)
    return parity, cosine(evidence.reference, outputs)


def suspect_range(names: Sequence[str], reference: Inputs, outputs: Inputs) -> str:
    """Where two runs of one graph part: the tensors between which the signal to noise ratio falls most.

    Args:
        names: inner tensors in the order of the graph; those that one of the runs lacks are left out.
        reference, outputs: float arrays by tensor name, of FP32 and of the engine that is judged.

    Raises:
        EngineError: the runs share no inner tensor.
    """
    shared = [name for name in names if name in reference and name in outputs]
    if not shared:
        raise EngineError("the FP32 and the quantized graph share no inner tensor")
    ratios = [sqnr_db(reference[name], outputs[name]) for name in shared]
    levels = [120.0] + [120.0 if ratio is None else ratio for ratio in ratios]
    falls = [before - after for before, after in zip(levels, levels[1:])]
    worst = int(np.argmax(falls))
    start = shared[worst - 1] if worst else "the input"
    return f"between {start} ({levels[worst]:.0f} dB) and {shared[worst]} ({levels[worst + 1]:.0f} dB)"


def widest_quantizers(ranges: Sequence[Tuple[str, float]], count: int = 3) -> str:
    """The quantizers with the widest ranges, hence the coarsest steps: the suspects where no layer can be compared."""
    widest = sorted(ranges, key=lambda item: -item[1])[:count]
    return ", ".join(f"{name} (range {size:.3g})" for name, size in widest)


def _stored_reference(spec: str) -> Optional[np.ndarray]:
    if not (spec.endswith(".npz") and Path(spec).is_file()):
        return None
    with np.load(spec) as arrays:
        return np.asarray(arrays[REFERENCE_KEY]) if REFERENCE_KEY in arrays.files else None

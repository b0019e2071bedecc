"""How much an engine may differ from the FP32 ONNX, measured on the device that it was built on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from edgeau.runtime.backends import Backend
from edgeau.runtime.evaluate import predict_aus
from edgeau.runtime.manifest import Manifest, Parity, Variant
from edgeau.runtime.parity import cosine, measure_parity
from edgeau.runtime.parity_crops import Evidence


@dataclass(frozen=True)
class Bound:
    """How far an engine may be from FP32.

    Attributes:
        mean_abs_error: of probabilities, 0..1.
        flipped_share: share of AU decisions that may flip, 0..1.
    """

    mean_abs_error: float
    flipped_share: float

    def broken_by(self, parity: Parity) -> Optional[str]:
        """How a measured parity exceeds the bound, in words; None if it does not."""
        share = parity.decisions_flipped / parity.decisions
        if parity.mean_abs_error > self.mean_abs_error:
            return f"mean error {parity.mean_abs_error:.4g} exceeds {self.mean_abs_error:.4g}"
        if share > self.flipped_share:
            flipped = f"{parity.decisions_flipped} of {parity.decisions} AU decisions flipped"
            return f"{flipped}, more than {self.flipped_share:.2%}"
        return None


# What rounding alone causes, with room: FP16 has 11 bits of significand, INT8 about two decimal digits per layer.
BOUNDS = {
    "fp32": Bound(1e-4, 0.002),
    "fp16": Bound(5e-3, 0.01),
    "mixed": Bound(0.03, 0.05),
    "int8": Bound(0.03, 0.05),
}


def bound_for(precision: str, variant: Variant) -> Bound:
    """The bound of a precision, or twice the difference from FP32 that the ONNX variant itself has, if that is more."""
    bound, known = BOUNDS[precision], variant.parity
    if known is None or variant.precision == "fp32" or not known.decisions:
        return bound
    return Bound(
        max(bound.mean_abs_error, 2 * known.mean_abs_error),
        max(bound.flipped_share, 2 * known.decisions_flipped / known.decisions),
    )


def check_engine(
    backend: Backend, evidence: Evidence, manifest: Manifest, batch: Tuple[int, int, int]
) -> Tuple[Parity, float]:
    """Parity of an open engine with the FP32 ONNX, and the cosine of their outputs.

    Raises:
        BackendError: the engine can't be run, or its outputs are NaN or infinite.
    """
    outputs = predict_aus(backend, evidence.inputs, batch[1], batch[0])
    parity = measure_parity(evidence.reference, outputs, manifest.thresholds, evidence.data, evidence.variant.name)
    return parity, cosine(evidence.reference, outputs)

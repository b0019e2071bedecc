"""Compare a model's AU probabilities with those of a reference, by the same measures for every backend and device."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np

from .errors import BackendError, InputError
from .manifest import Parity


def measure_parity(
    reference_outputs: np.ndarray,
    outputs: np.ndarray,
    thresholds: Sequence[float],
    data: str,
    reference_name: str,
) -> Parity:
    """Compare AU probabilities with those of a reference on the same crops.

    Args:
        reference_outputs: float [N, A], probabilities 0..1 of the reference.
        outputs: float [N, A], probabilities of the variant.
        thresholds: A presence thresholds; a probability of at least its threshold counts as present.
        data: the crops' data specification, for reports.
        reference_name: variant that produced ``reference_outputs``, or ``torch``.

    Raises:
        InputError: the arrays' shapes differ.
        BackendError: a value is NaN or infinite.
    """
    if reference_outputs.shape != outputs.shape or outputs.ndim != 2 or outputs.shape[1] != len(thresholds):
        raise InputError(
            "outputs to compare",
            got=f"{list(reference_outputs.shape)} and {list(outputs.shape)}",
            expected=f"both [N, {len(thresholds)}]",
        )
    if not (np.isfinite(outputs).all() and np.isfinite(reference_outputs).all()):
        bad = int((~np.isfinite(outputs)).sum()) or int((~np.isfinite(reference_outputs)).sum())
        raise BackendError(f"{bad} of {outputs.size} outputs are NaN or infinite on {data}")
    error = np.abs(outputs.astype(np.float64) - reference_outputs.astype(np.float64))
    return Parity(
        reference=reference_name,
        data=data,
        samples=len(outputs),
        max_abs_error=float(error.max(initial=0.0)),
        mean_abs_error=float(error.mean()) if error.size else 0.0,
        sqnr_db=finite(sqnr_db(reference_outputs, outputs)),
        decisions=int(outputs.size),
        decisions_flipped=decisions_flipped(reference_outputs, outputs, thresholds),
    )


def sqnr_db(reference: np.ndarray, outputs: np.ndarray) -> float:
    """Signal to quantization noise ratio in decibels, 10 log10(sum r^2 / sum (r - o)^2), in float64.

    Args:
        reference, outputs: float arrays of the same shape, any number of dimensions.

    Returns:
        Infinity if the two are equal; minus infinity if they are not and the reference is zero throughout.

    Raises:
        InputError: the shapes differ.
    """
    if reference.shape != outputs.shape:
        raise InputError("outputs to compare", got=f"shape {outputs.shape}", expected=f"shape {reference.shape}")
    signal = float(np.square(reference, dtype=np.float64).sum())
    noise = float(np.square(np.subtract(reference, outputs, dtype=np.float64)).sum())
    if noise == 0.0:
        return float("inf")
    return 10.0 * float(np.log10(signal / noise)) if signal > 0.0 else float("-inf")


def finite(value: float) -> Optional[float]:
    """The value for a JSON record, which has no infinity: None if it is infinite."""
    return value if np.isfinite(value) else None


def cosine(reference: np.ndarray, outputs: np.ndarray) -> float:
    """Cosine of the angle between all outputs as one vector and the reference's; 1 if they have the same direction."""
    a, b = reference.astype(np.float64).ravel(), outputs.astype(np.float64).ravel()
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else 1.0


def decisions_flipped(reference: np.ndarray, outputs: np.ndarray, thresholds: Sequence[float]) -> int:
    """Number of AU decisions (present or absent) that differ between two [N, A] arrays of probabilities."""
    limits = np.asarray(thresholds, np.float64)
    return int(((reference >= limits) != (outputs >= limits)).sum())

"""How far one set of AU probabilities is from another: the same arithmetic for every backend and every device."""

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
        outputs: float [N, A], of the variant that is judged.
        thresholds: A presence thresholds; a probability at its threshold or above counts as present.
        data: what the crops were, for the record.
        reference_name: variant that gave ``reference_outputs``, or ``torch``.

    Raises:
        InputError: the arrays' shapes differ.
        BackendError: a value is NaN or infinite, so that nothing can be said of it.
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
        sqnr_db=sqnr_db(reference_outputs, outputs),
        decisions=int(outputs.size),
        decisions_flipped=decisions_flipped(reference_outputs, outputs, thresholds),
    )


def sqnr_db(reference: np.ndarray, outputs: np.ndarray) -> Optional[float]:
    """Signal to quantization noise ratio, 10 log10(sum r^2 / sum (r - o)^2), in decibels; None where identical."""
    exact = reference.astype(np.float64)
    noise = float(np.square(exact - outputs).sum())
    signal = float(np.square(exact).sum())
    if noise == 0.0 or signal == 0.0:
        return None
    return 10.0 * float(np.log10(signal / noise))


def cosine(reference: np.ndarray, outputs: np.ndarray) -> float:
    """Cosine of the angle between all outputs as one vector and the reference's; 1 where they point the same way."""
    a, b = reference.astype(np.float64).ravel(), outputs.astype(np.float64).ravel()
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else 1.0


def decisions_flipped(reference: np.ndarray, outputs: np.ndarray, thresholds: Sequence[float]) -> int:
    """How many AU decisions (present or absent) differ between two [N, A] arrays of probabilities."""
    limits = np.asarray(thresholds, np.float64)
    return int(((reference >= limits) != (outputs >= limits)).sum())

"""The plot of a clip: presence of each AU over time."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from edgeau.benchmarks.plots import PALETTE


def clip_curves(aus: Sequence[str], time_s: np.ndarray, presence: np.ndarray) -> bytes:
    """A PNG with one strip per AU: presence 0..1 over time, with the mean of half a second drawn over the raw values.

    Args:
        aus: A names.
        time_s: float [T].
        presence: float [T, A].
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 0.62 * len(aus) + 0.8), layout="constrained")
    strips = figure.subplots(len(aus), sharex=True, squeeze=False)[:, 0]
    width = max(1, round(0.5 / max(1e-6, float(np.median(np.diff(time_s))))))
    kernel = np.ones(width) / width
    for strip, au, values in zip(strips, aus, presence.T, strict=True):
        smooth = np.convolve(np.pad(values, width // 2, mode="edge"), kernel, mode="valid")[: len(values)]
        strip.fill_between(time_s, values, color="#c9d6e2", linewidth=0)
        strip.plot(time_s[: len(smooth)], smooth, color=PALETTE[0], linewidth=1.4)
        strip.axhline(0.5, color="#9aa5b1", linewidth=0.6)
        strip.set_ylim(0, 1)
        strip.set_yticks([])
        strip.set_ylabel(au, rotation=0, ha="right", va="center", fontsize=9)
        strip.spines[["top", "right"]].set_visible(False)
    strips[-1].set_xlabel("s")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()

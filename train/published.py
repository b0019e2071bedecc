"""F1 that publications report under the three-fold protocol, with the source of each figure.

The papers' own tables could not be read. These are the rows that a later paper re-printed, or what an abstract says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeau.runtime.action_units import BP4D, DISFA

_MDHR = "as printed in MDHR (CVPR 2024, arXiv 2404.06443)"


@dataclass(frozen=True)
class Published:
    """One row of a table.

    Attributes:
        family: of our model after it, as in FAMILIES.
        f1: percent by AU; empty where only the mean is known.
        mean_f1: percent, over the AUs.
    """

    title: str
    family: str
    data: str
    f1: Mapping[str, float] = field(default_factory=dict)
    mean_f1: float = 0.0
    source: str = ""


def _row(aus: tuple[str, ...], *values: float) -> dict[str, float]:
    return dict(zip(aus, values, strict=True))


PUBLISHED = (
    Published(
        "FAN-Trans", "fan-trans", "bp4d",
        _row(BP4D, 55.4, 46.0, 59.8, 78.7, 77.7, 82.7, 88.6, 64.7, 51.4, 65.7, 50.9, 56.0), 64.8, _MDHR,
    ),
    Published(
        "FAN-Trans", "fan-trans", "disfa", _row(DISFA, 56.4, 50.2, 68.6, 49.2, 57.6, 75.6, 93.6, 58.8), 63.8, _MDHR
    ),
    Published(
        "SMA-Net", "sma-net", "bp4d",
        _row(BP4D, 56.5, 45.1, 57.0, 79.5, 79.5, 84.5, 86.4, 66.1, 55.8, 64.2, 48.7, 56.8), 64.9, _MDHR,
    ),
    Published(
        "SMA-Net", "sma-net", "disfa", _row(DISFA, 53.4, 54.2, 64.0, 57.0, 47.0, 76.6, 92.0, 55.2), 62.4,
        f"{_MDHR}; the mean is that of the row, which has 64.2 printed beside it",
    ),
    Published("EAU", "eau", "bp4d", mean_f1=63.5, source="its abstract (SPIE 12171)"),
)  # fmt: skip


def published_for(data: str | None, family: str) -> tuple[Published, ...]:
    """What is known of a family's paper on a data set."""
    return tuple(row for row in PUBLISHED if row.data == data and row.family == family)

"""Models after four papers, redesigned from their abstracts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgeau.runtime.errors import InputError

from .base import AuModel, ModelConfig, ModelOutput, config_from
from .cednn import Cednn, CednnConfig
from .eau import Eau, EauConfig
from .fan_trans import FanTrans, FanTransConfig
from .sma_net import SmaNet, SmaNetConfig

__all__ = ["FAMILIES", "PRESETS", "AuModel", "ModelConfig", "ModelOutput", "build_model", "resolve_model"]


@dataclass(frozen=True)
class Family:
    """A model class and its configuration class."""

    config: type[ModelConfig]
    model: Callable[[Any], AuModel]


FAMILIES: Mapping[str, Family] = {
    "cednn": Family(CednnConfig, Cednn),
    "fan-trans": Family(FanTransConfig, FanTrans),
    "sma-net": Family(SmaNetConfig, SmaNet),
    "eau": Family(EauConfig, Eau),
}
"""The model families by name."""

PRESETS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    # Crops are aligned, so the classifier benefits from seeing each position: with a grid of 7, cednn-s reached an F1
    # of 0.40 after 250 steps of 32, with a global average 0.00.
    "cednn-s": (
        "cednn",
        {"stem_width": 16, "widths": (16, 32, 64, 96), "depths": (1, 1, 2, 1), "head_grid": 0},
    ),
    "cednn-m": ("cednn", {"head_grid": 0}),
    "cednn-l": (
        "cednn",
        {"stem_width": 48, "widths": (48, 96, 160, 192), "depths": (1, 2, 3, 2), "head_grid": 0},
    ),
    "cednn-dw": (
        "cednn",
        {"widths": (32, 64, 128, 208), "depths": (1, 2, 3, 2), "group_width": 1, "head_grid": 0},
    ),
    # For the smallest boards: a third of cednn-m's time. Few channels where the image is large, more where it is small.
    "cednn-xs": (
        "cednn",
        {
            "size_px": 96,
            "stem_width": 16,
            "widths": (16, 48, 96, 192),
            "depths": (1, 1, 3, 2),
            "group_width": 1,
            "head_grid": 0,
        },
    ),
    # With a FAN trained on rendered faces: one size for two CPU cores, one for a GPU. Such a FAN is not frozen: after
    # 260 steps of 32 the F1 was 0.49, with the FAN frozen 0.39 (and that with ``difference``).
    "fan-trans-s": (
        "fan-trans",
        {"size_px": 112, "fan_width": 64, "fan_depth": 2, "width": 64, "addon_blocks": 2, "freeze_fan": False},
    ),
    "fan-trans-m": (
        "fan-trans",
        {"size_px": 128, "fan_width": 128, "fan_depth": 3, "width": 96, "freeze_fan": False},
    ),
    # For ibug's 2dfan2 weights.
    "fan-trans-full": ("fan-trans", {"pixels": "scaled"}),
    "sma-net-s": ("sma-net", {}),
    "sma-net-full": (
        "sma-net",
        {"size_px": 224, "widths": (64, 128, 256, 512), "depths": (2, 2, 2, 2), "attention_channels": 8},
    ),
    "eau-s": ("eau", {}),
    "eau-full": (
        "eau",
        {"size_px": 224, "widths": (64, 128, 256, 512), "depths": (2, 2, 2, 2), "branch_width": 256, "gate_width": 64},
    ),
}
"""Named sizes: a family, and the values that differ from its configuration's defaults. All sizes are ours."""


def build_model(family: str, config: Mapping[str, Any]) -> AuModel:
    """Build a model with randomly initialised weights.

    Args:
        family: one of FAMILIES.
        config: plain values of that family's configuration; ``aus`` is required, the rest has defaults.

    Raises:
        InputError: unknown family, unknown or impossible value.
    """
    if family not in FAMILIES:
        raise InputError("model family", got=repr(family), expected=", ".join(FAMILIES))
    entry = FAMILIES[family]
    return entry.model(config_from(entry.config, config))


def input_px(name: str, overrides: Mapping[str, Any]) -> int:
    """Side of the crops that a preset or family takes; 0 for other names."""
    family, values = PRESETS.get(name, (name, {}))
    if family not in FAMILIES:
        return 0
    side = {"size_px": FAMILIES[family].config.size_px, **values, **overrides}["size_px"]
    return side if isinstance(side, int) else 0


def resolve_model(name: str, overrides: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Family and configuration of a preset, or of a family with its defaults.

    Args:
        name: one of PRESETS or FAMILIES, such as ``cednn-s``.
        overrides: values that replace the preset's; ``aus`` is required.

    Raises:
        InputError: unknown name, unknown or impossible value.
    """
    if name not in PRESETS and name not in FAMILIES:
        raise InputError("model", got=repr(name), expected=", ".join([*PRESETS, *FAMILIES]))
    family, values = PRESETS.get(name, (name, {}))
    return family, config_from(FAMILIES[family].config, {**values, **overrides}).to_dict()

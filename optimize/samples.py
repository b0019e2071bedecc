"""Crops as inputs of a graph, one at a time: what calibration and checks of value ranges run on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeau.runtime.crop_set import CropSet, spread
from edgeau.runtime.manifest import Manifest

# Enough crops to show which values exceed the range of half precision.
RANGE_CROPS = 32


def graph_inputs(crops: CropSet, manifest: Manifest) -> list[dict[str, np.ndarray]]:
    """The graph's inputs by name, one crop each: uint8 [1, H, W, 3]."""
    inputs = crops.inputs(manifest.takes_neutral)
    return [{name: array[i : i + 1] for name, array in inputs.items()} for i in range(len(crops))]


def some(samples: Sequence[dict[str, np.ndarray]], count: int) -> list[dict[str, np.ndarray]]:
    """At most ``count`` of the samples, evenly spread, because neighbours show the same subject."""
    return [samples[index] for index in spread(len(samples), count)]

"""Calibration and evaluation crops: read, and refused in one line where they can't tell a quantizer anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeau.runtime.crop_set import CropSet, spread
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import Manifest


def read_calibration(spec: str, manifest: Manifest, *, samples: int, seed: int) -> tuple[CropSet, dict[str, Any]]:
    """Crops to calibrate on, and what to write down about them.

    A model on difference images whose data has no neutrals is calibrated against the median crop instead, which is
    noted: compared with itself a face shows no difference at all, and the maps would be calibrated to nothing.

    Raises:
        InputError: nothing there, or every crop is the same, so that no range can be learnt.
    """
    if samples < 1:
        raise InputError("--samples", got=str(samples), expected="1 or more")
    crops = read_crops(spec, manifest.crop, limit=samples, seed=seed)
    _require_variety(crops, spec)
    neutral = "from the data"
    if not manifest.takes_neutral:
        neutral = "not used"
    elif np.array_equal(crops.faces, crops.neutrals):
        crops = _against_median(crops, spec)
        neutral = "median crop, because the data has none"
    notes = {"data": spec, "sha256": crops.sha256, "samples": len(crops), "seed": seed, "neutral": neutral}
    return crops, notes


def graph_inputs(crops: CropSet, manifest: Manifest) -> list[dict[str, np.ndarray]]:
    """The graph's inputs by name, one crop each: uint8 [1, H, W, 3]."""
    inputs = crops.inputs(manifest.takes_neutral)
    return [{name: array[i : i + 1] for name, array in inputs.items()} for i in range(len(crops))]


def some(samples: Sequence[dict[str, np.ndarray]], count: int) -> list[dict[str, np.ndarray]]:
    """At most so many of them, from all over: neighbours are of one subject."""
    return [samples[index] for index in spread(len(samples), count)]


def _require_variety(crops: CropSet, spec: str) -> None:
    if (crops.faces == crops.faces.flat[0]).all():
        raise InputError(f"calibration data {spec}", got=f"{len(crops)} crops of one colour", expected="faces")
    if len(crops) > 1 and (crops.faces == crops.faces[:1]).all():
        raise InputError(
            f"calibration data {spec}", got=f"one crop {len(crops)} times", expected="different faces and expressions"
        )


def _against_median(crops: CropSet, spec: str) -> CropSet:
    if len(crops) < 2:
        raise InputError(
            f"calibration data {spec}", got="one crop without a neutral", expected="neutrals, or several crops",
            hint="this model compares faces with neutrals; use a folder from `edgeau synth` or an .npz with neutrals",
        )  # fmt: skip
    median = np.median(crops.faces, axis=0).astype(np.uint8)
    return dataclasses.replace(crops, neutrals=np.broadcast_to(median, crops.faces.shape).copy())

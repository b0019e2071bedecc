"""Calibration crops: reading them, and refusing those that no range can be learnt from."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import Manifest


def read_calibration(spec: str, manifest: Manifest, *, samples: int, seed: int) -> tuple[CropSet, dict[str, Any]]:
    """Crops to calibrate on, and notes about them for the manifest.

    For a model on difference images and data without neutrals, the median crop is used as neutral, and the notes say
    so: a face compared with itself has no difference, so the maps would be calibrated to nothing.

    Raises:
        InputError: no crops, or all are the same.
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
            f"calibration data {spec}",
            got="one crop without a neutral",
            expected="neutrals, or several crops",
            hint="this model compares faces with neutrals; use a folder from `edgeau synth` or an .npz with neutrals",
        )
    median = np.median(crops.faces, axis=0).astype(np.uint8)
    return dataclasses.replace(crops, neutrals=np.broadcast_to(median, crops.faces.shape).copy())

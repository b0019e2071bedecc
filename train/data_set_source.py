"""Licensed data sets as crop sources, for the verbs that read crops without torch: ``--calib bp4d:FOLDER``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from edgeau.runtime.crop_set import CropSet, read_crop_set
from edgeau.runtime.manifest import CropSpec

from .convert import data_set_crops


def _source(word: str) -> Callable[..., CropSet]:
    def crops(options: str, crop: CropSpec, *, limit: int | None, seed: int) -> CropSet:  # noqa: ARG001 - a source's form
        folder = data_set_crops(word, Path(options), crop)
        return dataclasses.replace(read_crop_set(folder, crop.size_px, limit), origin=f"{word}:{options}")

    return crops


# Entry points in pyproject.toml name these.
bp4d, bp4dplus, disfa, disfaplus = map(_source, ("bp4d", "bp4dplus", "disfa", "disfaplus"))
ckplus, mmi, bu3dfe = map(_source, ("ckplus", "mmi", "bu3dfe"))

"""Faces that several of the runtime's tests share."""

from __future__ import annotations

from typing import List

import numpy as np
import pytest

from edgeau.runtime.crop_source import SHIPPED_PARITY, read_crops
from edgeau.runtime.look import look_of
from edgeau.runtime.manifest import CropSpec


@pytest.fixture(scope="session")
def two_people() -> List[np.ndarray]:
    """The two least similar faces of the shipped package's parity crops, each uint8 [112, 112, 3], RGB."""
    crops = read_crops(SHIPPED_PARITY, CropSpec(112))
    looks = np.stack([look_of(face) for face in crops.faces])
    first, second = np.unravel_index(np.argmin(looks @ looks.T), (len(looks), len(looks)))
    return [crops.faces[first], crops.faces[second]]

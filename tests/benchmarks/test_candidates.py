"""Candidates for measurement, and the accuracy in a record."""

import numpy as np

from edgeau.benchmarks.candidates import accuracy
from edgeau.runtime.backends import FakeBackend
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.manifest import CropSpec, InputSpec, Manifest


def test_an_au_without_positives_has_no_f1_and_is_left_out_of_the_mean():
    # The fake backend returns the mean of a face's pixels for every AU: 1, 1, 0, 0.
    faces = np.stack([np.full((4, 4, 3), level, np.uint8) for level in (255, 255, 0, 0)])
    intensity = np.array([[5, 0], [0, 0], [5, np.nan], [0, 0]], np.float32)
    crops = CropSet(faces, faces, ("AU01", "AU02"), intensity, ("",) * 4, "here")
    manifest = Manifest(
        name="fake", family="fake", aus=("AU01", "AU02"), thresholds=(0.5, 0.5), inputs=(InputSpec("face", 4, 4),),
        crop=CropSpec(4),
    )  # fmt: skip
    record = accuracy(FakeBackend({"face": (4, 4, 3)}, 2), crops, manifest)
    assert record == {"data": "here", "samples": 4, "f1": {"AU01": 0.5, "AU02": None}, "mean_f1": 0.5}

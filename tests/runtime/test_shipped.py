"""The shipped package and its result for a real photo of a smiling woman."""

from __future__ import annotations

import numpy as np

from edgeau.runtime import Package, load
from edgeau.runtime.package import shipped_package

# Only what is obvious to the eye, so that the weights may change.
SEEN, NOT_SEEN = ("AU12", "AU25"), ("AU04", "AU15")


def test_the_astronaut_smiles_with_parted_lips_and_does_not_frown(photo_bgr: np.ndarray) -> None:
    with load() as analyzer:
        (face,) = analyzer.still(photo_bgr)
    assert [au for au in SEEN if not face.present[au]] == []
    assert [au for au in NOT_SEEN if face.present[au]] == []


def test_the_shipped_package_is_intact_small_and_states_its_provenance() -> None:
    package = Package.open(shipped_package())
    package.verify()
    assert package.variant("fp32").size_bytes < 2_000_000
    for key in ("command", "seed", "data", "commit", "metrics"):
        assert package.manifest.provenance[key] not in (None, "", {}, []), key
    assert "synthetic" in package.manifest.notes.lower() or "rendered" in package.manifest.notes.lower()

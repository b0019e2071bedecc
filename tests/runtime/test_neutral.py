from __future__ import annotations

import numpy as np

from edgeau.runtime.manifest import NeutralSpec
from edgeau.runtime.neutral import PROBE_EVERY, NeutralReference


def crop(value: int) -> np.ndarray:
    return np.full((4, 4, 3), value, np.uint8)


def test_first_is_the_median_of_the_first_frames_and_then_fixed() -> None:
    reference = NeutralReference(NeutralSpec("first", 3))
    for value in (10, 90, 20):
        assert reference.image is None
        reference.add(crop(value), activity=0.5)
    assert reference.image is not None
    assert np.array_equal(reference.image, crop(20))
    assert not reference.wants_probe


def test_running_uses_the_least_active_frames_so_far() -> None:
    reference = NeutralReference(NeutralSpec("running", 3))
    for value, activity in [(10, 0.1), (90, 0.9), (91, 0.8), (20, 0.1), (30, 0.2)]:
        reference.add(crop(value), activity)
    assert reference.image is not None
    assert np.array_equal(reference.image, crop(20))


def test_running_probes_periodically_once_ready() -> None:
    reference = NeutralReference(NeutralSpec("running", 2))
    probes = 0
    for _ in range(10 * PROBE_EVERY):
        if reference.wants_probe:
            probes += 1
            reference.add(crop(1), 0.5)
        else:
            reference.skip()
    assert 10 <= probes <= 13


def test_given_is_ready_at_once_and_none_is_never_ready() -> None:
    assert NeutralReference(NeutralSpec("given"), crop(5)).image is not None
    never = NeutralReference(NeutralSpec("none"))
    assert never.image is None
    assert not never.wants_probe

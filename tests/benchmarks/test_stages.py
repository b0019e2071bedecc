"""The stages of the shipped package on a real photo."""

import pytest

from edgeau.benchmarks.stages import MIN_CALLS, STAGES, measure_stages, photo_bgr
from edgeau.runtime.package import shipped_package


def test_the_stages_of_a_photo_add_up_to_the_total():
    stages = measure_stages(shipped_package(), photo_bgr(), "photo", seconds=0.0)
    assert (stages.faces, stages.calls, stages.image) == (1, MIN_CALLS, "photo, 512x512")
    assert all(getattr(stages, name) >= 0 for name in STAGES)
    # The medians of the stages don't add up exactly to that of the total.
    assert sum(getattr(stages, name) for name in STAGES) == pytest.approx(stages.total_ms, rel=0.5)

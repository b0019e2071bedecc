from __future__ import annotations

import numpy as np
import pytest

from edgeau.benchmarks.studies.running_neutral import FRAMES, PARTS, Video, compare, follow, order_of
from edgeau.runtime import load
from edgeau.runtime.crop_source import SHIPPED_PARITY, read_crops
from edgeau.train.faces.plan.sequences import plan_subject


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    """Videos of two people, each with eight rendered frames that repeat."""
    with load() as analyzer:
        crops = read_crops(SHIPPED_PARITY, analyzer.manifest.crop)
        intensity = crops.intensity_of(analyzer.manifest.aus)
    people = []
    for first in (0, 8):
        faces, labels = crops.faces[first : first + 8], intensity[first : first + 8]
        people.append(Video(np.tile(faces, (3, 1, 1, 1)), crops.neutrals[first], np.tile(labels, (3, 1))))
    return people


def test_a_video_is_one_session_with_intact_sequences() -> None:
    samples = plan_subject(1, 3, FRAMES)
    assert len({sample.spec.scene_seed for sample in samples}) == 1
    order = order_of(samples, np.random.default_rng(0))
    assert sorted(order) == list(range(FRAMES))
    places = {index: place for place, index in enumerate(order)}
    for before, after in zip(range(FRAMES), range(1, FRAMES), strict=False):
        if samples[before].sequence == samples[after].sequence:
            assert places[after] == places[before] + 1


def test_a_running_neutral_is_used_from_the_frame_after_it_is_ready(videos: list[Video]) -> None:
    with load() as analyzer:
        frames = analyzer.manifest.neutral.frames
        alone, _ = follow(analyzer, videos[0], "none")
        running, ready = follow(analyzer, videos[0], "running")
    assert ready.tolist() == [i >= frames for i in range(24)]
    assert running[:frames] == pytest.approx(alone[:frames], abs=1e-5)
    assert np.abs(running[frames:] - alone[frames:]).max() > 1e-3


def test_the_true_neutral_has_no_difference_from_itself(videos: list[Video]) -> None:
    with load() as analyzer:
        outcomes = compare(analyzer, videos)
    assert [outcome.policy for outcome in outcomes] == list(PARTS)
    assert (outcomes[0].difference, outcomes[0].low, outcomes[0].high) == (0, 0, 0)

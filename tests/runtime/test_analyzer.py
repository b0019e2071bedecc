from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeau.runtime.analyzer import Analyzer
from edgeau.runtime.backends import FakeBackend
from edgeau.runtime.detect import HaarDetector
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import InputSpec, Manifest, NeutralSpec

SHAPES = {"face": (112, 112, 3), "neutral": (112, 112, 3)}


def make(policy: str = "running", frames: int = 3) -> Analyzer:
    manifest = Manifest(
        name="fake",
        family="cednn",
        aus=("AU06", "AU12"),
        thresholds=(0.9, 0.1),
        inputs=(InputSpec("face", 112, 112), InputSpec("neutral", 112, 112)),
        neutral=NeutralSpec(policy, frames),
    )
    return Analyzer(manifest, FakeBackend(SHAPES, 2), HaarDetector())


def test_thresholds_are_per_au(photo_bgr: np.ndarray) -> None:
    (face,) = make().still(photo_bgr)
    assert face.au["AU06"] == face.au["AU12"]
    assert (face.present["AU06"], face.present["AU12"]) == (False, True)


def test_the_first_frame_of_a_video_equals_the_still(photo_bgr: np.ndarray) -> None:
    analyzer = make()
    (still,), (frame,) = analyzer.still(photo_bgr), analyzer(photo_bgr)
    assert still.au == frame.au
    assert still.box_xyxy == frame.box_xyxy


def test_results_say_until_when_the_neutral_is_not_known(photo_bgr: np.ndarray) -> None:
    analyzer = make(frames=3)
    ready = [analyzer(photo_bgr)[0].neutral_ready for _ in range(6)]
    assert ready == [False, False, False, True, True, True]
    analyzer.reset()
    assert not analyzer(photo_bgr)[0].neutral_ready


def test_a_given_neutral_is_ready_at_once(photo_bgr: np.ndarray) -> None:
    manifest = make().manifest
    analyzer = Analyzer(manifest, FakeBackend(SHAPES, 2), HaarDetector(), neutral_image_bgr=photo_bgr)
    assert analyzer(photo_bgr)[0].neutral_ready


def test_a_neutral_without_a_face_is_refused() -> None:
    blank = np.zeros((100, 100, 3), np.uint8)
    with pytest.raises(InputError, match="neutral image: got no face"):
        Analyzer(make().manifest, FakeBackend(SHAPES, 2), HaarDetector(), neutral_image_bgr=blank)


def test_no_face_is_an_empty_list() -> None:
    assert make()(np.zeros((240, 320, 3), np.uint8)) == []


def test_two_faces_keep_their_numbers(photo_bgr: np.ndarray) -> None:
    two = np.hstack([photo_bgr, photo_bgr])
    analyzer = make()
    first, second = analyzer(two), analyzer(two)
    assert [f.track_id for f in first] == [f.track_id for f in second] == [0, 1]


def test_the_live_result_does_not_depend_on_later_frames(photo_bgr: np.ndarray) -> None:
    frames = [np.roll(photo_bgr, shift, axis=1) for shift in range(0, 24, 4)]
    frames = [cv2.convertScaleAbs(f, alpha=1 - 0.05 * i) for i, f in enumerate(frames)]
    whole, cut = make(), make()
    values = [whole(frame)[0].au["AU12"] for frame in frames]
    assert values[:4] == [cut(frame)[0].au["AU12"] for frame in frames[:4]]


def test_threads_may_share_an_analyzer(photo_bgr: np.ndarray) -> None:
    from concurrent.futures import ThreadPoolExecutor

    analyzer = make()
    alone = analyzer.still(photo_bgr)[0].au
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(analyzer.still, [photo_bgr] * 8))
    assert all(faces[0].au == alone for faces in results)


def test_a_closed_analyzer_may_be_closed_again(tmp_path: Path) -> None:
    with make() as analyzer:
        pass
    analyzer.close()

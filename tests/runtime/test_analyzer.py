from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeau.runtime.analyzer import Analyzer
from edgeau.runtime.backends import FakeBackend
from edgeau.runtime.detect import HaarDetector
from edgeau.runtime.detection import Detection
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import InputSpec, Manifest, NeutralSpec
from edgeau.runtime.sources import open_source

# The output of OpenCV's FaceDetectorYN for the photo (tests/runtime/test_yunet.py).
PHOTO_BOX = np.array([178.2, 62.9, 268.1, 176.2], np.float32)
PHOTO_POINTS = np.array([[200.1, 101.8], [247.1, 102.6], [220.4, 124.5], [198.6, 142.8], [239.7, 143.6]], np.float32)
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


def test_neutral_ready_is_false_until_the_neutral_is_known(photo_bgr: np.ndarray) -> None:
    analyzer = make(frames=3)
    ready = [analyzer(photo_bgr)[0].neutral_ready for _ in range(6)]
    assert ready == [False, False, False, True, True, True]
    analyzer.reset()
    assert not analyzer(photo_bgr)[0].neutral_ready


def test_another_video_shares_the_model_and_follows_its_own_faces(photo_bgr: np.ndarray) -> None:
    first = make(frames=1)
    second = first.for_another_video()
    assert second.backend is first.backend
    assert second.detector is first.detector
    ready = [analyzer(photo_bgr)[0].neutral_ready for analyzer in (first, first, second, first, second)]
    assert ready == [False, True, False, True, True]


def test_a_given_neutral_is_ready_at_once(photo_bgr: np.ndarray) -> None:
    manifest = make().manifest
    analyzer = Analyzer(manifest, FakeBackend(SHAPES, 2), HaarDetector(), neutral_image_bgr=photo_bgr)
    assert analyzer(photo_bgr)[0].neutral_ready


def test_a_neutral_without_a_face_is_refused() -> None:
    blank = np.zeros((100, 100, 3), np.uint8)
    with pytest.raises(InputError, match="neutral image: got no face"):
        Analyzer(make().manifest, FakeBackend(SHAPES, 2), HaarDetector(), neutral_image_bgr=blank)


def test_a_frame_without_a_face_gives_an_empty_result() -> None:
    faces = make()(np.zeros((240, 320, 3), np.uint8))
    assert len(faces) == 0
    assert list(faces) == []
    assert faces.to_numpy()["au"].shape == (0, 2)


def test_two_faces_keep_their_track_ids(photo_bgr: np.ndarray) -> None:
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


def test_threads_can_share_an_analyzer(photo_bgr: np.ndarray) -> None:
    from concurrent.futures import ThreadPoolExecutor

    analyzer = make()
    alone = analyzer.still(photo_bgr)[0].au
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(analyzer.still, [photo_bgr] * 8))
    assert all(faces[0].au == alone for faces in results)


def test_close_can_be_called_twice(tmp_path: Path) -> None:
    with make() as analyzer:
        pass
    analyzer.close()


class NoDetector:
    """A detector that must not be called."""

    name = "none"

    def detect(self, image_bgr: np.ndarray) -> list[Detection]:
        raise AssertionError(f"called for an image of {image_bgr.shape}")


def without_detector() -> Analyzer:
    return Analyzer(make().manifest, FakeBackend(SHAPES, 2), NoDetector())


def test_the_callers_points_give_the_same_result_as_the_detectors(photo_bgr: np.ndarray) -> None:
    (known,) = make().still(photo_bgr)
    (face,) = without_detector().still(photo_bgr, points_xy=known.points_xy[None])
    assert face.au == known.au
    assert face.pose == known.pose


def test_a_box_from_the_caller_places_the_crop_near_the_true_points(photo_bgr: np.ndarray) -> None:
    (face,) = without_detector()(photo_bgr, boxes_xyxy=PHOTO_BOX[None])
    eye_distance = np.linalg.norm(PHOTO_POINTS[1] - PHOTO_POINTS[0])
    assert np.abs(face.points_xy - PHOTO_POINTS).max() < 0.25 * eye_distance
    assert face.box_xyxy == tuple(PHOTO_BOX)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"boxes_xyxy": np.zeros((1, 3))}, r"boxes: got \[1, 3\], expected float \[N, 4\]"),
        ({"boxes_xyxy": np.zeros((1, 4))}, "boxes: got a box without area"),
        ({"points_xy": np.zeros((5, 2))}, r"points: got float32 \[5, 2\]"),
        ({"points_xy": np.full((1, 5, 2), np.nan)}, "points: got"),
        ({"points_xy": np.zeros((0, 5, 2)), "boxes_xyxy": np.zeros((0, 4))}, "got boxes and points"),
    ],
)
def test_wrong_boxes_and_points_are_refused(places: dict[str, np.ndarray], message: str, photo_bgr: np.ndarray) -> None:
    with pytest.raises(InputError, match=message):
        without_detector().still(photo_bgr, **places)


def test_a_list_of_stills_gives_the_same_as_one_at_a_time(photo_bgr: np.ndarray) -> None:
    analyzer, blank = make(), np.zeros((240, 320, 3), np.uint8)
    darker = cv2.convertScaleAbs(photo_bgr, alpha=0.7)
    together = analyzer.still([photo_bgr, blank, darker])
    assert [len(faces) for faces in together] == [1, 0, 1]
    for faces, image in zip(together, [photo_bgr, blank, darker]):
        assert [face.au for face in faces] == [face.au for face in analyzer.still(image)]


def test_a_list_of_frames_gives_the_same_as_one_at_a_time(photo_bgr: np.ndarray) -> None:
    frames = [cv2.convertScaleAbs(photo_bgr, alpha=1 - 0.05 * i) for i in range(5)]
    listed, single = make(), make()
    assert [faces[0].au for faces in listed(frames)] == [single(frame)[0].au for frame in frames]


def test_a_list_with_points_is_refused(photo_bgr: np.ndarray) -> None:
    with pytest.raises(InputError, match="got a list of images, expected one image"):
        make().still([photo_bgr], points_xy=PHOTO_POINTS[None])  # type: ignore[call-overload]


def test_crops_of_any_size_are_resized(photo_bgr: np.ndarray) -> None:
    analyzer = make()
    crop = analyzer.crop(photo_bgr, PHOTO_POINTS)
    assert crop.shape == (112, 112, 3)
    crops = [crop, cv2.resize(crop, (224, 224)), cv2.resize(crop, (50, 60))]
    au = analyzer.analyse_crops(crops)["au"]
    assert au.shape == (3, 2)
    assert np.abs(au - au[0]).max() < 0.01
    with pytest.raises(InputError, match=r"crop: got float64 \[8, 8, 3\]"):
        analyzer.analyse_crops([np.zeros((8, 8, 3))])


def test_a_stream_gives_the_same_as_calls(photo_bgr: np.ndarray) -> None:
    frames = [cv2.convertScaleAbs(photo_bgr, alpha=1 - 0.05 * i) for i in range(6)]
    streamed, called = list(make().stream(frames)), make()
    assert [faces.frame for _, faces in streamed] == [0, 1, 2, 3, 4, 5]
    for (frame, faces), image in zip(streamed, frames):
        assert frame.image_bgr is image
        assert [face.au for face in faces] == [face.au for face in called(image)]
        assert faces.times.detect_ms > 0
        assert faces.times.infer_ms > 0


def test_a_stream_of_a_folder_gives_stills_and_continues_past_broken_files(
    photo_bgr: np.ndarray, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), photo_bgr)
    (tmp_path / "b.png").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "c.png"), photo_bgr)
    for source in (tmp_path, str(tmp_path), open_source(str(tmp_path))):
        first, broken, last = (faces for _, faces in make(frames=1).stream(source))
        assert [face.neutral_ready for face in (*first, *last)] == [False, False]
        assert "b.png" in str(broken.error)
        assert Path(last.source).name == "c.png"


def test_a_stream_raises_a_sources_error_after_the_frames_before_it(photo_bgr: np.ndarray) -> None:
    def frames():
        yield photo_bgr
        raise InputError("camera", got="unplugged")

    seen = []
    with pytest.raises(InputError, match="unplugged"):
        for _, faces in make().stream(frames()):
            seen.append(len(faces))
    assert seen == [1]

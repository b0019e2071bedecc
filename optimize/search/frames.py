"""The whole frame with the fastest candidates: what a user waits for, of which the model is a part.

A frame of a video is analysed as `Analyzer` does it: finding the face near its last place, the crop, the model's call
with the person's neutral, and the result. The order may be another than that of the models alone: between two calls of
the model others use the caches, and batches change. In a stream, as `edgeau run` reads files, the stages overlap, and
threads that spin in one take the cores from the others.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from edgeau.runtime.analyzer import Analyzer
from edgeau.runtime.choose import open_detector
from edgeau.runtime.crop_set import CropSet, spread
from edgeau.runtime.detection import Detector, FollowingDetector
from edgeau.runtime.errors import EdgeauError, EdgeauWarning

from .options import Clock, Setup
from .race import RaceResult, race
from .runner import Runner

WIDTH_PX, HEIGHT_PX = 640, 360
# Side of the crop in the frame: the face in it is about 160 pixels high.
_CROP_PX = 216
_GREY = 128
# Crops in which the detector is tried.
_TRIES = 16
# One after the other in one measurement, and with a detector that takes longer because it searches every frame.
_FRAMES, _FRAMES_WITHOUT_FOLLOWING = 25, 3
# In a stream likewise times as many, because its first frames fill the pipeline.
_STREAMED = 2
# Of each number of threads so many candidates are measured, if their models take at most so many times the shortest.
_BEST_PER_THREADS, _NEAR = 2, 2.0


@dataclass(frozen=True)
class Scene:
    """A frame with one face that the detector finds.

    Attributes:
        frame_bgr: uint8 [HEIGHT_PX, WIDTH_PX, 3]; None where there is no such frame.
        text: what it is, or why there is none.
    """

    frame_bgr: np.ndarray | None
    text: str


NO_SCENE = Scene(None, "")


@dataclass(frozen=True)
class FrameRace:
    """How candidates compare by whole frames.

    Attributes:
        calls: costs are milliseconds per frame, one frame after the other, by `Candidate.label`.
        stream_ms: milliseconds per frame of a stream in each round, likewise.
    """

    calls: RaceResult
    stream_ms: Mapping[str, list[float]]


class FrameRunner:
    """Analyses one video, some frames per call.

    Args:
        analyzer: as a user has it.
        frame_bgr: uint8 [H, W, 3], which is all that the video shows.
        clock: seconds.

    Attributes:
        stream_ms: milliseconds per frame of a stream in each round so far.
    """

    def __init__(self, analyzer: Analyzer, frame_bgr: np.ndarray, clock: Clock) -> None:
        self.stream_ms: list[float] = []
        self._analyzer, self._frame, self._clock = analyzer, frame_bgr, clock
        follows = isinstance(analyzer.detector, FollowingDetector)
        self._frames = _FRAMES if follows else _FRAMES_WITHOUT_FOLLOWING

    def __call__(self) -> float:
        """Analyse some frames. Returns the median milliseconds of one when the next waits for it."""
        self._analyzer(self._frame)  # the threads of the candidate that ran before may still be spinning
        frames = _STREAMED * self._frames
        started = self._clock()
        for _ in self._analyzer.stream([self._frame] * frames):
            pass
        self.stream_ms.append((self._clock() - started) * 1e3 / frames)
        return float(np.median([self._time_ms() for _ in range(self._frames)]))

    def _time_ms(self) -> float:
        started = self._clock()
        self._analyzer(self._frame)
        return (self._clock() - started) * 1e3


def find_scene(setup: Setup) -> Scene:
    """Put evaluation crops into a frame until the detector finds one face in it."""
    try:
        detector = _detector(setup, setup.baseline.backend)
    except EdgeauError as error:
        return Scene(None, f"not measured: {error}")
    frame = face_in_frame(setup.crops, detector)
    if frame is None:
        return Scene(None, f"not measured: {detector.name} finds no face in the evaluation crops")
    return Scene(frame, f"{WIDTH_PX}x{HEIGHT_PX} with one of the evaluation faces, found by {detector.name}")


def face_in_frame(crops: CropSet, detector: Detector) -> np.ndarray | None:
    """A frame with one of the crops, in which the detector finds one face; None if it finds none in some of them."""
    frames = (frame_with(crops.faces[row]) for row in spread(len(crops), _TRIES))
    return next((frame for frame in frames if len(detector.detect(frame)) == 1), None)


def frame_with(crop_rgb: np.ndarray) -> np.ndarray:
    """A grey frame with a crop in its middle: uint8 [HEIGHT_PX, WIDTH_PX, 3], BGR."""
    frame = np.full((HEIGHT_PX, WIDTH_PX, 3), _GREY, np.uint8)
    face = cv2.resize(crop_rgb, (_CROP_PX, _CROP_PX), interpolation=cv2.INTER_CUBIC)
    top, left = (HEIGHT_PX - _CROP_PX) // 2, (WIDTH_PX - _CROP_PX) // 2
    frame[top : top + _CROP_PX, left : left + _CROP_PX] = face[:, :, ::-1]
    return frame


def race_frames(setup: Setup, scene: Scene, runners: Mapping[str, Runner], models: RaceResult) -> FrameRace | None:
    """Measure whole frames with the front runners of a race of models, until the deadline.

    Args:
        setup: of the search.
        scene: from `find_scene`.
        runners: the candidates that are loaded, by label.
        models: how their models compare.

    Returns:
        The comparison; None without a scene.
    """
    frame = scene.frame_bgr
    if frame is None:
        return None
    labels = front_runners(runners, models, setup.baseline.label)
    backends = {runners[label].candidate.backend for label in labels}
    detectors = _detectors_that_find(setup, backends, frame)
    if detectors is None:
        return None
    calls = {}
    for label in labels:
        detector = detectors[runners[label].candidate.backend]
        analyzer = Analyzer(setup.package.manifest, runners[label].backend, detector)
        calls[label] = FrameRunner(analyzer, frame, setup.clock)
    setup.progress(f"measuring whole frames with {len(calls)} candidates: {scene.text}")
    result = race(
        calls,
        deadline=setup.deadline,
        keep=[setup.baseline.label],
        cost="time per frame",
        seed=setup.options.seed,
        clock=setup.clock,
    )
    return FrameRace(result, {label: call.stream_ms for label, call in calls.items()})


def front_runners(runners: Mapping[str, Runner], models: RaceResult, baseline: str) -> list[str]:
    """The baseline, and the candidates with the shortest calls for each number of threads."""
    middle = {label: float(np.median(models.costs[label])) for label in runners}
    limit = _NEAR * min(middle.values())
    chosen: dict[int | None, list[str]] = {}
    for label in sorted(runners, key=lambda label: middle[label]):
        same_threads = chosen.setdefault(runners[label].candidate.threads, [])
        if middle[label] <= limit and len(same_threads) < _BEST_PER_THREADS:
            same_threads.append(label)
    some = {baseline, *(label for labels in chosen.values() for label in labels)}
    return [label for label in runners if label in some]


def _detectors_that_find(setup: Setup, backends: set[str], frame_bgr: np.ndarray) -> dict[str, Detector] | None:
    """A detector per backend; None where one can't be opened, or misses the face and so would look fast."""
    detectors: dict[str, Detector] = {}
    for backend in sorted(backends):
        try:
            detectors[backend] = _detector(setup, backend)
            found = len(detectors[backend].detect(frame_bgr))
        except EdgeauError as error:
            setup.progress(f"whole frames are not measured: the detector on {backend}: {error}")
            return None
        if found != 1:
            setup.progress(f"whole frames are not measured: the detector on {backend} finds {found} faces, not one")
            return None
    return detectors


def _detector(setup: Setup, backend: str) -> Detector:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EdgeauWarning)  # the report names the detector
        return open_detector(setup.package, backend)

"""Frame in, action units out."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Type,
    Union,
    overload,
)

import numpy as np

from .backends import Backend
from .batch import Subject, make_batch
from .crop import crop_face
from .detection import Detection, Detector, from_boxes, from_points
from .errors import InputError
from .face import Face
from .following import SEARCH_EVERY, Follower
from .images import as_bgr, resized
from .manifest import Manifest, NeutralSpec
from .manifest_rules import check_outputs
from .people import People
from .pipeline import ahead
from .results import Faces, StageTimes

if TYPE_CHECKING:  # these modules are needed for streams only
    from .reading import ReadFrame
    from .sources import Frame, Source

# Smaller faces beside the one in a neutral picture, as a share of its area, are passers-by.
_BYSTANDER = 0.25
Images = Union[np.ndarray, Sequence[np.ndarray]]


class Analyzer:
    """Finds faces, follows them, keeps their neutral, and gives their action units.

    Made by ``edgeau.runtime.load``. Calls from several threads take turns; frames of one video belong to one analyzer.

    Attributes:
        manifest: of the package.
        backend: with the variant loaded.
        detector: finds faces where the caller gives neither boxes nor points.
        choice: which variant runs on which backend, and why.
    """

    def __init__(
        self,
        manifest: Manifest,
        backend: Backend,
        detector: Detector,
        *,
        choice: Any = None,
        neutral: Optional[NeutralSpec] = None,
        neutral_image_bgr: Optional[np.ndarray] = None,
        search_every: int = SEARCH_EVERY,
        max_faces: Optional[int] = None,
    ) -> None:
        self.manifest = manifest
        self.backend = backend
        self.detector = detector
        self.choice = choice
        self._max_faces = max_faces
        self._follower = Follower(detector, search_every)
        # Finding faces in one frame may overlap the model's call for another.
        self._finding, self._inferring = threading.Lock(), threading.Lock()
        given = None if neutral_image_bgr is None else self._only_crop(as_bgr(neutral_image_bgr))
        self._people = People(neutral or manifest.neutral, given if manifest.takes_neutral else None)

    @overload
    def __call__(
        self,
        frame_bgr: np.ndarray,
        *,
        boxes_xyxy: Optional[np.ndarray] = None,
        points_xy: Optional[np.ndarray] = None,
    ) -> Faces: ...

    @overload
    def __call__(self, frame_bgr: Sequence[np.ndarray]) -> List[Faces]: ...

    def __call__(
        self,
        frame_bgr: Images,
        *,
        boxes_xyxy: Optional[np.ndarray] = None,
        points_xy: Optional[np.ndarray] = None,
    ) -> Union[Faces, List[Faces]]:
        """Analyse the next frame of a video. A list of frames is analysed in order.

        Args:
            frame_bgr: uint8 [H, W, 3], BGR as cv2 gives it; grey, BGRA and 16-bit frames are converted. Or a list of
                such frames, in order.
            boxes_xyxy: float [N, 4], left, top, right, bottom in pixels: the faces, in place of the detector's. Crops
                are placed as for a mean face in the box, so points are better.
            points_xy: float [N, 5, 2] in pixels: the five points of each face, in place of the detector's.

        Returns:
            One `Face` per face, largest first (in the caller's order with boxes or points); empty if there is none. A
            list of these for a list.

        Raises:
            InputError: an image, boxes or points of another shape; both boxes and points; a list with either.
        """
        if isinstance(frame_bgr, np.ndarray):
            return self._finish([self._next(frame_bgr, boxes_xyxy, points_xy)])[0]
        _refuse_places(boxes_xyxy, points_xy)
        # One after the other, because a frame may change the neutral of the next.
        return [self._finish([self._next(frame)])[0] for frame in frame_bgr]

    @overload
    def still(
        self,
        image_bgr: np.ndarray,
        *,
        boxes_xyxy: Optional[np.ndarray] = None,
        points_xy: Optional[np.ndarray] = None,
    ) -> Faces: ...

    @overload
    def still(self, image_bgr: Sequence[np.ndarray]) -> List[Faces]: ...

    def still(
        self,
        image_bgr: Images,
        *,
        boxes_xyxy: Optional[np.ndarray] = None,
        points_xy: Optional[np.ndarray] = None,
    ) -> Union[Faces, List[Faces]]:
        """Analyse a picture on its own: nothing is remembered. Arguments and result as for a frame.

        All faces of a list of pictures are analysed in one call of the model.
        """
        if isinstance(image_bgr, np.ndarray):
            return self._finish([self._alone(image_bgr, boxes_xyxy, points_xy)])[0]
        _refuse_places(boxes_xyxy, points_xy)
        return self._finish([self._alone(image) for image in image_bgr])

    def stream(
        self, source: Union[str, os.PathLike[str], int, Source, Iterable[np.ndarray]]
    ) -> Iterator[Tuple[Frame, Faces]]:
        """Analyse all images of a source, in order. Reading, finding faces, the model, and what the caller does
        with the results overlap in time.

        Args:
            source: what ``edgeau run`` takes (an image, folder, video, ``camera:0``, address or pipeline), a camera's
                number, an open source, or an iterable of uint8 [H, W, 3] BGR arrays, which are frames of one video.

        Yields:
            The frame, and its faces. Videos and cameras are followed as by calling the analyzer; the pictures of a
            folder are stills. An image that can't be read or analysed has no faces, and an ``error`` that says why.

        Raises:
            InputError: the source can't be opened, or ends without a frame.
        """
        from .reading import open_any, read_frames, rejoined, waiting_frames

        opened = open_any(source)
        reads: Iterator[ReadFrame] = read_frames(opened.frames)
        first = next(reads, None)
        if first is None:
            return
        # A live source keeps only the newest frame. Frames that wait in a pipeline would be older than that.
        depth = 0 if opened.live else waiting_frames(first.frame.image_bgr)
        found = ((read, self._found(read, opened.moving)) for read in ahead(rejoined(first, reads), depth))
        finished = ((read.frame, self._finished(read, part)) for read, part in ahead(found, depth))
        with contextlib.closing(ahead(finished, depth)) as results:
            yield from results

    def crop(self, image_bgr: np.ndarray, points_xy: np.ndarray) -> np.ndarray:
        """The crop that the model sees of one face.

        Args:
            image_bgr: as for a frame.
            points_xy: float [5, 2], as in `Face`.

        Returns:
            uint8 [S, S, 3], RGB.

        Raises:
            InputError: not an image, or not five distinct finite points.
        """
        return self._crop(as_bgr(image_bgr), np.asarray(points_xy))

    def analyse_crops(self, faces: Images, neutrals: Optional[Images] = None) -> Dict[str, np.ndarray]:
        """Run the model alone.

        Args:
            faces: uint8 [N, H, W, 3] or a list of uint8 [H, W, 3], RGB: crops by the manifest's rule (see
                `Analyzer.crop`). Crops of another size are resized.
            neutrals: as many, likewise; without them the faces are compared with themselves.

        Returns:
            ``au`` float32 [N, A], and ``expression`` float32 [N, E] where the model has it.

        Raises:
            InputError: another shape or type.
        """
        inputs = {"face": self._sized(faces)}
        if self.manifest.takes_neutral:
            inputs["neutral"] = inputs["face"] if neutrals is None else self._sized(neutrals)
        outputs = self.backend.infer(inputs)
        check_outputs(self.manifest, outputs, len(inputs["face"]))
        return outputs

    def for_another_video(self) -> Analyzer:
        """An analyzer that shares the model, the detector and a given neutral, and follows faces of its own."""
        other = copy.copy(self)
        other._follower, other._people = copy.copy(self._follower), self._people.for_another_video()
        other._follower.reset()
        return other

    def reset(self) -> None:
        """Forget faces and neutrals, as before a new video."""
        with self._finding, self._inferring:
            self._follower.reset()
            self._people.reset()

    def close(self) -> None:
        """Free the backend."""
        self.backend.close()

    def __enter__(self) -> Analyzer:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _next(
        self, frame_bgr: np.ndarray, boxes_xyxy: Optional[np.ndarray] = None, points_xy: Optional[np.ndarray] = None
    ) -> _Found:
        """The faces of the next frame of a video, cropped."""
        frame = as_bgr(frame_bgr)
        with self._finding:
            started = time.perf_counter()
            detections = self._detect(self._follower, frame, boxes_xyxy, points_xy)
            detected = time.perf_counter()
            crops = [self._crop(frame, detection.points_xy) for detection in detections]
            people = self._people.next([detection.box_xyxy for detection in detections], crops)
            chosen = self._people.choose(people, self._max_faces)
            cropped = time.perf_counter()
        subjects = [Subject(detections[i], crops[i], people[i]) for i in chosen]
        return _Found(subjects, (detected - started) * 1e3, (cropped - detected) * 1e3)

    def _alone(
        self, image_bgr: np.ndarray, boxes_xyxy: Optional[np.ndarray] = None, points_xy: Optional[np.ndarray] = None
    ) -> _Found:
        """The faces of a picture, cropped."""
        image = as_bgr(image_bgr)
        with self._finding:
            started = time.perf_counter()
            detections = self._detect(self.detector, image, boxes_xyxy, points_xy)
            detected = time.perf_counter()
        crops = [self._crop(image, detection.points_xy) for detection in detections[: self._max_faces]]
        people = self._people.alone(crops)
        cropped = time.perf_counter()
        subjects = [Subject(*parts) for parts in zip(detections, crops, people)]
        return _Found(subjects, (detected - started) * 1e3, (cropped - detected) * 1e3)

    def _detect(
        self,
        detector: Union[Detector, Follower],
        image_bgr: np.ndarray,
        boxes_xyxy: Optional[np.ndarray],
        points_xy: Optional[np.ndarray],
    ) -> List[Detection]:
        if boxes_xyxy is not None and points_xy is not None:
            raise InputError("faces", got="boxes and points", expected="one of both")
        if points_xy is not None:
            return from_points(points_xy)
        return detector.detect(image_bgr) if boxes_xyxy is None else from_boxes(boxes_xyxy)

    def _found(self, read: ReadFrame, moving: bool) -> Union[_Found, str]:
        """The faces of an image of a source, or why it could not be analysed."""
        if read.frame.image_bgr is None:
            return read.frame.error or "unreadable"
        try:
            return self._next(read.frame.image_bgr) if moving else self._alone(read.frame.image_bgr)
        except InputError as error:
            return str(error)

    def _finished(self, read: ReadFrame, found: Union[_Found, str]) -> Faces:
        frame = read.frame
        if isinstance(found, str):
            faces = Faces((), self.manifest.aus, self.manifest.expressions, error=found)
        else:
            faces = self._finish([found])[0]
        times = dataclasses.replace(faces.times, read_ms=read.read_s * 1e3)
        return dataclasses.replace(faces, times=times, source=frame.source, frame=frame.number, time_s=frame.time_s)

    def _crop(self, image_bgr: np.ndarray, points_xy: np.ndarray) -> np.ndarray:
        # Only the crop's channels are reversed: OpenCV would copy a reversed view of the whole image.
        return np.ascontiguousarray(crop_face(image_bgr, points_xy, self.manifest.crop)[:, :, ::-1])

    def _sized(self, crops: Images) -> np.ndarray:
        """Crops as one batch of the model's size."""
        spec = self.manifest.inputs[0]
        if isinstance(crops, np.ndarray) and crops.ndim == 4 and crops.shape[1:3] == (spec.height, spec.width):
            return np.ascontiguousarray(crops)
        return np.stack([resized(crop, spec.height, spec.width) for crop in crops])

    def _finish(self, images: Sequence[_Found]) -> List[Faces]:
        """Results of images whose faces are analysed in one call."""
        with self._inferring:
            started = time.perf_counter()
            faces = self._analyse([subject for image in images for subject in image.subjects])
            infer_ms = (time.perf_counter() - started) * 1e3
        results, start = [], 0
        for image in images:
            times = StageTimes(detect_ms=image.detect_ms, crop_ms=image.crop_ms, infer_ms=infer_ms)
            own = tuple(faces[start : start + len(image.subjects)])
            results.append(Faces(own, self.manifest.aus, self.manifest.expressions, times))
            start += len(own)
        return results

    def _analyse(self, subjects: List[Subject]) -> List[Face]:
        """Results in the order of the subjects, whose references are updated."""
        if not subjects:
            return []
        # Whether a neutral was known for this image: the image itself may complete it.
        ready = [not self.manifest.takes_neutral or subject.reference.image is not None for subject in subjects]
        outputs = self._infer(subjects)
        return [
            self._face(subject, {name: values[i] for name, values in outputs.items()}, ready[i])
            for i, subject in enumerate(subjects)
        ]

    def _infer(self, subjects: List[Subject]) -> Dict[str, np.ndarray]:
        """The model's outputs, one row per subject. References are updated on the way."""
        if not self.manifest.takes_neutral:
            return self.analyse_crops(np.stack([subject.crop for subject in subjects]))
        batch = make_batch(subjects)
        outputs = self.analyse_crops(batch.faces, batch.neutrals)
        activity = outputs["au"].mean(axis=1)
        for subject, row in zip(subjects, batch.probe_rows):
            if row is None:
                subject.reference.skip()
            else:
                subject.reference.add(subject.crop, float(activity[row]))
        return {name: values[: len(subjects)] for name, values in outputs.items()}

    def _face(self, subject: Subject, outputs: Mapping[str, np.ndarray], ready: bool) -> Face:
        manifest, detection = self.manifest, subject.detection
        au = {name: float(p) for name, p in zip(manifest.aus, outputs["au"])}
        present = {name: au[name] >= limit for name, limit in zip(manifest.aus, manifest.thresholds)}
        left, top, right, bottom = (float(v) for v in detection.box_xyxy)
        return Face(
            subject.person.track_id,
            (left, top, right, bottom),
            detection.points_xy,
            detection.score,
            au,
            present,
            dict(zip(manifest.expressions, (float(p) for p in outputs.get("expression", ())))),
            ready,
            dict(zip(manifest.aus, (float(p) for p in outputs.get("intensity", ())))),
        )

    def _only_crop(self, image_bgr: np.ndarray) -> np.ndarray:
        detections = self.detector.detect(image_bgr)
        expected = "one face, at rest"
        if not detections:
            raise InputError("neutral image", got="no face in it", expected=expected)
        areas = [_area(detection) for detection in detections]
        if len(areas) > 1 and areas[1] > _BYSTANDER * areas[0]:
            got = f"{len(areas)} faces"
            raise InputError("neutral image", got=got, expected=expected, hint="crop the picture to one person")
        return self._crop(image_bgr, detections[0].points_xy)


def _area(detection: Detection) -> float:
    left, top, right, bottom = detection.box_xyxy
    return float((right - left) * (bottom - top))


def _refuse_places(boxes_xyxy: Optional[np.ndarray], points_xy: Optional[np.ndarray]) -> None:
    if boxes_xyxy is not None or points_xy is not None:
        raise InputError("boxes or points", got="a list of images", expected="one image")


@dataclass(frozen=True)
class _Found:
    """The faces of one image, and what finding and cropping them took."""

    subjects: List[Subject]
    detect_ms: float
    crop_ms: float

"""Frame in, action units out."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Dict, List, Mapping, Optional, Sequence, Type

import numpy as np

from .backends import Backend
from .crop import crop_face
from .detect import Detection, Detector
from .errors import InputError
from .images import as_bgr
from .manifest import Manifest, NeutralSpec
from .manifest_rules import check_widths
from .neutral import NeutralReference
from .tracks import Tracker


@dataclass(frozen=True)
class Face:
    """One analysed face.

    Attributes:
        track_id: the same number for the same face through a video; 0, 1, ... in a still, largest first.
        box_xyxy: left, top, right, bottom in pixels.
        points_xy: float32 [5, 2], the points that placed the crop.
        score: the detector's, 0..1.
        au: presence 0..1 by AU name.
        present: whether presence reaches the AU's threshold.
        expression: probability by class; empty for models without an expression head.
        neutral_ready: False while the subject's neutral is not known and the face was compared with itself; True for
            models that need none.
    """

    track_id: int
    box_xyxy: tuple[float, float, float, float]
    points_xy: np.ndarray
    score: float
    au: Mapping[str, float]
    present: Mapping[str, bool]
    expression: Mapping[str, float]
    neutral_ready: bool


class Analyzer:
    """Finds faces, follows them, keeps their neutral, and gives their action units.

    Made by ``edgeau.runtime.load``. Calls from several threads take turns; frames of one video belong to one analyzer.

    Attributes:
        manifest: of the package.
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
    ) -> None:
        self.manifest = manifest
        self.backend = backend
        self.detector = detector
        self.choice = choice
        self._neutral_spec = neutral or manifest.neutral
        self._tracker = Tracker()
        self._references: Dict[int, NeutralReference] = {}
        self._lock = threading.Lock()
        self._given: Optional[np.ndarray] = None
        if neutral_image_bgr is not None:
            self._neutral_spec = dataclasses.replace(self._neutral_spec, policy="given")
            self._given = self._only_crop(as_bgr(neutral_image_bgr))

    def __call__(self, frame_bgr: np.ndarray) -> List[Face]:
        """Analyse the next frame of a video.

        Args:
            frame_bgr: uint8 [H, W, 3], BGR as cv2 gives it; grey, BGRA and 16-bit frames are converted.

        Returns:
            One Face per detected face, largest first; an empty list if there is none.
        """
        frame = as_bgr(frame_bgr)
        with self._lock:
            detections = self.detector.detect(frame)
            track_ids = self._tracker.update([detection.box_xyxy for detection in detections])
            self._references = {n: r for n, r in self._references.items() if n in self._tracker.alive}
            references = [self._references.setdefault(n, self._new_reference()) for n in track_ids]
            return self._analyse(self._subjects(frame, detections, track_ids, references))

    def still(self, image_bgr: np.ndarray) -> List[Face]:
        """Analyse a picture on its own: nothing is remembered. Arguments and result as for a frame."""
        image = as_bgr(image_bgr)
        with self._lock:
            detections = self.detector.detect(image)
            references = [self._new_reference() for _ in detections]
            return self._analyse(self._subjects(image, detections, range(len(detections)), references))

    def analyse_crops(self, faces: np.ndarray, neutrals: Optional[np.ndarray] = None) -> Dict[str, np.ndarray]:
        """Run the model alone.

        Args:
            faces: uint8 [N, S, S, 3], RGB crops by the manifest's rule.
            neutrals: same shape; without it the faces are compared with themselves.

        Returns:
            ``au`` float32 [N, A], and ``expression`` float32 [N, E] where the model has it.
        """
        inputs = {"face": np.ascontiguousarray(faces)}
        if self.manifest.takes_neutral:
            inputs["neutral"] = np.ascontiguousarray(faces if neutrals is None else neutrals)
        outputs = self.backend.infer(inputs)
        check_widths(self.manifest, outputs)
        return outputs

    def reset(self) -> None:
        """Forget faces and neutrals, as before a new video."""
        with self._lock:
            self._tracker.reset()
            self._references = {}

    def close(self) -> None:
        """Free the backend."""
        self.backend.close()

    def __enter__(self) -> Analyzer:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _new_reference(self) -> NeutralReference:
        return NeutralReference(self._neutral_spec, self._given)

    def _subjects(
        self,
        image_bgr: np.ndarray,
        detections: Sequence[Detection],
        track_ids: Sequence[int],
        references: Sequence[NeutralReference],
    ) -> List[_Subject]:
        """The faces of one image, cropped."""
        image_rgb = image_bgr[:, :, ::-1]
        return [
            _Subject(detection, track_id, crop_face(image_rgb, detection.points_xy, self.manifest.crop), reference)
            for detection, track_id, reference in zip(detections, track_ids, references)
        ]

    def _analyse(self, subjects: List[_Subject]) -> List[Face]:
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

    def _infer(self, subjects: List[_Subject]) -> Dict[str, np.ndarray]:
        """The model's outputs, one row per subject. References are updated on the way."""
        if not self.manifest.takes_neutral:
            return self.analyse_crops(np.stack([subject.crop for subject in subjects]))
        batch = _make_batch(subjects)
        outputs = self.analyse_crops(batch.faces, batch.neutrals)
        activity = outputs["au"].mean(axis=1)
        for subject, row in zip(subjects, batch.probe_rows):
            if row is None:
                subject.reference.skip()
            else:
                subject.reference.add(subject.crop, float(activity[row]))
        return {name: values[: len(subjects)] for name, values in outputs.items()}

    def _face(self, subject: _Subject, outputs: Mapping[str, np.ndarray], ready: bool) -> Face:
        manifest, detection = self.manifest, subject.detection
        au = {name: float(p) for name, p in zip(manifest.aus, outputs["au"])}
        present = {name: au[name] >= limit for name, limit in zip(manifest.aus, manifest.thresholds)}
        expression = dict(zip(manifest.expressions, (float(p) for p in outputs.get("expression", ()))))
        left, top, right, bottom = (float(v) for v in detection.box_xyxy)
        box = (left, top, right, bottom)
        return Face(subject.track_id, box, detection.points_xy, detection.score, au, present, expression, ready)

    def _only_crop(self, image_bgr: np.ndarray) -> np.ndarray:
        detections = self.detector.detect(image_bgr)
        if not detections:
            raise InputError("neutral image", got="no face in it", expected="one face, at rest")
        return crop_face(image_bgr[:, :, ::-1], detections[0].points_xy, self.manifest.crop)


@dataclass(frozen=True)
class _Subject:
    """One face of the image in hand.

    Attributes:
        detection: where it is.
        track_id: as in Face.
        crop: uint8 [S, S, 3], RGB.
        reference: its neutral, which learns from this crop.
    """

    detection: Detection
    track_id: int
    crop: np.ndarray
    reference: NeutralReference


@dataclass(frozen=True)
class _Batch:
    """One call of a model on difference images.

    Attributes:
        faces, neutrals: uint8 [N + probes, S, S, 3], RGB; the first N rows are the subjects.
        probe_rows: per subject, the row that compares its crop with itself, which measures how calm the face is; None
            if its reference doesn't ask for that now.
    """

    faces: np.ndarray
    neutrals: np.ndarray
    probe_rows: Sequence[Optional[int]]


def _make_batch(subjects: Sequence[_Subject]) -> _Batch:
    """Pair every crop with its neutral, and with itself where the reference wants to know how calm it is.

    Until a reference has an image, a crop is compared with itself anyway, so that its own row is the probe.
    """
    faces, neutrals = [], []
    for subject in subjects:
        faces.append(subject.crop)
        neutrals.append(subject.crop if subject.reference.image is None else subject.reference.image)
    probe_rows: List[Optional[int]] = []
    for row, subject in enumerate(subjects):
        if not subject.reference.wants_probe:
            probe_rows.append(None)
        elif subject.reference.image is None:
            probe_rows.append(row)
        else:
            probe_rows.append(len(faces))
            faces.append(subject.crop)
            neutrals.append(subject.crop)
    return _Batch(np.stack(faces), np.stack(neutrals), probe_rows)

"""Frame in, action units out."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Dict, List, Mapping, Optional, Type

import numpy as np

from .backends import Backend
from .crop import crop_face
from .detect import Detection, Detector
from .errors import InputError
from .images import as_bgr
from .manifest import Manifest, NeutralSpec
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
            One Face each, largest first; an empty list where there is none.
        """
        frame = as_bgr(frame_bgr)
        with self._lock:
            found = self.detector.detect(frame)
            numbers = self._tracker.update([face.box_xyxy for face in found])
            self._references = {n: r for n, r in self._references.items() if n in self._tracker.alive}
            references = [self._references.setdefault(n, self._new_reference()) for n in numbers]
            return self._analyse(frame, found, numbers, references)

    def still(self, image_bgr: np.ndarray) -> List[Face]:
        """Analyse a picture on its own: nothing is remembered. Arguments and result as for a frame."""
        image = as_bgr(image_bgr)
        with self._lock:
            found = self.detector.detect(image)
            return self._analyse(image, found, list(range(len(found))), [self._new_reference() for _ in found])

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
        return self.backend.infer(inputs)

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

    def _analyse(
        self, image_bgr: np.ndarray, found: List[Detection], numbers: List[int], references: List[NeutralReference]
    ) -> List[Face]:
        if not found:
            return []
        image_rgb = image_bgr[:, :, ::-1]
        crops = [crop_face(image_rgb, face.points_xy, self.manifest.crop) for face in found]
        ready = [not self.manifest.takes_neutral or r.image is not None for r in references]
        outputs = self._infer(crops, references)
        return [
            self._face(numbers[i], found[i], {k: v[i] for k, v in outputs.items()}, ready[i]) for i in range(len(found))
        ]

    def _infer(self, crops: List[np.ndarray], references: List[NeutralReference]) -> Dict[str, np.ndarray]:
        """Probabilities of the crops, and the references brought up to date.

        A crop judged against itself is the measure of how calm a frame is. Until a reference exists that is the result
        anyway; afterwards it is an extra row in the batch.
        """
        if not self.manifest.takes_neutral:
            return self.analyse_crops(np.stack(crops))
        count = len(crops)
        probes = [i for i in range(count) if references[i].wants_probe]
        extra = [i for i in probes if references[i].image is not None]
        neutrals = [crop if r.image is None else r.image for crop, r in zip(crops, references)]
        faces = np.stack([*crops, *(crops[i] for i in extra)])
        outputs = self.analyse_crops(faces, np.stack([*neutrals, *(crops[i] for i in extra)]))
        activity = outputs["au"].mean(axis=1)
        for i, reference in enumerate(references):
            if i in probes:
                row = count + extra.index(i) if i in extra else i
                reference.add(crops[i], float(activity[row]))
            else:
                reference.skip()
        return {name: values[:count] for name, values in outputs.items()}

    def _face(self, number: int, found: Detection, outputs: Mapping[str, np.ndarray], ready: bool) -> Face:
        manifest = self.manifest
        au = {name: float(p) for name, p in zip(manifest.aus, outputs["au"])}
        present = {name: au[name] >= limit for name, limit in zip(manifest.aus, manifest.thresholds)}
        expression = dict(zip(manifest.expressions, (float(p) for p in outputs.get("expression", ()))))
        left, top, right, bottom = (float(v) for v in found.box_xyxy)
        box = (left, top, right, bottom)
        return Face(number, box, found.points_xy, found.score, au, present, expression, ready)

    def _only_crop(self, image_bgr: np.ndarray) -> np.ndarray:
        found = self.detector.detect(image_bgr)
        if not found:
            raise InputError("neutral image", got="no face in it", expected="one face, at rest")
        return crop_face(image_bgr[:, :, ::-1], found[0].points_xy, self.manifest.crop)

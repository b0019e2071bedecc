"""The stages of one picture end to end: finding faces, cropping, the model's call, and the rest.

The analyzer itself takes the times, so they are of what an application runs. Preprocessing of pixels (cast, scale,
normalization) is inside the model's graph and hence in its call.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeau.runtime.choose import load
from edgeau.runtime.errors import MissingExtraError
from edgeau.runtime.results import Faces
from edgeau.runtime.timing import warm_up

STAGES = ("detect_ms", "crop_ms", "infer_ms", "rest_ms")
MIN_CALLS = 10


@dataclass(frozen=True)
class Stages:
    """Medians over calls of `Analyzer.still` on one picture.

    Attributes:
        package, variant, backend, detector: what ran.
        image: what the picture is, with its size.
        faces: number of faces found.
        calls: number of calls.
        detect_ms, crop_ms, infer_ms: of the stages.
        rest_ms: what is left of the total: thresholds, results, Python.
        total_ms: of the whole call.
    """

    package: str
    variant: str
    backend: str
    detector: str
    image: str
    faces: int
    calls: int
    detect_ms: float
    crop_ms: float
    infer_ms: float
    rest_ms: float
    total_ms: float


def measure_stages(
    package: str | Path, image_bgr: np.ndarray, image: str, seconds: float = 1.0, threads: int | None = 1
) -> Stages:
    """Run a package's preferred variant on a picture for some seconds, at least MIN_CALLS times.

    Args:
        package: its folder.
        image_bgr: uint8 [H, W, 3].
        image: its name.
        seconds: how long.
        threads: CPU threads of the model's backend.

    Raises:
        EdgeauError: the package doesn't run here.
    """
    with load(package, threads=threads) as analyzer:
        warm_up(lambda: analyzer.still(image_bgr), seconds / 5)
        results: list[tuple[float, Faces]] = []
        end = time.perf_counter() + seconds
        while len(results) < MIN_CALLS or time.perf_counter() < end:
            start = time.perf_counter()
            faces = analyzer.still(image_bgr)
            results.append(((time.perf_counter() - start) * 1e3, faces))
        height, width = image_bgr.shape[:2]
        return Stages(
            package=analyzer.manifest.name,
            variant=analyzer.choice.variant,
            backend=analyzer.choice.backend,
            detector=type(analyzer.detector).__name__,
            image=f"{image}, {width}x{height}",
            faces=len(results[0][1]),
            calls=len(results),
            detect_ms=_median([faces.times.detect_ms for _, faces in results]),
            crop_ms=_median([faces.times.crop_ms for _, faces in results]),
            infer_ms=_median([faces.times.infer_ms for _, faces in results]),
            rest_ms=_median([max(0.0, total - faces.times.total_ms) for total, faces in results]),
            total_ms=_median([total for total, _ in results]),
        )


def photo_bgr() -> np.ndarray:
    """uint8 [512, 512, 3], BGR: the photo in scikit-image's wheel (NASA, public domain)."""
    try:
        import skimage.data
    except ImportError as error:
        raise MissingExtraError("scikit-image", "bench", "the photo that stages are measured on") from error
    return np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])


def _median(values: Sequence[float]) -> float:
    return round(float(np.median(values)), 4)

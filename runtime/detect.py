"""Face detection: where the faces are, and five points of each.

YuNet (``cv2.FaceDetectorYN``; Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023) where its file is at
hand, OpenCV's bundled Haar cascades otherwise, so that a machine without a network works. YuNet is better: it sees
turned faces, and its points align the crop more exactly.
"""

from __future__ import annotations

import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Protocol, Tuple

import numpy as np

from .errors import InputError
from .files import PathLike, sha256_file, write_bytes
from .opencv import cascade_folder, require_cv2, yunet_obstacle

YUNET_FILE = "face_detection_yunet_2023mar.onnx"
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
YUNET_URL = "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/" + YUNET_FILE
YUNET_VARIABLE = "EDGEAU_YUNET"

# Mean places of YuNet's five points inside a Haar box, in fractions of its side: the mean over 39 frames of a frontal
# clip; standard deviations are 0.02 to 0.06.
_HAAR_POINTS = np.array([[0.304, 0.388], [0.692, 0.393], [0.488, 0.620], [0.325, 0.790], [0.665, 0.795]])


@dataclass(frozen=True)
class Detection:
    """One face in an image.

    Attributes:
        box_xyxy: float32 [4], left, top, right, bottom in pixels; may reach over the image's edge.
        points_xy: float32 [5, 2], right eye, left eye, nose tip, right and left mouth corner (the subject's right).
        score: 0..1; 1 where the detector gives none.
    """

    box_xyxy: np.ndarray
    points_xy: np.ndarray
    score: float


class Detector(Protocol):
    """Anything that finds faces."""

    name: str

    def detect(self, image_bgr: np.ndarray) -> List[Detection]:
        """Faces of a uint8 [H, W, 3] BGR image, largest first; empty where there is none."""
        ...


class YuNetDetector:
    """YuNet through OpenCV. Images are brought to at most ``max_side_px`` before the search, for speed."""

    name = "yunet"

    def __init__(self, file: PathLike, *, min_score: float = 0.7, max_side_px: int = 640) -> None:
        import cv2

        if not Path(file).is_file():
            raise InputError(f"YuNet file {file}", got="no such file", expected=YUNET_FILE)
        obstacle = yunet_obstacle()
        if obstacle:
            raise InputError("YuNet", got=obstacle, hint="pip install 'opencv-python<5', or --detector haar")
        try:
            self._net = cv2.FaceDetectorYN.create(str(file), "", (320, 320), min_score)
        except cv2.error as error:
            raise InputError(f"YuNet file {file}", got=f"unreadable ({_brief(error)})", expected=YUNET_FILE) from error
        self._max_side_px = max_side_px

    def detect(self, image_bgr: np.ndarray) -> List[Detection]:
        """As in Detector."""
        small, scale = _bounded(image_bgr, self._max_side_px)
        self._net.setInputSize((small.shape[1], small.shape[0]))
        _, rows = self._net.detect(small)
        found = []
        for row in rows if rows is not None else ():
            x, y, width, height = row[:4] / scale
            box = np.array([x, y, x + width, y + height], np.float32)
            points = (row[4:14].reshape(5, 2) / scale).astype(np.float32)
            found.append(Detection(box, points, float(row[14])))
        return _largest_first(found)


class HaarDetector:
    """OpenCV's bundled cascades: the frontal face, and the eyes inside it, which set scale and roll."""

    name = "haar"

    def __init__(self, *, max_side_px: int = 360) -> None:
        import cv2

        folder = cascade_folder()
        self._face = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_default.xml"))
        self._eye = cv2.CascadeClassifier(str(folder / "haarcascade_eye.xml"))
        self._max_side_px = max_side_px

    def detect(self, image_bgr: np.ndarray) -> List[Detection]:
        """As in Detector. Faces are sought in a small image, eyes in the whole one."""
        import cv2

        grey = cv2.equalizeHist(cv2.cvtColor(image_bgr, cv2.COLOR_BGR2GRAY))
        small, scale = _bounded(image_bgr, self._max_side_px)
        small_grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))
        found = []
        for box in self._face.detectMultiScale(small_grey, 1.1, 5, minSize=(32, 32)):
            x, y, side = (float(v) / scale for v in box[:3])
            points = self._refine(grey, np.array([x, y]) + _HAAR_POINTS * side, side)
            edges = np.array([x, y, x + side, y + side], np.float32)
            found.append(Detection(edges, points.astype(np.float32), 1.0))
        return _largest_first(found)

    def _refine(self, grey: np.ndarray, points: np.ndarray, side: float) -> np.ndarray:
        """Move the mean points by the similarity that takes the two mean eyes to the two found ones."""
        right, left = (self._find_eye(grey, points[i], side) for i in (0, 1))
        if right is None or left is None:
            return points
        mean_right, mean_left = complex(*points[0]), complex(*points[1])
        factor = (left - right) / (mean_left - mean_right)
        if not 0.75 < abs(factor) < 1.35:
            return points
        moved = (points[:, 0] + 1j * points[:, 1] - mean_right) * factor + right
        return np.stack([moved.real, moved.imag], axis=1)

    def _find_eye(self, grey: np.ndarray, near: np.ndarray, side: float) -> Optional[complex]:
        """The eye closest to a place, sought in a square of 0.42 of the face brought to 48 pixels; None without one."""
        half = max(1, int(side * 0.21))
        x, y = (max(0, int(v) - half) for v in near)
        region, scale = _bounded(grey[y : y + 2 * half, x : x + 2 * half], 48)
        boxes = self._eye.detectMultiScale(region, 1.05, 3, minSize=(20, 20)) if min(region.shape) >= 20 else ()
        centres = [complex(x + (u + w / 2) / scale, y + (v + h / 2) / scale) for u, v, w, h in boxes]
        return min(centres, key=lambda c: abs(c - complex(*near)), default=None)


def default_detector() -> Detector:
    """YuNet where its file is named in EDGEAU_YUNET or cached and OpenCV can run it, Haar otherwise.

    Raises:
        MissingExtraError: without OpenCV.
        InputError: EDGEAU_YUNET names no file, or this OpenCV has no cascades.
    """
    require_cv2("finding faces")
    file = yunet_file()
    return YuNetDetector(file) if file is not None and yunet_obstacle() is None else HaarDetector()


def make_detector(name: Optional[str]) -> Detector:
    """A detector by name: ``yunet``, ``haar``, a path to YuNet's file, or None for the default."""
    if name is None:
        return default_detector()
    require_cv2("finding faces")
    if name == "haar":
        return HaarDetector()
    if name != "yunet":
        return YuNetDetector(name)
    file = yunet_file()
    if file is None:
        raise InputError("detector yunet", got="no file", expected=f"{YUNET_FILE} in {cache_folder()}",
                         hint=f"run `edgeau doctor --fetch-detector` or set {YUNET_VARIABLE}")  # fmt: skip
    return YuNetDetector(file)


def yunet_file() -> Optional[Path]:
    """YuNet's file as named in the environment or cached, else None. Raises InputError for a bad name."""
    named = os.environ.get(YUNET_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise InputError(f"{YUNET_VARIABLE}={named}", got="no such file", expected=YUNET_FILE)
        return Path(named)
    cached = cache_folder() / YUNET_FILE
    return cached if cached.is_file() else None


def fetch_yunet() -> Path:
    """Download YuNet into the cache and check its hash. Raises InputError where that fails."""
    target = cache_folder() / YUNET_FILE
    try:
        with urllib.request.urlopen(YUNET_URL, timeout=30) as answer:
            data = answer.read()
    except OSError as error:
        raise InputError(f"download of {YUNET_URL}", got=str(error), expected="the file",
                         hint=f"fetch it elsewhere and copy it to {target}") from error  # fmt: skip
    write_bytes(target, data)
    if sha256_file(target) != YUNET_SHA256:
        target.unlink()
        raise InputError(f"download of {YUNET_URL}", got="another file", expected=f"SHA-256 {YUNET_SHA256}")
    return target


def cache_folder() -> Path:
    """Where edgeau keeps what it fetched: EDGEAU_CACHE, or the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(os.environ.get("EDGEAU_CACHE") or os.path.join(base, "edgeau"))


def examine_detector() -> Tuple[str, str]:
    """The default detector as ``edgeau doctor`` reports it: what it is, and what to type for a better one ("" if none).

    The detector is made and run once, on an empty picture. Raises InputError or MissingExtraError where that fails.
    """
    detector, file = default_detector(), yunet_file()
    detector.detect(np.zeros((128, 128, 3), np.uint8))
    if detector.name == "yunet":
        return f"yunet ({file})", ""
    if file is None:
        return "haar (OpenCV's cascades), which misses turned faces", "edgeau doctor --fetch-detector"
    return f"haar: {file} is here, but this is {yunet_obstacle()}", "pip install 'opencv-python>=4.8,<5'"


def _bounded(image: np.ndarray, max_side_px: int) -> Tuple[np.ndarray, float]:
    import cv2

    scale = min(1.0, max_side_px / max(image.shape[:2]))
    if scale == 1.0:
        return image, 1.0
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


def _largest_first(found: List[Detection]) -> List[Detection]:
    def area(face: Detection) -> float:
        left, top, right, bottom = face.box_xyxy
        return float((right - left) * (bottom - top))

    return sorted(found, key=area, reverse=True)


def _brief(error: Exception) -> str:
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__

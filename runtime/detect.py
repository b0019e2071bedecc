"""Choose a face detector, and find or download its file.

YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023) is used if its file is available: on ONNX
Runtime or OpenVINO, else in OpenCV. Without the file, OpenCV's Haar cascades are used, which need no network. YuNet is
better: it detects turned faces, and its points align the crop more exactly.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional, Tuple

import numpy as np

from .backends import missing
from .detection import Detection, Detector
from .errors import InputError
from .files import PathLike, sha256_file, write_bytes
from .haar import HaarDetector
from .opencv import require_cv2, yunet_obstacle
from .yunet import OpenCvYuNet, YuNetDetector, on_backend

__all__ = ["Detection", "Detector", "HaarDetector", "OpenCvYuNet", "YuNetDetector", "default_detector", "make_detector"]

YUNET_FILE = "face_detection_yunet_2023mar.onnx"
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
YUNET_URL = "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/" + YUNET_FILE
YUNET_VARIABLE = "EDGEAU_YUNET"
# A close-up takes 0.4 ms on one thread. A second pool of threads would spin beside the model's and slow both.
DETECTOR_THREADS = 1
# Fastest with YuNet first: benchmarks/studies/detector_speed.py.
_YUNET_BACKENDS = ("onnxruntime", "openvino")


def default_detector(threads: Optional[int] = DETECTOR_THREADS) -> Detector:
    """YuNet if its file is named in EDGEAU_YUNET or cached, and can run here; otherwise Haar.

    Args:
        threads: CPU threads of YuNet; None for the backend's own choice.

    Raises:
        MissingExtraError: without OpenCV.
        InputError: EDGEAU_YUNET does not name a file, or this OpenCV has no cascades.
    """
    require_cv2("finding faces")
    file = yunet_file()
    return HaarDetector() if file is None or _yunet_obstacle() else open_yunet(file, threads)


def make_detector(name: Optional[str], threads: Optional[int] = DETECTOR_THREADS) -> Detector:
    """A detector by name: ``yunet``, ``yunet-opencv``, ``haar``, a path to YuNet's file, or None for the default."""
    if name is None:
        return default_detector(threads)
    require_cv2("finding faces")
    if name == "haar":
        return HaarDetector()
    if name not in ("yunet", "yunet-opencv"):
        return open_yunet(name, threads)
    file = yunet_file()
    if file is None:
        raise InputError(f"detector {name}", got="no file", expected=f"{YUNET_FILE} in {cache_folder()}",
                         hint=f"run `edgeau doctor --fetch-detector` or set {YUNET_VARIABLE}")  # fmt: skip
    return OpenCvYuNet(file) if name == "yunet-opencv" else open_yunet(file, threads)


def open_yunet(file: PathLike, threads: Optional[int] = DETECTOR_THREADS) -> Detector:
    """YuNet on the first backend that is installed, else in OpenCV. Raises InputError if nothing can run the file."""
    if not Path(file).is_file():
        raise InputError(f"YuNet file {file}", got="no such file", expected=YUNET_FILE)
    backend = _yunet_backend()
    return OpenCvYuNet(file) if backend is None else on_backend(file, backend, threads)


def _yunet_backend() -> Optional[str]:
    return next((name for name in _YUNET_BACKENDS if missing(name) is None), None)


def can_run_yunet() -> bool:
    """Whether a backend, or OpenCV, runs YuNet here."""
    return _yunet_obstacle() is None


def _yunet_obstacle() -> Optional[str]:
    """Why YuNet can't run here; None if it can."""
    if _yunet_backend() is not None:
        return None
    reason = yunet_obstacle()
    return reason and f"{reason}; {' and '.join(_YUNET_BACKENDS)} are not installed"


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
    """Download YuNet into the cache and check its hash. Raises InputError if that fails."""
    import urllib.request  # takes 20 ms, which every other use would wait for

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
    """The folder for downloaded files: EDGEAU_CACHE, or the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(os.environ.get("EDGEAU_CACHE") or os.path.join(base, "edgeau"))


def examine_detector() -> Tuple[str, str]:
    """The default detector as ``edgeau doctor`` reports it: what it is, and the command for a better one ("" if none).

    The detector is created and run once, on an empty image. Raises InputError or MissingExtraError if that fails.
    """
    detector, file = default_detector(), yunet_file()
    detector.detect(np.zeros((128, 128, 3), np.uint8))
    if file is None:
        return "haar (OpenCV's cascades), which misses turned faces", "edgeau doctor --fetch-detector"
    if detector.name == "haar":
        return f"haar: {file} is here, but this is {_yunet_obstacle()}", "pip install onnxruntime"
    return f"{detector.name} on {_yunet_backend() or 'OpenCV'} ({file})", ""

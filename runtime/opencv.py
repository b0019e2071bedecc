"""The installed OpenCV, and what it lacks.

JetPack, Debian and Ubuntu bring builds of their own, which differ from pip's wheels:

- the wheels alone have ``cv2.data``, the folder of the Haar cascades; elsewhere these are below ``/usr/share`` and come
  with Debian's package ``opencv-data``;
- ``cv2.utils.logging`` is missing up to 4.8, in pip's wheels and in Debian's 4.6, which have ``cv2.setLogLevel``
  instead; 4.5.1 has neither;
- ``FaceDetectorYN`` came with 4.5.4. Before 4.8 it decodes an older YuNet and throws in ``detect`` with the
  file of March 2023 (opencv_zoo issue 172).
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Tuple

from .errors import InputError, MissingExtraError

OLDEST_FOR_YUNET = (4, 8)
_FACE_CASCADE = "haarcascade_frontalface_default.xml"
# Where Debian, Ubuntu and JetPack put the cascades, and where `make install` of OpenCV does.
_CASCADE_FOLDERS = (
    "/usr/share/opencv4/haarcascades",
    "/usr/local/share/opencv4/haarcascades",
    "/usr/share/opencv/haarcascades",
)
_SILENT = 0


def require_cv2(purpose: str) -> None:
    """Raise MissingExtraError if OpenCV is not installed."""
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("opencv-python", "cpu", purpose) from error


def version() -> Tuple[int, int]:
    """Major and minor version of the installed OpenCV."""
    import cv2

    major, minor = cv2.__version__.split(".")[:2]
    return int(major), int(minor)


def cascade_folder() -> Path:
    """The folder of OpenCV's Haar cascades. If missing, raises InputError naming the package to install."""
    import cv2

    if not hasattr(cv2, "CascadeClassifier"):
        raise InputError("OpenCV", got=cv2.__version__, expected="4.x, which has Haar cascades",
                         hint="pip install 'opencv-python<5'")  # fmt: skip
    own = getattr(getattr(cv2, "data", None), "haarcascades", None)
    for folder in (own, *_CASCADE_FOLDERS):
        if folder and (Path(folder) / _FACE_CASCADE).is_file():
            return Path(folder)
    raise InputError("Haar cascades", got=f"OpenCV {cv2.__version__} without them",
                     expected=f"{_FACE_CASCADE} in {_CASCADE_FOLDERS[0]}",
                     hint="type: sudo apt-get install opencv-data")  # fmt: skip


def yunet_obstacle() -> Optional[str]:
    """Why ``cv2.FaceDetectorYN`` can't run YuNet here (``OpenCV 4.6.0, needs 4.8 or later``); None if it can."""
    import cv2

    if hasattr(cv2, "FaceDetectorYN") and version() >= OLDEST_FOR_YUNET:
        return None
    return f"OpenCV {cv2.__version__}, needs {'.'.join(map(str, OLDEST_FOR_YUNET))} or later"


def video_backends() -> str:
    """OpenCV's video backends, from its build information, such as ``FFMPEG, GStreamer``; "" if there are none."""
    import cv2

    text = cv2.getBuildInformation()
    return ", ".join(name for name in ("FFMPEG", "GStreamer") if re.search(rf"^\s*{name}:\s+YES", text, re.MULTILINE))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress OpenCV's own warnings, if this build allows it."""
    levels = _log_level_functions()
    if levels is None:
        yield
        return
    read, write = levels
    level = read()
    write(_SILENT)
    try:
        yield
    finally:
        write(level)


def _log_level_functions() -> Optional[Tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """How this build reads and sets its log level; None if it can't."""
    import cv2

    for owner in (getattr(getattr(cv2, "utils", None), "logging", None), cv2):
        if owner is not None and hasattr(owner, "getLogLevel") and hasattr(owner, "setLogLevel"):
            return owner.getLogLevel, owner.setLogLevel
    return None

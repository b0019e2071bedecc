"""A window that shows annotated frames as they are analysed."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Optional, Sequence, Type

from .draw import Annotator
from .errors import InputError
from .face import Face
from .sources import Frame
from .steady import Steady

_TITLE = "edgeau: q or Esc closes"
_CLOSING_KEYS = (ord("q"), 27)
_LARGEST_PX = 1280


class WindowClosedError(Exception):
    """The user has closed the window; what was computed is kept."""


class Window:
    """Shows frames. Use it with ``with``.

    Args:
        aus: the AUs to show.

    Raises:
        InputError: there is no display, or OpenCV was built without windows.
    """

    def __init__(self, aus: Sequence[str]) -> None:
        import cv2

        # Qt ends the whole process where it finds no display.
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise InputError("--show", got="no display", hint="use --annotate FILE.mp4, or log in with ssh -X")
        try:
            cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            hint = "pip install opencv-python in place of opencv-python-headless"
            raise InputError("--show", got="an OpenCV without windows", hint=hint) from error
        self._aus, self._sized = aus, False
        self.start(moving=True)

    def start(self, *, moving: bool) -> None:
        """Begin a new source: a video, or stills, after each of which a key is waited for."""
        self._annotator, self._steady, self._moving = Annotator(self._aus, moving=moving), Steady(), moving

    def __call__(self, frame: Frame, faces: Sequence[Face]) -> None:
        """Show a frame. Raises WindowClosedError if the user has closed the window."""
        import cv2

        assert frame.image_bgr is not None
        shown = self._steady(faces, frame.time_s) if self._moving else faces
        image = self._annotator.draw(frame.image_bgr, shown, may_widen=not self._moving)
        if not self._sized:
            height, width = image.shape[:2]
            scale = min(1.0, _LARGEST_PX / max(height, width))
            cv2.resizeWindow(_TITLE, round(width * scale), round(height * scale))
            self._sized = True
        cv2.imshow(_TITLE, image)
        while True:
            key = cv2.waitKey(1 if self._moving else 100)
            if key in _CLOSING_KEYS or cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1:
                raise WindowClosedError
            if self._moving or key >= 0:
                return

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        import cv2

        cv2.destroyAllWindows()

"""Pictures in: any that OpenCV decodes, or an array, as uint8 BGR."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, List, Sequence

import numpy as np

from .crop import crop_face
from .detect import default_detector
from .errors import InputError
from .files import PathLike
from .manifest import CropSpec
from .opencv import quiet, require_cv2

MAX_FILE_BYTES = 1 << 30
# cv2.warpAffine and cv2.remap count pixels in 16 bits with a sign.
MAX_SIDE_PX = 32766


def read_image(path: PathLike) -> np.ndarray:
    """Read a picture as uint8 [H, W, 3] BGR, turned upright by its EXIF data.

    Grey pictures become three equal channels, alpha is dropped, 16 bits are scaled to 8.

    Raises:
        InputError: missing, truncated or not a picture.
    """
    require_cv2("reading images")
    what = f"image {path}"
    try:
        state = os.stat(path)
        # Before it is opened: a FIFO would be waited for, and a device has no end.
        if not stat.S_ISREG(state.st_mode):
            kind = "a folder" if stat.S_ISDIR(state.st_mode) else "a device or FIFO"
            raise InputError(what, got=kind, expected="a readable picture")
        if state.st_size > MAX_FILE_BYTES:
            raise InputError(what, got=f"{state.st_size} bytes", expected=f"at most {MAX_FILE_BYTES}")
        data = np.fromfile(path, np.uint8)
    except (OSError, ValueError) as error:
        got = str(getattr(error, "strerror", None) or error).lower()
        raise InputError(what, got=got, expected="a readable picture") from error
    return decode_image(data, what)


def decode_image(data: np.ndarray, what: str) -> np.ndarray:
    """A picture from its bytes, uint8 [B], as uint8 [H, W, 3] BGR. Raises InputError that begins with ``what``."""
    import cv2

    expected = "a whole PNG, JPEG, BMP, WebP or TIFF"
    if not data.size:
        raise InputError(what, got="an empty file", expected=expected)
    try:
        with quiet():
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:  # more pixels than OpenCV takes (2^30, or OPENCV_IO_MAX_IMAGE_PIXELS)
        raise InputError(what, got=f"refused by OpenCV ({error.err or 'too large'})", expected=expected) from error
    if image is None:
        raise InputError(what, got="no picture that OpenCV can decode", expected=expected)
    return as_bgr(image)


def as_bgr(image: Any) -> np.ndarray:
    """An array as uint8 [H, W, 3] BGR.

    Args:
        image: uint8 or uint16, [H, W], [H, W, 1], [H, W, 3] BGR or [H, W, 4] BGRA.

    Raises:
        InputError: another type or shape.
    """
    array = np.asarray(image)
    shape_ok = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not shape_ok or array.dtype not in (np.uint8, np.uint16) or 0 in array.shape:
        raise InputError(
            "image", got=f"{array.dtype} {list(array.shape)}", expected="uint8 or uint16 [H, W, 3], BGR as cv2 gives it"
        )
    if max(array.shape[:2]) > MAX_SIDE_PX:
        got = f"{array.shape[1]} x {array.shape[0]} pixels"
        raise InputError("image", got=got, expected=f"sides up to {MAX_SIDE_PX}")
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    return np.ascontiguousarray(array[:, :, :3])


def resized(crop: Any, height: int, width: int) -> np.ndarray:
    """A crop uint8 [H, W, 3] in another size: averaged where it shrinks, interpolated where it grows.

    Raises:
        InputError: another shape or type.
    """
    import cv2

    array = np.asarray(crop)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise InputError("crop", got=f"{array.dtype} {list(array.shape)}", expected="uint8 [H, W, 3], RGB")
    if array.shape[:2] == (height, width):
        return array
    method = cv2.INTER_AREA if array.shape[0] > height else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(array), (width, height), interpolation=method)


def crops_of_images(files: Sequence[Path], crop: CropSpec) -> np.ndarray:
    """RGB crops of pictures: those already of the crop's size as they are, faces found in the others.

    Returns:
        uint8 [N, size_px, size_px, 3]; pictures without a face are left out.
    """
    found: List[np.ndarray] = []
    detector = default_detector()
    for file in files:
        image = read_image(file)
        if image.shape[:2] == (crop.size_px, crop.size_px):
            found.append(image[:, :, ::-1])
            continue
        found += [crop_face(image[:, :, ::-1], face.points_xy, crop) for face in detector.detect(image)]
    shape = (0, crop.size_px, crop.size_px, 3)
    return np.stack(found) if found else np.zeros(shape, np.uint8)

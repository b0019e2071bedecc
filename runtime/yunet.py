"""YuNet on edgeau's own backends: fit the image to a graph of fixed size, and decode faces from its outputs.

Decoding and suppression follow OpenCV's FaceDetectorYN (opencv 4.x, modules/objdetect/src/face_detect.cpp), which gives
the same boxes and points; its network takes several times as long there as on ONNX Runtime.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .backends import Backend, BackendOptions, open_backend
from .detection import Detection, bounded, largest_first
from .errors import InputError
from .files import PathLike, utf8_path
from .opencv import yunet_obstacle
from .yunet_graph import INPUT, STRIDES, with_uint8_input

Size = Tuple[int, int]
MIN_SCORE = 0.7
MAX_SIDE_PX = 640  # larger images are shrunk to this, for speed
SUPPRESS_IOU = 0.3  # FaceDetectorYN's default
# Sizes of graphs built on demand: the multiples of 32, to which OpenCV pads an image as well. A larger margin would
# change the boxes of faces that fill the image, by tens of pixels.
_SIDES = range(STRIDES[-1], MAX_SIDE_PX + 1, STRIDES[-1])
ON_DEMAND: Tuple[Size, ...] = tuple((height, width) for height in _SIDES for width in _SIDES)
_MOST_OPEN = 8


class YuNet:
    """The network, in one graph per size. A video needs one graph; of a folder's sizes the last eight stay open.

    Args:
        sizes: (height, width) of the graphs that exist or can be built.
        open_size: opens the graph of a size.
    """

    def __init__(self, sizes: Sequence[Size], open_size: Callable[[Size], Backend]) -> None:
        self._sizes, self._open = sizes, open_size
        self._backends: Dict[Size, Backend] = {}

    def faces(self, image_bgr: np.ndarray, min_score: float) -> np.ndarray:
        """Find faces.

        Args:
            image_bgr: uint8 [H, W, 3].
            min_score: faces with a lower score are omitted.

        Returns:
            float32 [N, 15] in pixels of the image, best first: left, top, width, height, five points as x, y (right
            eye, left eye, nose, right and left mouth corner), score.
        """
        import cv2

        size, scale = fit(self._sizes, image_bgr.shape[0], image_bgr.shape[1])
        height, width = (max(1, round(side * scale)) for side in image_bgr.shape[:2])
        if scale != 1.0:
            image_bgr = cv2.resize(image_bgr, (width, height), interpolation=cv2.INTER_AREA)
        canvas = np.zeros((1, *size, 3), np.uint8)
        canvas[0, :height, :width] = image_bgr
        rows = suppress(decode(self._backend(size).infer({INPUT: canvas}), size, min_score))
        rows[:, :14] /= scale
        return rows

    def _backend(self, size: Size) -> Backend:
        backend = self._backends.pop(size, None) or self._open(size)
        self._backends[size] = backend  # most recently used last
        if len(self._backends) > _MOST_OPEN:
            self._backends.pop(next(iter(self._backends))).close()
        return backend

    def close(self) -> None:
        """Free the backends."""
        for backend in self._backends.values():
            backend.close()
        self._backends = {}


def fit(sizes: Sequence[Size], height: int, width: int) -> Tuple[Size, float]:
    """The graph size for an image, and the scale: the size that needs the least shrinking, then the smallest."""

    def scale(size: Size) -> float:
        return min(1.0, size[0] / height, size[1] / width)

    best = max(sizes, key=lambda size: (scale(size), -size[0] * size[1]))
    return best, scale(best)


def decode(outputs: Mapping[str, np.ndarray], size: Size, min_score: float) -> np.ndarray:
    """Faces of one image before suppression.

    At each stride the cells are in row-major order. In units of the stride, a box's centre and the points are offsets
    from the cell's corner, and its sides are exponentials; the score is the geometric mean of class and objectness.

    Args:
        outputs: ``cls_8`` and so on, float32 [1, cells, 1, 1, 4 or 10].
        size: (height, width) of the graph.
        min_score: cells with a lower score are omitted.

    Returns:
        float32 [N, 15], in pixels of the graph's input, as in ``YuNet.faces``.
    """
    rows: List[np.ndarray] = []
    for stride in STRIDES:
        classes, objects = (np.clip(outputs[f"{kind}_{stride}"].ravel(), 0, 1) for kind in ("cls", "obj"))
        scores = np.sqrt(classes * objects)
        cells = np.flatnonzero(scores >= min_score)
        corner = np.stack([cells % (size[1] // stride), cells // (size[1] // stride)], axis=1).astype(np.float32)
        box = outputs[f"bbox_{stride}"].reshape(-1, 4)[cells]
        sides = np.exp(box[:, 2:]) * stride
        left_top = (corner + box[:, :2]) * stride - sides / 2
        points = (outputs[f"kps_{stride}"].reshape(-1, 5, 2)[cells] + corner[:, None]) * stride
        rows.append(np.hstack([left_top, sides, points.reshape(-1, 10), scores[cells, None]]))
    return np.vstack(rows).astype(np.float32)


def suppress(faces: np.ndarray, most_iou: float = SUPPRESS_IOU) -> np.ndarray:
    """Non-maximum suppression: keep the best of overlapping faces; float32 [N, 15], best first.

    Overlap is computed on boxes truncated to whole pixels, as FaceDetectorYN does for NMSBoxes.
    """
    faces = faces[np.argsort(-faces[:, 14], kind="stable")]
    boxes = np.trunc(faces[:, :4])
    left_top, sides = boxes[:, :2], boxes[:, 2:]
    kept: List[int] = []
    for i in range(len(faces)):
        shared = np.minimum(left_top[i] + sides[i], left_top[kept] + sides[kept]) - np.maximum(
            left_top[i], left_top[kept]
        )
        common = np.prod(np.maximum(shared, 0), axis=1)
        union = np.prod(sides[i]) + np.prod(sides[kept], axis=1) - common
        if not np.any(common > most_iou * union):
            kept.append(i)
    return faces[kept]


class YuNetDetector:
    """YuNet on one of edgeau's backends."""

    name = "yunet"

    def __init__(self, net: YuNet, *, min_score: float = MIN_SCORE) -> None:
        self._net, self._min_score = net, min_score

    def detect(self, image_bgr: np.ndarray) -> List[Detection]:
        """As in Detector."""
        return _detections(self._net.faces(image_bgr, self._min_score))


def on_backend(file: PathLike, backend: str, threads: Optional[int] = None) -> YuNetDetector:
    """YuNet's ONNX file on ONNX Runtime or OpenVINO, with one graph per image size, built on demand.

    Raises:
        InputError: the file is not YuNet's.
    """
    onnx_bytes = Path(file).read_bytes()
    try:
        with_uint8_input(onnx_bytes, *ON_DEMAND[0])
    except InputError as error:
        raise InputError(f"YuNet file {file}", got=error.got, expected=error.expected) from error

    def open_size(size: Size) -> Backend:
        with tempfile.TemporaryDirectory(prefix="edgeau-yunet-") as folder:
            graph = Path(folder) / f"yunet-{size[1]}x{size[0]}.onnx"
            graph.write_bytes(with_uint8_input(onnx_bytes, *size))
            return open_backend(backend, graph, BackendOptions(threads=threads))

    return YuNetDetector(YuNet(ON_DEMAND, open_size))


def on_engines(engines: Sequence[Backend]) -> YuNetDetector:
    """YuNet from graphs built for a few sizes, each on an open backend."""
    by_size = {backend.input_shapes[INPUT][:2]: backend for backend in engines}
    return YuNetDetector(YuNet(tuple(by_size), by_size.__getitem__))


class OpenCvYuNet:
    """YuNet in OpenCV itself, for use without a backend."""

    name = "yunet-opencv"

    def __init__(self, file: PathLike, *, min_score: float = MIN_SCORE) -> None:
        import cv2

        obstacle = yunet_obstacle()
        if obstacle:
            raise InputError("YuNet", got=obstacle, hint="pip install onnxruntime, or --detector haar")
        try:
            self._net = cv2.FaceDetectorYN.create(utf8_path(file), "", (320, 320), min_score)
        except cv2.error as error:
            raise InputError(f"YuNet file {file}", got="a file that OpenCV can't read", expected="YuNet's") from error

    def detect(self, image_bgr: np.ndarray) -> List[Detection]:
        """As in Detector."""
        small, scale = bounded(image_bgr, MAX_SIDE_PX)
        self._net.setInputSize((small.shape[1], small.shape[0]))
        _, rows = self._net.detect(small)
        if rows is None:
            return []
        rows = rows.copy()
        rows[:, :14] /= scale
        return _detections(rows)


# A face may extend beyond the largest image that OpenCV can crop from, but not by several times its side.
_FARTHEST_PX = 4.0 * 32766


def _detections(rows: np.ndarray) -> List[Detection]:
    """Detections from the rows of ``YuNet.faces``. In images a few pixels high the network finds infinite faces."""
    rows = rows[(np.abs(rows) <= _FARTHEST_PX).all(axis=1)]
    return largest_first(
        [
            Detection(np.concatenate([row[:2], row[:2] + row[2:4]]), row[4:14].reshape(5, 2), float(row[14]))
            for row in rows
        ]
    )

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
# A close-up shows a face 96 pixels high. Repeated with shifts of 6% and scales of 8% on 27 photos and frames, points
# scatter by 0.018 eye distances there, by 0.024 at 64 pixels and by 0.044 at 128, between two strides.
CLOSE_UP_PX, _CLOSE_UP_FACE_PX = 160, 96.0
CLOSE_UP: Size = (CLOSE_UP_PX, CLOSE_UP_PX)
_SAME_IOU = 0.5
# In a close-up the face is known to be there.
_MIN_SCORE_NEAR = 0.6
_SMALLER_SIDES_PX = (320, 160)


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
        size, scale = fit(self._sizes, image_bgr.shape[0], image_bgr.shape[1])
        rows = find_in_canvas(self._backend(size), fit_into(size, image_bgr)[0], min_score)
        rows[:, :14] /= scale
        return rows

    def close_up(self, image_bgr: np.ndarray, box_xyxy: np.ndarray, min_score: float) -> Optional[np.ndarray]:
        """Find one face again near where it is known to be, more exactly and at a small part of the cost.

        The network is precise to 0.03 eye distances, but differently at each size of the face. So the face is always
        brought to the same size, and all predictions that overlap the best are averaged, weighted by their squared
        scores (the blending of BlazeFace, Bazarevsky et al., 2019), which reduces the noise by a third.

        Args:
            image_bgr: uint8 [H, W, 3].
            box_xyxy: float [4]: where the face is, or was in the last frame.
            min_score: a face with a lower score is none.

        Returns:
            float32 [15] as in ``faces``, or None if no face overlaps the box.
        """
        matrix = _close_up_matrix(box_xyxy)
        square = _close_up(image_bgr, matrix)
        cells = decode(self._backend(CLOSE_UP).infer({INPUT: square[None]}), CLOSE_UP, min_score / 2)
        width, height = (box_xyxy[2:] - box_xyxy[:2]) * matrix[0, 0]
        expected = np.array([(CLOSE_UP_PX - width) / 2, (CLOSE_UP_PX - height) / 2, width, height])
        row = blend(cells, expected, min_score)
        return None if row is None else _to_image(row, matrix)

    @property
    def has_close_ups(self) -> bool:
        """Whether the graph that ``close_up`` needs exists or can be built."""
        return CLOSE_UP in self._sizes

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


def fit_into(size: Size, image_bgr: np.ndarray) -> Tuple[np.ndarray, float]:
    """An image in the corner of a black uint8 [height, width, 3] of a graph's size, and the scale it was shrunk by."""
    import cv2

    _, scale = fit((size,), image_bgr.shape[0], image_bgr.shape[1])
    height, width = (max(1, round(side * scale)) for side in image_bgr.shape[:2])
    if scale != 1.0:
        image_bgr = cv2.resize(image_bgr, (width, height), interpolation=cv2.INTER_AREA)
    canvas = np.zeros((*size, 3), np.uint8)
    canvas[:height, :width] = image_bgr
    return canvas, scale


def find_in_canvas(backend: Backend, canvas: np.ndarray, min_score: float) -> np.ndarray:
    """Faces of an image of a graph's size, float32 [N, 15], in its pixels, best first."""
    return suppress(decode(backend.infer({INPUT: canvas[None]}), canvas.shape[:2], min_score))


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
        if not len(cells):
            continue
        corner = np.stack([cells % (size[1] // stride), cells // (size[1] // stride)], axis=1).astype(np.float32)
        box = outputs[f"bbox_{stride}"].reshape(-1, 4)[cells]
        sides = np.exp(box[:, 2:]) * stride
        left_top = (corner + box[:, :2]) * stride - sides / 2
        points = (outputs[f"kps_{stride}"].reshape(-1, 5, 2)[cells] + corner[:, None]) * stride
        rows.append(np.hstack([left_top, sides, points.reshape(-1, 10), scores[cells, None]]))
    return np.vstack(rows).astype(np.float32) if rows else np.zeros((0, 15), np.float32)


def blend(cells: np.ndarray, expected_xywh: np.ndarray, min_score: float) -> Optional[np.ndarray]:
    """The average of the cells that predict the expected face.

    Args:
        cells: float32 [N, 15], from ``decode``.
        expected_xywh: float [4], left, top, width, height.
        min_score: of the best cell.

    Returns:
        float32 [15] with the best cell's score; None if no cell overlaps the expected box or reaches the score.
    """
    near = cells[_iou(cells, expected_xywh) >= SUPPRESS_IOU]
    if not len(near):
        return None
    best = near[near[:, 14].argmax()]
    if best[14] < min_score:
        return None
    same = near[_iou(near, best[:4]) >= _SAME_IOU]
    weights = same[:, 14:] ** 2
    row: np.ndarray = (same * weights).sum(axis=0) / weights.sum()
    row[14] = best[14]
    return row


def _iou(rows: np.ndarray, xywh: np.ndarray) -> np.ndarray:
    """Intersection over union of rows that begin with left, top, width, height with one such box, [N]."""
    left_top = np.maximum(rows[:, :2], xywh[:2])
    right_bottom = np.minimum(rows[:, :2] + rows[:, 2:4], xywh[:2] + xywh[2:4])
    shared = np.maximum(right_bottom - left_top, 0)
    common = shared[:, 0] * shared[:, 1]
    iou: np.ndarray = common / (rows[:, 2] * rows[:, 3] + xywh[2] * xywh[3] - common)
    return iou


def _close_up_matrix(box_xyxy: np.ndarray) -> np.ndarray:
    """float64 [2, 3]: image to a square in which the box's larger side has the size at which YuNet is most precise."""
    left, top, right, bottom = (float(v) for v in box_xyxy)
    scale = _CLOSE_UP_FACE_PX / max(right - left, bottom - top, 1.0)
    middle = (CLOSE_UP_PX - 1) / 2
    x, y = middle - scale * (left + right - 1) / 2, middle - scale * (top + bottom - 1) / 2
    return np.array([[scale, 0.0, x], [0.0, scale, y]])


def _close_up(image_bgr: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """uint8 [CLOSE_UP_PX, CLOSE_UP_PX, 3] through a matrix from ``_close_up_matrix``; what is outside is black.

    Large faces are halved before they are sampled, which OpenCV does several times as fast as other reductions.
    """
    import cv2

    scale, (x, y) = float(matrix[0, 0]), matrix[:, 2]
    reach = CLOSE_UP_PX / scale
    height, width = image_bgr.shape[:2]
    left, top = (max(0, min(int(-offset / scale) - 1, side - 2)) for offset, side in ((x, width), (y, height)))
    part = image_bgr[top : int(-y / scale + reach) + 2, left : int(-x / scale + reach) + 2]
    x, y = x + left * scale, y + top * scale
    while scale <= 0.5 and min(part.shape[:2]) >= 2:
        part = part[: part.shape[0] // 2 * 2, : part.shape[1] // 2 * 2]
        part = cv2.resize(part, (part.shape[1] // 2, part.shape[0] // 2), interpolation=cv2.INTER_AREA)
        # The first pixel of the half is the middle of the first two.
        x, y, scale = x + scale / 2, y + scale / 2, scale * 2
    if part.shape[:2] == (1, 1):  # OpenCV 4.5 refuses an array of one pixel
        part = np.repeat(part, 2, axis=0)
    placed = np.array([[scale, 0.0, x], [0.0, scale, y]])
    square: np.ndarray = cv2.warpAffine(part, placed, CLOSE_UP, flags=cv2.INTER_LINEAR)
    return square


def _to_image(row: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A row of ``faces`` from coordinates of the close-up to the image's."""
    scale, moved = matrix[0, 0], row.copy()
    moved[0:14] /= scale
    moved[[0, 4, 6, 8, 10, 12]] -= matrix[0, 2] / scale
    moved[[1, 5, 7, 9, 11, 13]] -= matrix[1, 2] / scale
    return moved


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
    """YuNet on one of edgeau's backends: faces in the whole image, then the points of each from a close-up.

    Args:
        net: the network.
        min_score: faces with a lower score are omitted.
        close_ups: False for the whole image's points, as OpenCV gives them.
    """

    name = "yunet"

    def __init__(self, net: YuNet, *, min_score: float = MIN_SCORE, close_ups: bool = True) -> None:
        self._net, self._min_score = net, min_score
        self._close_ups = close_ups and net.has_close_ups

    def detect(self, image_bgr: np.ndarray) -> List[Detection]:
        """As in Detector. An image in which nothing is found is searched again in smaller sizes, for faces that fill
        it."""
        rows = self._net.faces(image_bgr, self._min_score)
        for side in _SMALLER_SIDES_PX:
            if len(rows) or max(image_bgr.shape[:2]) <= side:
                break
            small, scale = bounded(image_bgr, side)
            rows = self._net.faces(small, self._min_score)
            rows[:, :14] /= scale
        found = _detections(rows)
        if not self._close_ups:
            return found
        return largest_first([self._refined(image_bgr, face) for face in found])

    def detect_near(self, image_bgr: np.ndarray, boxes_xyxy: Sequence[np.ndarray]) -> Optional[List[Detection]]:
        """As in FollowingDetector."""
        if not self._close_ups:
            return None
        found = [self._near(image_bgr, box, _MIN_SCORE_NEAR) for box in boxes_xyxy]
        faces = [face for face in found if face is not None]
        return faces if len(faces) == len(found) else None

    def _refined(self, image_bgr: np.ndarray, face: Detection) -> Detection:
        """The face in a close-up. The second one is centred by the first, as those of following frames are."""
        for _ in range(2):
            face = self._near(image_bgr, face.box_xyxy, _MIN_SCORE_NEAR) or face
        return face

    def _near(self, image_bgr: np.ndarray, box_xyxy: np.ndarray, min_score: float) -> Optional[Detection]:
        row = self._net.close_up(image_bgr, box_xyxy, min_score)
        return None if row is None else next(iter(_detections(row[None])), None)


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

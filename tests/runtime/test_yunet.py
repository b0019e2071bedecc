"""YuNet on edgeau's backends, compared with OpenCV's own FaceDetectorYN."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeau.runtime.backends import FakeBackend, missing, open_backend
from edgeau.runtime.detection import Detection
from edgeau.runtime.errors import InputError
from edgeau.runtime.opencv import yunet_obstacle
from edgeau.runtime.yunet import (
    ON_DEMAND,
    OpenCvYuNet,
    YuNet,
    YuNetDetector,
    blend,
    fit,
    on_backend,
    on_engines,
    suppress,
)
from edgeau.runtime.yunet_graph import OUTPUTS, with_uint8_input

MARGIN_PX = 0.5
SCORE_MARGIN = 0.002
# The output of OpenCV 4.14's FaceDetectorYN for the photo: box, right eye, left eye, nose, mouth corners, score.
PHOTO = (178.2, 62.9, 268.1, 176.2, 200.1, 101.8, 247.1, 102.6, 220.4, 124.5, 198.6, 142.8, 239.7, 143.6, 0.932)

backends = pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
needs_opencv_4_8 = pytest.mark.skipif(yunet_obstacle() is not None, reason=f"YuNet in OpenCV: {yunet_obstacle()}")


def require(backend: str) -> None:
    if missing(backend) is not None:
        pytest.skip(f"{backend} is not installed")


def whole_image(yunet_path: Path, backend: str) -> YuNetDetector:
    """The detector without close-ups, which OpenCV doesn't have."""
    return YuNetDetector(on_backend(yunet_path, backend, threads=1)._net, close_ups=False)


def assert_agree(ours: list[Detection], theirs: list[Detection]) -> None:
    assert len(ours) == len(theirs)
    for i, face in enumerate(ours):
        other = theirs[i]
        assert np.abs(face.box_xyxy - other.box_xyxy).max() < MARGIN_PX
        assert np.abs(face.points_xy - other.points_xy).max() < MARGIN_PX
        assert face.score == pytest.approx(other.score, abs=SCORE_MARGIN)


@backends
def test_the_photo_gives_the_recorded_result_of_opencv(backend: str, photo_bgr: np.ndarray, yunet_path: Path) -> None:
    require(backend)
    (face,) = whole_image(yunet_path, backend).detect(photo_bgr)
    values = np.concatenate([face.box_xyxy, face.points_xy.ravel()])
    assert np.abs(values - PHOTO[:14]).max() < MARGIN_PX
    assert face.score == pytest.approx(PHOTO[14], abs=SCORE_MARGIN)


@needs_opencv_4_8
@backends
def test_the_clip_gives_the_same_faces_as_opencv(backend: str, clip_path: Path, yunet_path: Path) -> None:
    require(backend)
    ours, theirs = whole_image(yunet_path, backend), OpenCvYuNet(yunet_path)
    capture = cv2.VideoCapture(str(clip_path))
    for number in range(0, 460, 20):
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        frame = capture.read()[1]
        assert_agree(ours.detect(frame), theirs.detect(frame))


@needs_opencv_4_8
def test_pictures_of_any_size_and_crowds_give_the_same_faces_as_opencv(photo_bgr: np.ndarray, yunet_path: Path) -> None:
    require("onnxruntime")
    ours, theirs = whole_image(yunet_path, "onnxruntime"), OpenCvYuNet(yunet_path)
    crowd = np.vstack([np.hstack([cv2.resize(photo_bgr, (213, 180))] * 4)] * 3)
    close = photo_bgr[40:200, 150:310]  # a face that fills the picture
    sizes = [cv2.resize(photo_bgr, size) for size in ((1536, 1536), (768, 512), (205, 205), (358, 254))]
    for image in (crowd, close, *sizes):
        by_place = [sorted(d.detect(image), key=lambda face: tuple(face.box_xyxy.round())) for d in (ours, theirs)]
        assert_agree(*by_place)


def test_the_graph_is_a_valid_onnx_file_of_the_requested_size(yunet_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(with_uint8_input(yunet_path.read_bytes(), 384, 640))
    onnx.checker.check_model(model, full_check=True)
    (given,) = model.graph.input
    assert [d.dim_value for d in given.type.tensor_type.shape.dim] == [1, 384, 640, 3]
    assert {value.name for value in model.graph.output} == set(OUTPUTS)


def test_tensorrts_parser_accepts_the_graph(yunet_path: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed (x86-64 Linux only)")
    logger = trt.Logger(trt.Logger.ERROR)
    network = trt.Builder(logger).create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(with_uint8_input(yunet_path.read_bytes(), 384, 640)), parser.get_error(0).desc()
    assert network.num_outputs == len(OUTPUTS)


@pytest.mark.parametrize(
    ("data", "size", "message"),
    [
        (b"not a model", (384, 640), "no whole ONNX file"),
        (b"", (384, 640), "no whole ONNX file"),
        (None, (360, 640), "got 640x360, expected multiples of 32"),
        (None, (0, 640), "multiples of 32"),
    ],
)
def test_an_invalid_file_or_size_is_refused(
    data: bytes | None, size: tuple[int, int], message: str, yunet_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        with_uint8_input(yunet_path.read_bytes() if data is None else data, *size)


def test_another_network_is_refused() -> None:
    from edgeau.runtime.package import shipped_package

    with pytest.raises(InputError, match=r"outputs au.*expected cls_8"):
        with_uint8_input((shipped_package() / "fp32.onnx").read_bytes(), 384, 640)


def test_fit_chooses_the_smallest_graph_that_shrinks_the_picture_least() -> None:
    assert fit(ON_DEMAND, 360, 640) == ((384, 640), 1.0)
    assert fit(ON_DEMAND, 1080, 1920) == ((384, 640), 640 / 1920)
    assert fit(ON_DEMAND, 33, 20) == ((64, 32), 1.0)
    assert fit(((384, 640), (640, 640)), 1000, 500) == ((640, 640), 0.64)


def test_engines_serve_the_sizes_that_they_were_built_for(
    photo_bgr: np.ndarray, yunet_path: Path, tmp_path: Path
) -> None:
    require("onnxruntime")
    graphs = []
    for size in ((384, 640), (640, 640)):
        file = tmp_path / f"{size}.onnx"
        file.write_bytes(with_uint8_input(yunet_path.read_bytes(), *size))
        graphs.append(open_backend("onnxruntime", file))
    (face,) = on_engines(graphs).detect(photo_bgr)
    assert np.abs(np.concatenate([face.box_xyxy, face.points_xy.ravel()]) - PHOTO[:14]).max() < MARGIN_PX


def test_the_number_of_open_graphs_is_bounded() -> None:
    closed = []

    class Graph(FakeBackend):
        def infer(self, inputs):
            cells = {name: int(np.prod(inputs["image"].shape[1:3])) // int(name.split("_")[1]) ** 2 for name in OUTPUTS}
            width = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
            return {name: np.zeros((1, count, width[name.split("_")[0]]), np.float32) for name, count in cells.items()}

        def close(self):
            closed.append(self)

    net = YuNet(ON_DEMAND, lambda size: Graph({"image": (*size, 3)}, 1))
    for side in range(32, 352, 32):
        assert net.faces(np.zeros((side, side, 3), np.uint8), 0.7).shape == (0, 15)
    assert len(closed) == 2
    net.close()
    assert len(closed) == 10


def test_suppress_keeps_the_better_of_two_overlapping_faces() -> None:
    faces = np.zeros((3, 15), np.float32)
    faces[:, 2:4], faces[:, 14] = 100, (0.8, 0.9, 0.75)
    faces[2, 0] = 80  # a fifth of the first two
    assert suppress(faces)[:, 14].tolist() == pytest.approx([0.9, 0.75])


def test_a_close_up_finds_the_same_points_as_the_whole_image(photo_bgr: np.ndarray, yunet_path: Path) -> None:
    require("onnxruntime")
    detector = on_backend(yunet_path, "onnxruntime", threads=1)
    (face,) = detector.detect(photo_bgr)
    eye_distance = float(np.linalg.norm(face.points_xy[1] - face.points_xy[0]))
    # PHOTO is from the whole image, and one of its mouth corners is off by a seventh of the eye distance.
    assert np.abs(face.points_xy - np.reshape(PHOTO[4:14], (5, 2))).max() < 0.2 * eye_distance
    # Where the face might have been in the previous frame.
    box = face.box_xyxy + np.float32([9, -7, 14, -2])
    near = detector.detect_near(photo_bgr, [box])
    assert near is not None
    assert np.abs(near[0].points_xy - face.points_xy).max() < 0.1 * eye_distance


def test_points_do_not_depend_on_the_size_of_the_picture(photo_bgr: np.ndarray, yunet_path: Path) -> None:
    require("onnxruntime")
    detector = on_backend(yunet_path, "onnxruntime", threads=1)
    (face,) = detector.detect(photo_bgr)
    eye_distance = float(np.linalg.norm(face.points_xy[1] - face.points_xy[0]))
    for factor in (0.5, 2.0, 4.0):
        scaled = cv2.resize(photo_bgr, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        (other,) = detector.detect(scaled)
        assert np.abs(other.points_xy / factor - face.points_xy).max() < 0.1 * eye_distance


def test_a_close_up_without_a_face_gives_none(photo_bgr: np.ndarray, yunet_path: Path) -> None:
    require("onnxruntime")
    detector = on_backend(yunet_path, "onnxruntime", threads=1)
    beside = np.float32([300, 300, 400, 420])
    assert detector.detect_near(photo_bgr, [beside]) is None
    face_and_nothing = [detector.detect(photo_bgr)[0].box_xyxy, beside]
    assert detector.detect_near(photo_bgr, face_and_nothing) is None


def test_a_face_that_fills_a_large_picture_is_found(photo_bgr: np.ndarray, yunet_path: Path) -> None:
    require("onnxruntime")
    close = cv2.resize(photo_bgr[60:185, 165:290], (1250, 1250), interpolation=cv2.INTER_CUBIC)
    (face,) = on_backend(yunet_path, "onnxruntime", threads=1).detect(close)
    assert np.abs(face.points_xy / 10 + (165, 60) - np.reshape(PHOTO[4:14], (5, 2))).max() < 8


def test_cells_of_one_face_are_averaged_with_squared_scores_as_weights() -> None:
    cells = np.zeros((3, 15), np.float32)
    cells[:, 2:4] = 100
    cells[:, 4] = (10, 16, 99)
    cells[:, 14] = (0.9, 0.6, 0.8)
    cells[2, 0] = 90  # another face
    row = blend(cells, np.array([0, 0, 100, 100]), 0.7)
    assert row is not None
    assert row[4] == pytest.approx((10 * 0.81 + 16 * 0.36) / 1.17)
    assert row[14] == pytest.approx(0.9)
    assert blend(cells, np.array([0, 0, 100, 100]), 0.95) is None
    assert blend(cells[:0], np.array([0, 0, 100, 100]), 0.1) is None

"""Each example runs as described in its docstring, on real inputs."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run_example(name: str, *arguments: object, cwd: Path) -> str:
    """Run an example like a user, in its own folder, and return its output."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_video(path: Path, frames_bgr: list[np.ndarray]) -> Path:
    height, width = frames_bgr[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (width, height))
    for frame in frames_bgr:
        writer.write(frame)
    writer.release()
    return path


def test_webcam_detects_the_smile_in_a_video_of_the_photo(photo_bgr: np.ndarray, tmp_path: Path) -> None:
    video = write_video(tmp_path / "photo.avi", [photo_bgr] * 12)
    lines = run_example("webcam.py", video, "--no-window", cwd=tmp_path).splitlines()
    assert " on " in lines[0]
    assert len(lines) == 1 + 12
    assert all(re.match(r"face 0: .*AU12 0\.\d\d", line) for line in lines[1:])
    assert "neutral not known yet" in lines[1]


def test_webcam_follows_one_face_through_the_clip(clip_path: Path, tmp_path: Path) -> None:
    capture = cv2.VideoCapture(str(clip_path))
    video = write_video(tmp_path / "beginning.avi", [capture.read()[1] for _ in range(20)])
    lines = run_example("webcam.py", video, "--no-window", cwd=tmp_path).splitlines()
    # Haar occasionally detects a second face in the background.
    assert sum(line.startswith("face 0:") for line in lines[1:]) > 0.8 * 20


def test_webcam_with_a_source_that_cannot_be_opened_exits_with_code_2(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "webcam.py"), "absent.mp4", "--no-window"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "can't open absent.mp4" in done.stderr


def test_folder_to_dataframe_writes_one_row_per_face(photo_bgr: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "woman.png"), photo_bgr)
    cv2.imwrite(str(pictures / "mirrored.png"), photo_bgr[:, ::-1])
    cv2.imwrite(str(pictures / "nobody.png"), np.full_like(photo_bgr, 128))
    run_example("folder_to_dataframe.py", pictures, "--out", tmp_path / "faces.csv", cwd=tmp_path)
    with (tmp_path / "faces.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["face"]) for row in rows] == [("mirrored.png", "0"), ("woman.png", "0")]
    assert all(float(row["AU12"]) > 0.5 for row in rows)


@pytest.mark.slow
def test_own_model_is_imported_quantized_and_built_or_gives_the_reason(photo_bgr: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="nncf is not installed, which quantizes")
    write_model(tmp_path / "model.onnx")
    photo_rgb = photo_bgr[:, :, ::-1]
    faces = np.stack([photo_rgb[i : i + 256 : 4, 100 + i : 356 + i : 4] for i in range(0, 120, 5)])
    np.savez(tmp_path / "crops.npz", faces=faces)
    printed = run_example(
        "own_model.py", "model.onnx", "--aus", "1,2,4,12", "--crops", "crops.npz", "--out", "mine.edgeau", cwd=tmp_path
    )
    for variant in ("fp32", "int8-ort", "int8-tensorrt"):
        assert re.search(rf"^{variant}\s", printed, re.MULTILINE), printed
    assert re.search(r"^(no engine: .*TensorRT|\S+\.engine)", printed, re.MULTILINE | re.IGNORECASE), printed
    assert "runs fp32 on" in printed


def write_model(path: Path) -> None:
    """A small network of a common form: float RGB 0..1 [N, 3, 64, 64] to four logits."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    weights = {
        "w1": draw.normal(0, 0.2, (8, 3, 3, 3)),
        "w2": draw.normal(0, 0.2, (16, 8, 3, 3)),
        "w3": draw.normal(0, 1.0, (4, 16)),
    }
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], "conv1", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "conv2", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w3"], ["logits"], "classifier", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "own",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 64, 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)

"""Sources, including streams from real servers on this machine: RTSP by GStreamer and HTTP by Python."""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeau.runtime import load
from edgeau.runtime.errors import EdgeauWarning, InputError
from edgeau.runtime.opencv import video_backends
from edgeau.runtime.sources import Unopened, find_sources, open_source, without_password

AU_MARGIN = 0.15  # in probability, between H.264 at 4 Mbit/s and the picture itself
SERVER = Path(__file__).parent / "rtsp_server.py"
SYSTEM_PYTHON = "/usr/bin/python3"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def has_rtsp_server() -> bool:
    code = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer;"
    code += "Gst.init(None); assert Gst.ElementFactory.find('x264enc') and Gst.ElementFactory.find('rtph264pay')"
    with contextlib.suppress(OSError):
        return subprocess.run([SYSTEM_PYTHON, "-c", code], capture_output=True, check=False).returncode == 0
    return False


needs_rtsp = pytest.mark.skipif(
    not (video_backends() and has_rtsp_server()),
    reason="needs gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good and -ugly, and an OpenCV that reads streams",
)


@pytest.fixture
def rtsp() -> Iterator[Callable[..., subprocess.Popen]]:
    """A function that starts a server on a port; it is stopped after the test."""
    running: list[subprocess.Popen] = []

    def start(port: int, *picture: Path) -> subprocess.Popen:
        command = [SYSTEM_PYTHON, str(SERVER), str(port), *map(str, picture)]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


@needs_rtsp
def test_a_face_in_an_rtsp_stream_has_the_same_aus_as_the_picture(
    rtsp: Callable[..., subprocess.Popen], photo_bgr: np.ndarray, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), photo_bgr)
    port = free_port()
    rtsp(port, tmp_path / "photo.png")
    source = open_source(f"rtsp://viewer:secret@127.0.0.1:{port}/live")
    assert (source.moving, source.live, source.count) == (True, True, 0)
    with load() as analyzer:
        frame = next(source.frames)
        (face,), (expected,) = analyzer.still(frame.image_bgr), analyzer.still(photo_bgr)
    source.frames.close()
    assert frame.source == f"rtsp://***@127.0.0.1:{port}/live"
    assert face.au["AU12"] == pytest.approx(expected.au["AU12"], abs=AU_MARGIN)


@needs_rtsp
def test_a_restarted_rtsp_server_is_reconnected_to(rtsp: Callable[..., subprocess.Popen]) -> None:
    port = free_port()
    server = rtsp(port)
    source = open_source(f"rtsp://127.0.0.1:{port}/live")
    next(source.frames)
    server.kill()
    server.wait()
    rtsp(port)
    with pytest.warns(EdgeauWarning, match="was lost after") as caught:
        frame = next(frame for frame in source.frames if caught.list)
    source.frames.close()
    assert frame.image_bgr.shape == (240, 320, 3)


def test_an_address_without_a_server_is_refused() -> None:
    with pytest.raises(InputError, match=r"nothing that OpenCV can open.*check the address"):
        open_source(f"rtsp://me:secret@127.0.0.1:{free_port()}/live")


def test_passwords_are_removed_from_messages() -> None:
    with pytest.raises(InputError) as caught:
        open_source(f"rtsp://me:secret@127.0.0.1:{free_port()}/live")
    assert "secret" not in str(caught.value)
    assert without_password("http://camera/a?b=c@d") == "http://camera/a?b=c@d"


class Camera(http.server.BaseHTTPRequestHandler):
    """``/live`` is an endless stream of JPEGs, as webcams send it, and ``/clip.avi`` a file."""

    picture, clip = b"", b""

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path == "/clip.avi":
            self.send_header("Content-Length", str(len(self.clip)))
            self.end_headers()
            self.wfile.write(self.clip)
            return
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(self.picture)}\r\n\r\n"
                self.wfile.write(head.encode() + self.picture + b"\r\n")
                time.sleep(0.02)

    def log_message(self, *arguments: object) -> None:
        """Keep the terminal clean."""


@pytest.fixture
def http_camera(photo_bgr: np.ndarray, tmp_path: Path) -> Iterator[str]:
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (512, 512))
    for _ in range(12):
        writer.write(photo_bgr)
    writer.release()
    Camera.picture, Camera.clip = cv2.imencode(".jpg", photo_bgr)[1].tobytes(), (tmp_path / "clip.avi").read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.skipif("FFMPEG" not in video_backends(), reason="this OpenCV has no FFmpeg")
def test_an_http_webcam_is_live_and_a_file_over_http_is_not(http_camera: str, photo_bgr: np.ndarray) -> None:
    live = open_source(f"{http_camera}/live")
    frame = next(live.frames)
    live.frames.close()
    assert live.live
    assert np.abs(frame.image_bgr.astype(int) - photo_bgr).mean() < 4  # JPEG
    clip = open_source(f"{http_camera}/clip.avi")
    assert (clip.live, clip.count) == (False, 12)
    assert [frame.number for frame in clip.frames] == list(range(12))


def test_an_unknown_source_lists_the_accepted_ones() -> None:
    with pytest.raises(
        InputError, match=r"no such file, expected an image, a folder, a video, .*camera:0, csi://0, rtsp://"
    ):
        open_source("nowhere")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures and clips, some in subfolders, and other files."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a.png", "notes.txt", "clip.mp4", "day2/c.JPG", "day2/late.avi", "day1/d.png", ".x/e.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"x")
    Path("folder.png").mkdir()
    return tmp_path


def named(sources: list[Unopened]) -> list[list[str]]:
    return [[str(file) for file in source.pictures] or [source.text] for source in sources]


def test_a_folder_includes_pictures_and_videos_in_subfolders(tree: Path) -> None:
    assert named(find_sources(["."])) == [["a.png", "b.jpg"], ["clip.mp4"], ["day1/d.png", "day2/c.JPG"],
                                          ["day2/late.avi"]]  # fmt: skip
    assert open_source("day1").count == 1


def test_patterns_and_several_sources_keep_their_order(tree: Path) -> None:
    assert named(find_sources(["**/*.avi", "*.jpg", "a.png", "clip.mp4"])) == [
        ["day2/late.avi"],
        ["b.jpg", "a.png"],
        ["clip.mp4"],
    ]
    assert [frame.source for frame in open_source("day*/*.[pJ]*").frames] == ["day1/d.png", "day2/c.JPG"]


def test_a_file_name_that_looks_like_a_pattern_is_that_file(tree: Path) -> None:
    Path("x[1].png").write_bytes(b"x")
    assert named(find_sources(["x[1].png"])) == [["x[1].png"]]


def test_a_number_is_a_camera_unless_a_file_has_that_name(tree: Path) -> None:
    assert named(find_sources(["0"])) == [["camera:0"]]
    Path("0").write_bytes(b"x")
    with pytest.raises(InputError, match="source 0: got suffix none"):
        find_sources(["0"])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a.png", "absent.png"], "source absent.png: got no such file"),
        (["a.png", "notes.txt"], "suffix .txt"),
        (["*.gif"], "pattern .*no file of that name"),
        (["*.txt"], "pattern .*1 files, none of them an image or a video"),
        (["folder.png"], "no images or videos in it"),
        (["a.png", "camera:0"], "camera:0: got several sources"),
        (["rtsp://me:secret@host/x", "0"], r"rtsp://\*\*\*@host/x: got several sources"),
    ],
)
def test_unusable_sources_are_refused_before_anything_is_opened(tree: Path, texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_sources(texts)


def test_a_folder_of_pictures_and_videos_is_not_one_source(tree: Path) -> None:
    with pytest.raises(InputError, match="got 4 sources, expected images only, or one video"):
        open_source(".")

"""Streams from real servers on this machine: RTSP by GStreamer, HTTP by Python."""

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
from edgeau.runtime.sources import open_source, without_password

AU_MARGIN = 0.15  # of a probability: H.264 at 4 Mbit/s against the picture itself
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
    """Start a server on a port; it ends with the test."""
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
def test_a_face_on_a_real_rtsp_camera_has_the_aus_of_the_picture(
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
def test_a_camera_that_went_away_is_found_again(rtsp: Callable[..., subprocess.Popen]) -> None:
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


def test_nobody_at_an_address_is_one_line() -> None:
    with pytest.raises(InputError, match=r"nothing that OpenCV can open.*check the address"):
        open_source(f"rtsp://me:secret@127.0.0.1:{free_port()}/live")


def test_a_password_is_in_no_message() -> None:
    with pytest.raises(InputError) as caught:
        open_source(f"rtsp://me:secret@127.0.0.1:{free_port()}/live")
    assert "secret" not in str(caught.value)
    assert without_password("http://camera/a?b=c@d") == "http://camera/a?b=c@d"


class Camera(http.server.BaseHTTPRequestHandler):
    """``/live`` as webcams send it, JPEGs without an end; ``/clip.avi`` a file."""

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
def test_a_webcam_over_http_is_live_and_a_file_over_http_is_not(http_camera: str, photo_bgr: np.ndarray) -> None:
    live = open_source(f"{http_camera}/live")
    frame = next(live.frames)
    live.frames.close()
    assert live.live
    assert np.abs(frame.image_bgr.astype(int) - photo_bgr).mean() < 4  # JPEG
    clip = open_source(f"{http_camera}/clip.avi")
    assert (clip.live, clip.count) == (False, 12)
    assert [frame.number for frame in clip.frames] == list(range(12))


def test_what_is_no_source_is_told_what_is() -> None:
    with pytest.raises(
        InputError, match="no such file, expected an image, a folder, a video, camera:0, csi://0, rtsp://"
    ):
        open_source("nowhere")

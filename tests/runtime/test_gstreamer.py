"""The pipelines that edgeau writes, and real ones where OpenCV has GStreamer (Debian's python3-opencv)."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeau.runtime import gstreamer, sources
from edgeau.runtime.errors import InputError
from edgeau.runtime.gstreamer import CsiCamera, completed, has_hardware_decoder, parse_csi
from edgeau.runtime.opencv import video_backends
from edgeau.runtime.sources import open_source

needs_gstreamer = pytest.mark.skipif("GStreamer" not in video_backends(), reason="this OpenCV has no GStreamer")


def test_a_csi_address_is_parsed_with_defaults_for_size_and_rate() -> None:
    assert parse_csi("csi://0") == CsiCamera(sensor=0, width=1280, height=720, fps=30, flip=0)
    assert parse_csi("csi://1?width=1920&height=1080&fps=60&flip=2") == CsiCamera(1, 1920, 1080, 60, 2)


def test_a_csi_pipeline_uses_the_elements_from_nvidias_guide() -> None:
    assert CsiCamera(0).pipeline() == (
        "nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1 ! "
        "nvvidconv flip-method=0 ! video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=BGR ! "
        "appsink drop=true max-buffers=1 sync=false"
    )


@pytest.mark.parametrize("text", ["csi://", "csi://front", "csi://0?size=big", "csi://0?width=-1", "csi://0/1"])
def test_an_invalid_csi_address_shows_the_expected_form(text: str) -> None:
    with pytest.raises(InputError, match=r"expected csi://0, perhaps with \?width=N&height=N&fps=N&flip=N"):
        parse_csi(text)


def test_a_users_pipeline_is_completed_with_a_sink_that_opencv_reads() -> None:
    assert completed("v4l2src ! jpegdec").endswith(
        "jpegdec ! videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )
    assert completed("filesrc location=a.mp4 ! decodebin").endswith("appsink sync=false")
    assert completed("v4l2src ! appsink") == "v4l2src ! appsink"


@pytest.mark.parametrize("text", ["csi://0", "videotestsrc ! appsink"])
def test_an_opencv_build_without_gstreamer_is_reported(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer, "video_backends", lambda: "FFMPEG")
    with pytest.raises(InputError, match=r"built without GStreamer.*apt-get install python3-opencv"):
        open_source(text)


def test_a_csi_camera_off_a_jetson_names_the_missing_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer, "video_backends", lambda: "GStreamer")
    with pytest.raises(InputError, match=r"no nvarguscamerasrc.*nvidia-l4t-camera"):
        open_source("csi://0")


def test_a_stream_is_decoded_in_hardware_on_a_jetson_and_otherwise_by_opencv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libgstnvvideo4linux2.so").touch()
    monkeypatch.setattr(gstreamer, "PLUGIN_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(gstreamer, "video_backends", lambda: "FFMPEG")
    assert not has_hardware_decoder()
    monkeypatch.setattr(gstreamer, "video_backends", lambda: "FFMPEG, GStreamer")
    tried: list[str] = []

    def refuse(source: str, name: str, **options: object) -> None:
        tried.append(source)
        raise InputError(name, got="nothing")

    monkeypatch.setattr(sources, "open_capture", refuse)
    with pytest.raises(InputError):
        open_source("rtsp://camera.local/live")
    assert tried == [
        'uridecodebin uri="rtsp://camera.local/live" ! nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! '
        "video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false",
        "rtsp://camera.local/live",
    ]


@needs_gstreamer
def test_a_real_pipeline_gives_the_test_pattern_as_bgr() -> None:
    source = open_source("videotestsrc pattern=red num-buffers=5 ! video/x-raw,width=64,height=48,framerate=30/1")
    frames = [frame.image_bgr for frame in source.frames]
    assert (source.live, source.moving) == (True, True)
    assert frames[0].shape == (48, 64, 3)
    assert np.abs(frames[0].reshape(-1, 3).mean(axis=0) - (0, 0, 255)).max() < 8


@needs_gstreamer
def test_a_slow_consumer_of_a_live_pipeline_skips_frames() -> None:
    source = open_source("videotestsrc is-live=true num-buffers=60 ! video/x-raw,width=64,height=48,framerate=60/1")
    numbers = []
    for frame in source.frames:
        numbers.append(frame.number)
        time.sleep(0.1)
    assert len(numbers) < 60
    assert numbers == sorted(set(numbers))


@needs_gstreamer
def test_a_pipeline_that_reads_a_file_gives_every_frame(tmp_path: Path) -> None:
    file = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for value in range(20):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    source = open_source(f"filesrc location={file} ! avidemux ! jpegdec")
    frames = []
    for frame in source.frames:
        frames.append(frame)
        time.sleep(0.01)
    assert not source.live
    assert len(frames) == 20


@needs_gstreamer
def test_a_pipeline_that_gstreamer_rejects_is_refused_with_a_hint() -> None:
    with pytest.raises(InputError, match=r"gst-launch-1\.0 says what is wrong"):
        open_source("nosuchelement ! appsink")

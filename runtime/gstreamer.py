"""GStreamer pipelines that OpenCV reads: a Jetson's CSI camera, streams decoded by its hardware, the user's own.

Elements and their properties: NVIDIA's Jetson Linux developer guide, "Accelerated GStreamer" (``nvarguscamerasrc``,
``nvvidconv``, and ``nvv4l2decoder``, which ``uridecodebin`` picks by its rank); GStreamer's documentation
(``appsink``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from .errors import InputError
from .opencv import video_backends

PLUGIN_FOLDERS = ("/usr/lib/aarch64-linux-gnu/gstreamer-1.0",)
# nvvidconv copies frames out of NVIDIA's memory; it can't output BGR, so videoconvert does.
_TO_BGR = "videoconvert ! video/x-raw,format=BGR"
_FROM_NVMM = f"video/x-raw,format=BGRx ! {_TO_BGR}"
_NEWEST = "appsink drop=true max-buffers=1 sync=false"
_EVERY = "appsink sync=false"


@dataclass(frozen=True)
class CsiCamera:
    """A camera on a Jetson's CSI port.

    Attributes:
        sensor: its number.
        width, height, fps: requested from the camera's driver; 720 lines are enough for a face.
        flip: nvvidconv's ``flip-method``: 0 for none, 2 to rotate by 180 degrees.
    """

    sensor: int
    width: int = 1280
    height: int = 720
    fps: int = 30
    flip: int = 0

    def pipeline(self) -> str:
        """The pipeline as GStreamer's text."""
        size = f"width={self.width},height={self.height},framerate={self.fps}/1"
        return (
            f"nvarguscamerasrc sensor-id={self.sensor} ! video/x-raw(memory:NVMM),{size} ! "
            f"nvvidconv flip-method={self.flip} ! {_FROM_NVMM} ! {_NEWEST}"
        )


def parse_csi(text: str) -> CsiCamera:
    """Read ``csi://0`` or ``csi://1?width=1920&height=1080&fps=60&flip=2``. Raises InputError."""
    parts = urlsplit(text)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = [field.name for field in fields(CsiCamera) if field.name != "sensor"]
    numbers = [parts.netloc, *options.values()]
    if parts.path.strip("/") or not set(options) <= set(known) or not all(n.isdigit() for n in numbers):
        raise InputError(f"source {text}", expected=f"csi://0, perhaps with ?{'&'.join(f'{name}=N' for name in known)}")
    return CsiCamera(int(parts.netloc), **{name: int(value) for name, value in options.items()})


def is_pipeline(text: str) -> bool:
    """Whether a source's text is a GStreamer pipeline: elements with `` ! `` between them."""
    return " ! " in text


def is_finite(pipeline: str) -> bool:
    """Whether a pipeline reads files, so that no frame may be dropped."""
    return "filesrc" in pipeline


def completed(pipeline: str) -> str:
    """A pipeline that ends in an ``appsink`` of BGR frames, as OpenCV reads them."""
    if "appsink" in pipeline:
        return pipeline
    return f"{pipeline} ! {_TO_BGR} ! {_EVERY if is_finite(pipeline) else _NEWEST}"


def hardware_pipeline(url: str) -> str:
    """A stream decoded by a Jetson's hardware, whatever its codec."""
    return f'uridecodebin uri="{url}" ! nvvidconv ! {_FROM_NVMM} ! {_NEWEST}'


def has_hardware_decoder() -> bool:
    """Whether OpenCV has GStreamer, and GStreamer has a Jetson's hardware decoder."""
    return _has_plugin("libgstnvvideo4linux2.so") and "GStreamer" in video_backends()


def require_gstreamer(source: str) -> None:
    """Raise InputError if OpenCV was built without GStreamer, as pip's wheels are."""
    if "GStreamer" not in video_backends():
        raise InputError(f"source {source}", got="an OpenCV built without GStreamer, as pip's wheels are",
                         hint="with the system's python3 type: sudo apt-get install python3-opencv")  # fmt: skip


def require_csi(source: str) -> None:
    """Raise InputError if GStreamer has no element for CSI cameras."""
    require_gstreamer(source)
    if not _has_plugin("libgstnvarguscamerasrc.so"):
        raise InputError(f"source {source}", got="no nvarguscamerasrc in GStreamer", expected="a Jetson with JetPack",
                         hint="sudo apt-get install nvidia-l4t-gstreamer nvidia-l4t-camera")  # fmt: skip


def _has_plugin(file: str) -> bool:
    folders = [*os.environ.get("GST_PLUGIN_PATH", "").split(os.pathsep), *PLUGIN_FOLDERS]
    return any((Path(folder) / file).is_file() for folder in folders if folder)

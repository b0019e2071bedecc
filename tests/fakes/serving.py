"""A server with the real detector and crop and a backend that returns the crop's brightness, and a plain client."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

pytest.importorskip("starlette", reason="starlette, of the extra serve, is not installed")
pytest.importorskip("uvicorn", reason="uvicorn, of the extra serve, is not installed")
pytest.importorskip("prometheus_client", reason="prometheus_client, of the extra serve, is not installed")
pytest.importorskip("python_multipart", reason="python_multipart, of the extra serve, is not installed")

from edgeau.runtime.analyzer import Analyzer
from edgeau.runtime.backends import FakeBackend
from edgeau.runtime.detect import HaarDetector
from edgeau.runtime.manifest import CropSpec, InputSpec, Manifest
from edgeau.runtime.serving.app import Service
from edgeau.runtime.serving.listen import AnalysisServer, listening_socket
from edgeau.runtime.serving.options import ServerOptions

SIDE = 64


def bright_analyzer() -> Analyzer:
    """An analyzer whose AUs are the brightness of the crop; AU01 is present from 0.1, AU12 from 0.9."""
    inputs, crop = (InputSpec("face", SIDE, SIDE),), CropSpec(size_px=SIDE)
    manifest = Manifest("bright", "imported", ("AU01", "AU12"), (0.1, 0.9), inputs, crop)
    return Analyzer(manifest, FakeBackend({"face": (SIDE, SIDE, 3)}, 2), HaarDetector())


@contextlib.contextmanager
def running(
    analyzers: list[Analyzer] | None = None, report: Callable[[str], None] = print, **limits: Any
) -> Iterator[AnalysisServer]:
    """A server on a free port, stopped at the end."""
    options = ServerOptions(**limits)
    service = Service(analyzers or [bright_analyzer()], options, report)
    with listening_socket("127.0.0.1", 0) as listener:
        server = AnalysisServer(listener, service, options, lambda: None)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join()


def ask(
    port: int, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """Send a request and return the status and the body, parsed if it is JSON."""
    status, _, data = ask_whole(port, method, path, body, headers)
    try:
        return status, json.loads(data)
    except ValueError:
        return status, data.decode()


def ask_whole(
    port: int, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Send a request and return the status, the headers with lower-case names, and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

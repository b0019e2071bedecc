"""Action units over HTTP, with the standard library alone.

    POST /analyze   the bytes of a picture -> {"faces": [{"box_xyxy": ..., "au": {...}, "present": {...}}], "ms": ...}
    GET  /health    what runs: package, variant, backend; 503 once the backend failed, until it works again
    GET  /metrics   counters in Prometheus' text format

There is no authentication: it is meant for this machine, or for a network behind something that has it.
"""

from __future__ import annotations

import json
import logging
import socketserver
import sys
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .analyzer import Analyzer
from .errors import EdgeauError, InputError
from .images import as_bgr
from .results import Face

Body = Tuple[HTTPStatus, str, bytes]
Report = Callable[[str], None]


@dataclass(frozen=True)
class ServerOptions:
    """Limits of the server.

    Attributes:
        max_bytes: of one picture as it is sent.
        timeout_s: how long a client may keep silent in the middle of a request.
        video: requests are successive frames of one camera, so that faces keep their numbers and their neutral;
            otherwise each picture is analysed on its own.
    """

    max_bytes: int = 10 * 1024 * 1024
    timeout_s: float = 30.0
    video: bool = False


class AnalysisServer(ThreadingHTTPServer):
    """One thread per request; the analyzer takes them in turn. ``server_close`` waits for requests under way.

    Args:
        address: host and port; port 0 takes a free one.
        analyzer: answers the requests.
        options: limits.
        report: gets one line per failure; by default the log ``edgeau.runtime.server``.
    """

    daemon_threads = False
    block_on_close = True
    request_queue_size = 32

    def __init__(
        self,
        address: Tuple[str, int],
        analyzer: Analyzer,
        options: ServerOptions = ServerOptions(),
        report: Report = logging.getLogger(__name__).warning,
    ) -> None:
        self.analyzer, self.options, self.report = analyzer, options, report
        self.counters = Counters()
        self.failure: Optional[str] = None
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's signature
        """A client that went away, or a defect: report one line and go on serving."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            self.report(f"edgeau: request from {client_address[0]} failed: {type(error).__name__}: {error}")


class Counters:
    """Numbers of answers, faces and seconds since the server started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Dict[int, int] = {}
        self._faces, self._seconds = 0, 0.0

    def count(self, status: int) -> None:
        """Count an answer."""
        with self._lock:
            self._requests[status] = self._requests.get(status, 0) + 1

    def analysed(self, faces: int, seconds: float) -> None:
        """Count a picture."""
        with self._lock:
            self._faces += faces
            self._seconds += seconds

    def text(self) -> str:
        """In Prometheus' text format."""
        with self._lock:
            lines = ["# TYPE edgeau_requests_total counter"]
            lines += [f'edgeau_requests_total{{status="{s}"}} {n}' for s, n in sorted(self._requests.items())]
            lines += ["# TYPE edgeau_faces_total counter", f"edgeau_faces_total {self._faces}"]
            lines += [
                "# TYPE edgeau_analysis_seconds_total counter",
                f"edgeau_analysis_seconds_total {self._seconds:.6f}",
            ]
        return "\n".join(lines) + "\n"


class _Handler(BaseHTTPRequestHandler):
    server: AnalysisServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "edgeau", ""

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.options.timeout_s)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/health":
            self._answer(_health(self.server.analyzer, self.server.failure))
        elif path == "/metrics":
            text = self.server.counters.text().encode()
            self._answer((HTTPStatus.OK, "text/plain; version=0.0.4", text))
        elif path == "/analyze":
            self._answer(_error(HTTPStatus.METHOD_NOT_ALLOWED, "send the bytes of a picture by POST"))
        else:
            self._answer(_error(HTTPStatus.NOT_FOUND, "there are POST /analyze, GET /health and GET /metrics"))

    def do_POST(self) -> None:
        if self.path.partition("?")[0] != "/analyze":
            self._answer(_error(HTTPStatus.NOT_FOUND, "pictures go to /analyze"))
            return
        refusal = self._refusal()
        if refusal is not None:
            self._answer(refusal)
            return
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(self._analyse(data))

    def handle_expect_100(self) -> bool:
        """Refuse a picture that is too large before the client sends it."""
        refusal = self._refusal()
        if refusal is not None:
            self._answer(refusal)
            return False
        return super().handle_expect_100()

    def _refusal(self) -> Any:
        """Why the body is refused before it is read; None if it may be sent."""
        length = self.headers.get("Content-Length")
        largest = self.server.options.max_bytes
        if length is None:
            return _error(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing")
        if not (length.isascii() and length.isdigit() and len(length) < 19) or int(length) == 0:
            return _error(HTTPStatus.BAD_REQUEST, f"Content-Length is {length}: send the bytes of a picture")
        if int(length) > largest:
            text = f"{length} bytes: the limit is {largest}; edgeau serve --max-mb raises it"
            return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
        return None

    def _analyse(self, data: bytes) -> Body:
        analyzer, video = self.server.analyzer, self.server.options.video
        start = time.perf_counter()
        try:
            image = decode(data)
            faces = analyzer(image) if video else analyzer.still(image)
        except InputError as error:
            return _error(HTTPStatus.BAD_REQUEST, str(error))
        except EdgeauError as error:
            self.server.report(f"edgeau: {error}")
            self.server.failure = str(error)
            return _error(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        seconds = time.perf_counter() - start
        self.server.failure = None
        self.server.counters.analysed(len(faces), seconds)
        return _json(HTTPStatus.OK, {"faces": faces_json(faces), "ms": round(seconds * 1e3, 2)})

    def _answer(self, body: Body) -> None:
        status, kind, data = body
        self.server.counters.count(int(status))
        # One request per connection, so that closing the server waits for no idle client.
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: /metrics counts, and errors have a line of their own."""


def decode(data: bytes) -> np.ndarray:
    """A picture from its bytes: uint8 [H, W, 3] BGR. Raises InputError where OpenCV can't decode it."""
    import cv2

    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise InputError("picture", got=f"refused by OpenCV ({error.err or 'too large'})") from error
    if image is None:
        raise InputError("picture", got=f"{len(data)} bytes that OpenCV can't decode", expected="a whole PNG or JPEG")
    return as_bgr(image)


def faces_json(faces: Sequence[Face]) -> List[Dict[str, Any]]:
    """Faces as plain JSON values, rounded to what means something."""
    return [
        {
            "track_id": face.track_id,
            "box_xyxy": [round(value, 1) for value in face.box_xyxy],
            "score": round(face.score, 4),
            "au": {name: round(value, 5) for name, value in face.au.items()},
            "present": {name: bool(value) for name, value in face.present.items()},
            "expression": {name: round(value, 5) for name, value in face.expression.items()},
            "neutral_ready": bool(face.neutral_ready),
        }
        for face in faces
    ]


def _health(analyzer: Analyzer, failure: Optional[str]) -> Body:
    choice = analyzer.choice
    value = {
        "status": failure or "ok",
        "package": analyzer.manifest.name,
        "aus": list(analyzer.manifest.aus),
        "variant": getattr(choice, "variant", None),
        "backend": getattr(choice, "backend", None),
        "detector": analyzer.detector.name,
    }
    return _json(HTTPStatus.SERVICE_UNAVAILABLE if failure else HTTPStatus.OK, value)


def _json(status: HTTPStatus, value: Dict[str, Any]) -> Body:
    return status, "application/json", json.dumps(value).encode()


def _error(status: HTTPStatus, text: str) -> Body:
    return _json(status, {"error": " ".join(text.split())})


def stop(server: socketserver.BaseServer) -> None:
    """Stop ``serve_forever`` from a signal handler, which runs in the very thread that serves."""
    threading.Thread(target=server.shutdown, daemon=True).start()

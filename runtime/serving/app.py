"""The ASGI application: what each address answers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import time
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from edgeau.runtime.action_units import MEANINGS
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.face import Face
from edgeau.runtime.manifest import Manifest
from edgeau.runtime.report import Report

from . import inference
from .gate import BUSY, Bodies, Gate, answer_error, answer_json, read_body, refusal, while_connected
from .metrics import ServerMetrics
from .options import ServerOptions
from .pictures import EncodedPicture, check_picture, decode_picture, picture_of
from .process import ProcessAnalyzer
from .workers import AnyAnalyzer, QueueFullError, Work, Workers

PAGE = Path(__file__).with_name("page.html")
# Of a client that has closed the connection; nobody sees it. nginx counts such requests as 499 as well.
_CLIENT_GONE = 499
_SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Service:
    """Answers requests with analyzers, one for each worker.

    Args:
        analyzers: of the same package. Each belongs to its worker until `close`.
        options: limits.
        report: gets one line per failure.
    """

    def __init__(self, analyzers: Sequence[AnyAnalyzer], options: ServerOptions, report: Report) -> None:
        self._analyzer, self._options, self._report = analyzers[0], options, report
        self._manifest: Manifest = self._analyzer.manifest
        self._metrics = ServerMetrics()
        self._workers = Workers(analyzers, options, self._metrics.analysed)
        self._metrics.watch("edgeau_queue", "Requests that wait for a worker.", lambda: self._workers.waiting)
        self._bodies = Bodies(options)
        self._failure: Optional[str] = None
        self._app = Gate(self._routes(), options, self._metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        await self._app(scope, receive, send)

    def close(self) -> None:
        """End the workers."""
        self._workers.close()

    def _routes(self) -> Starlette:
        model = "/v2/models/{model}"
        version = model + "/versions/{version}"
        routes = [
            Route("/", self._page),
            Route("/analyze", self._analyze, methods=["POST"]),
            Route("/health", self._health),
            Route("/metrics", self._show_metrics),
            Route("/v2", self._server),
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._ready),
        ]
        for path in (model, version):
            routes += [
                Route(path, self._model),
                Route(path + "/ready", self._model_ready),
                Route(path + "/infer", self._infer, methods=["POST"]),
            ]
        handlers: Dict[Any, Any] = {
            HTTPException: _http_error,
            EdgeauError: self._edgeau_error,
            ClientDisconnect: lambda *_: Response(status_code=_CLIENT_GONE),
        }
        return Starlette(routes=routes, exception_handlers=handlers)

    async def _page(self, _: Request) -> Response:
        return Response(*_read_page())

    async def _analyze(self, request: Request) -> Response:
        session = self._session(request)
        started = time.perf_counter()
        kind = request.headers.get("content-type", "")

        def decode(body: bytes) -> Union[np.ndarray, EncodedPicture]:
            read = check_picture if isinstance(self._analyzer, ProcessAnalyzer) else decode_picture
            return read(picture_of(body, kind), self._options.max_pixels)

        faces = await self._work(request, decode, session)
        return answer_json({"faces": faces_json(faces), "ms": round((time.perf_counter() - started) * 1e3, 2)})

    async def _infer(self, request: Request) -> Response:
        self._check_model(request)
        if request.headers.get("content-encoding", "identity") != "identity":
            raise refusal(request, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "bodies must not be compressed")
        asked: List[inference.Request] = []

        def decode(body: bytes) -> Any:
            asked.append(inference.read_request(body, request.headers.get(inference.HEADER_LENGTH), self._manifest))
            return asked[0].crops

        outputs = await self._work(request, decode, None)
        body, json_length = inference.write_answer(asked[0], outputs, self._manifest)
        if json_length is None:
            return Response(body, media_type="application/json")
        return Response(body, HTTPStatus.OK, {inference.HEADER_LENGTH: str(json_length)}, "application/octet-stream")

    async def _work(self, request: Request, decode: Callable[[bytes], Any], session: Optional[str]) -> Any:
        """Receive a body and let a worker decode and analyse it."""
        if self._workers.full:
            raise refusal(request, HTTPStatus.SERVICE_UNAVAILABLE, "the server is busy: try again in a second", BUSY)
        with self._bodies.reserve(request) as length:
            self._workers.arriving += 1
            try:
                body = await read_body(request, length)
            finally:
                self._workers.arriving -= 1
            own = None if session is None else self._workers.session(session)
            job = Work(partial(decode, body), own)
            result = await while_connected(request, asyncio.wrap_future(self._workers.submit(job)))
        self._failure = None
        return result

    async def _health(self, _: Request) -> Response:
        choice = self._analyzer.choice
        value = {
            "status": self._failure or "ok",
            "package": self._manifest.name,
            "aus": list(self._manifest.aus),
            "meanings": {name: MEANINGS.get(name, "") for name in self._manifest.aus},
            "thresholds": dict(zip(self._manifest.aus, self._manifest.thresholds)),
            "variant": getattr(choice, "variant", None),
            "backend": getattr(choice, "backend", None),
            "detector": self._analyzer.detector.name,
        }
        return answer_json(value, HTTPStatus.SERVICE_UNAVAILABLE if self._failure else HTTPStatus.OK)

    async def _show_metrics(self, _: Request) -> Response:
        text, kind = self._metrics.text()
        return Response(text, headers={"Content-Type": kind})

    async def _server(self, _: Request) -> Response:
        return answer_json(inference.server_metadata())

    async def _live(self, _: Request) -> Response:
        return answer_json({"live": True})

    async def _ready(self, _: Request) -> Response:
        ready = self._failure is None
        return answer_json({"ready": ready}, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def _model(self, request: Request) -> Response:
        self._check_model(request)
        return answer_json(inference.model_metadata(self._manifest))

    async def _model_ready(self, request: Request) -> Response:
        self._check_model(request)
        return await self._ready(request)

    def _check_model(self, request: Request) -> None:
        name, version = request.path_params["model"], request.path_params.get("version", inference.VERSION)
        if (name, version) != (self._manifest.name, inference.VERSION):
            here = f"model {self._manifest.name}, version {inference.VERSION}"
            raise refusal(request, HTTPStatus.NOT_FOUND, f"model {name:.80}, version {version:.20}: here is {here}")

    def _session(self, request: Request) -> Optional[str]:
        name = request.query_params.get("session")
        if name is not None and not _SESSION.fullmatch(name):
            expected = "1 to 64 letters, digits, _ and -"
            raise refusal(request, HTTPStatus.BAD_REQUEST, f"session: got {name!r:.80}, expected {expected}")
        return name if name is not None or not self._options.video else ""

    def _edgeau_error(self, _: Request, error: Exception) -> Response:
        if isinstance(error, QueueFullError):
            return answer_error(HTTPStatus.SERVICE_UNAVAILABLE, str(error), BUSY)
        if isinstance(error, InputError):
            return answer_error(HTTPStatus.BAD_REQUEST, str(error))
        self._failure = str(error)
        self._report(f"edgeau: {error}")
        return answer_error(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))


def faces_json(faces: Sequence[Face]) -> List[Dict[str, Any]]:
    """Faces as plain JSON values, rounded to what means something."""
    return [
        {
            "track_id": face.track_id,
            "box_xyxy": [round(value, 1) for value in face.box_xyxy],
            "points_xy": np.round(np.asarray(face.points_xy, np.float64), 1).tolist(),
            "score": round(face.score, 4),
            "au": _rounded(face.au),
            "intensity": _rounded(face.intensity),
            "present": {name: bool(value) for name, value in face.present.items()},
            "expression": _rounded(face.expression),
            "neutral_ready": bool(face.neutral_ready),
            "pose": _rounded(face.pose.to_dict()),
        }
        for face in faces
    ]


def _rounded(values: Mapping[str, float]) -> Dict[str, float]:
    return {name: round(value, 5) for name, value in values.items()}


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answer_error(error.status_code, error.detail, error.headers)


def _read_page() -> Any:
    """The page, its status and headers, which let it run its own script, talk to this server, and nothing else."""
    text = PAGE.read_text("utf-8")
    hashes = {name: _hash_of(text, name) for name in ("script", "style")}
    policy = (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; "
        "img-src blob: data:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
    return text, HTTPStatus.OK, headers, "text/html"


def _hash_of(page: str, element: str) -> str:
    """The content of the page's one element of that name, as Content-Security-Policy names it."""
    content = page.split(f"<{element}>")[1].split(f"</{element}>")[0]
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

"""What every request passes: a deadline, and limits of what is held in memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from http import HTTPStatus
from typing import Any, Dict, Iterator, Mapping, Optional

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import ServerMetrics
from .options import ServerOptions

BUSY = {"Retry-After": "1"}


def answer_json(value: Any, status: int = HTTPStatus.OK, headers: Optional[Mapping[str, str]] = None) -> Response:
    """An answer in JSON."""
    return Response(json.dumps(value), status, headers, "application/json")


def answer_error(status: int, text: str, headers: Optional[Mapping[str, str]] = None) -> Response:
    """An error as one line of JSON."""
    return answer_json({"error": " ".join(text.split())}, status, headers)


class Gate:
    """Ends requests that take too long, and counts answers.

    Args:
        app: what answers.
        options: limits.
        metrics: counts.
    """

    def __init__(self, app: ASGIApp, options: ServerOptions, metrics: ServerMetrics) -> None:
        self._app, self._options, self._metrics = app, options, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            return
        state: Dict[str, Any] = {"status": 0, "received": False}
        started = time.perf_counter()

        async def watched_receive() -> Message:
            message = await receive()
            state["received"] = not message.get("more_body", False)
            return message

        async def watched_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                state["status"] = message["status"]
            await send(message)

        try:
            await asyncio.wait_for(self._app(scope, watched_receive, watched_send), self._options.timeout_s)
        except asyncio.TimeoutError:
            if not state["status"]:
                await self._too_late(state["received"])(scope, receive, watched_send)
        finally:
            if state["status"]:
                # An HTTPStatus prints its name before Python 3.11.
                self._metrics.answered(_label(scope["path"]), int(state["status"]), time.perf_counter() - started)

    def _too_late(self, received: bool) -> Response:
        limit = f"{self._options.timeout_s:g} s"
        if received:
            return answer_error(HTTPStatus.SERVICE_UNAVAILABLE, f"not analysed within {limit}", BUSY)
        closing = {"Connection": "close"}
        return answer_error(HTTPStatus.REQUEST_TIMEOUT, f"the request did not arrive within {limit}", closing)


def _label(path: str) -> str:
    """A path as metrics name it: few names, whatever clients ask for."""
    if path.startswith("/v2"):
        return "infer" if path.endswith("/infer") else "/v2"
    return path if path in ("/", "/analyze", "/health", "/metrics") else "other"


class Bodies:
    """Reads bodies of requests, so many bytes at a time in all.

    Args:
        options: limits.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._held = 0

    @contextlib.contextmanager
    def reserve(self, request: Request) -> Iterator[int]:
        """Reserve memory for a body while it is held. Gives its length. Raises HTTPException where it is refused."""
        length = self._length(request)
        # One body is always let in, however small the limit.
        if self._held and self._held + length > self._options.max_body_bytes:
            raise refusal(request, HTTPStatus.SERVICE_UNAVAILABLE, "the server is busy: try again in a second", BUSY)
        self._held += length
        try:
            yield length
        finally:
            self._held -= length

    def _length(self, request: Request) -> int:
        text, largest = request.headers.get("content-length"), self._options.max_bytes
        if text is None:
            raise refusal(request, HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing")
        if not (text.isascii() and text.isdigit() and len(text) < 19) or int(text) == 0:
            raise refusal(request, HTTPStatus.BAD_REQUEST, f"Content-Length is {text}: send the bytes of a picture")
        if int(text) > largest:
            line = f"{text} bytes: the limit is {largest}; edgeau serve --max-mb raises it"
            raise refusal(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, line)
        return int(text)


def refusal(
    request: Request, status: HTTPStatus, text: str, headers: Optional[Mapping[str, str]] = None
) -> HTTPException:
    """The exception that answers a request whose body was not read.

    A client that waits for 100 Continue doesn't send the body, so the connection can't be used again. From others the
    body is read and thrown away, because closing at once would reset the connection before they see the answer.
    """
    closing = {"Connection": "close"} if "expect" in request.headers else {}
    return HTTPException(status, text, {**(headers or {}), **closing})


async def read_body(request: Request, length: int) -> bytes:
    """A body of a known length. Raises ClientDisconnect if the client goes away, and HTTPException if it is shorter."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > length:
            break
    if len(body) != length:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"the body has not the {length} bytes that Content-Length says")
    return bytes(body)


async def while_connected(request: Request, result: asyncio.Future[Any]) -> Any:
    """A result, unless the client goes away before: then it is cancelled, and ClientDisconnect raised."""
    gone = asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({result, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise ClientDisconnect
        return result.result()
    finally:
        gone.cancel()
        result.cancel()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

"""Limits of the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerOptions:
    """Limits of the server.

    Attributes:
        max_bytes: of the body of one request.
        max_pixels: of one picture, read from its header before it is decoded. Pictures that a worker holds decoded at
            the same time have no more than this together.
        max_connections: open at the same time; further ones get 503 and are closed.
        timeout_s: a request gets its answer, and a connection its next request, within this time, or is closed.
        shutdown_s: requests in progress may take this long once the server is told to stop.
        queue: requests that wait for a worker; further ones get 503.
        max_batch: requests that a worker takes together.
        batch_wait_ms: how long a worker waits for requests that are still being received to share its batch.
        max_body_bytes: of all bodies that are held at the same time; further requests get 503.
        sessions: cameras that are followed at the same time; the one unused for longest is forgotten.
        video: requests that name no session are successive frames of one camera; otherwise each picture is analysed
            on its own.
    """

    max_bytes: int = 10 * 1024 * 1024
    max_pixels: int = 25_000_000
    max_connections: int = 256
    timeout_s: float = 30.0
    shutdown_s: int = 10
    queue: int = 128
    max_batch: int = 8
    batch_wait_ms: float = 2.0
    max_body_bytes: int = 256 * 1024 * 1024
    sessions: int = 64
    video: bool = False

"""The HTTP server, uvicorn, with a bound on connections and on how long they may be silent."""

from __future__ import annotations

import asyncio
import errno
import socket
from functools import partial
from typing import Any, Callable, List, Optional, Tuple, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgeau.runtime.errors import InputError

from .app import Service
from .options import ServerOptions

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_KEEP_ALIVE_S = 5


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one. Raises InputError with a hint."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        hint = "choose another with --port" if getattr(error, "errno", None) == errno.EADDRINUSE else None
        got = getattr(error, "strerror", None) or str(error)
        raise InputError(f"address {host}:{port}", got=got, hint=hint) from error
    return listener


class AnalysisServer:
    """Serves until it is told to stop, then finishes requests in progress.

    Args:
        listener: from `listening_socket`; it is closed at the end.
        service: answers.
        options: limits.
        stopping: called once the server has been told to stop.
    """

    def __init__(
        self, listener: socket.socket, service: Service, options: ServerOptions, stopping: Callable[[], None]
    ) -> None:
        self._listener, self._service = listener, service
        config = uvicorn.Config(
            service,
            http=cast(Any, partial(BoundedProtocol, options)),
            ws="none",
            loop="asyncio",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=options.shutdown_s,
        )
        self._server = _Server(config, stopping)

    @property
    def address(self) -> Tuple[str, int]:
        """Host and port."""
        host, port = self._listener.getsockname()[:2]
        return host, port

    def run(self) -> None:
        """Serve until `stop` is called, or SIGINT or SIGTERM comes."""
        try:
            self._server.run(sockets=[self._listener])
        finally:
            self._service.close()

    def stop(self, *_: Any) -> None:
        """Make `run` return soon. Safe in signal handlers and from other threads."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: Optional[List[socket.socket]] = None) -> None:
        self._stopping()
        await super().shutdown(sockets)


class BoundedProtocol(H11Protocol):
    """A connection that is refused if there are too many, and closed if no request comes in time.

    uvicorn closes connections that are idle after a request, but waits without end for the first byte of the first
    request, and for the rest of one that was begun. The time of a whole request is bounded by `gate.Gate`.
    """

    def __init__(self, options: ServerOptions, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._options = options
        self._deadline: Optional[asyncio.TimerHandle] = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._options.max_connections:
            transport.write(_BUSY)
            transport.close()
        self._restart_clock()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._restart_clock()

    def _restart_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(self._options.timeout_s, self._give_up)

    def _give_up(self) -> None:
        # A request in progress has its own deadline, and its answer starts the clock anew. An answer that the client
        # doesn't read is thrown away with the connection.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

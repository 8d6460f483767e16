"""Listening sockets, and uvicorn with the limits that all our servers share."""

import logging
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final

import uvicorn

from lineage.core.model.errors import RefusedError
from lineage.serve.config.limits import ConnectionLimits
from lineage.serve.server.connections import Connections
from lineage.serve.server.h11_protocol import StrictH11Protocol

logger = logging.getLogger(__name__)

BACKLOG: Final = 2_048
_LAST_PORT: Final = 65_535
_SMALL_BACKLOG: Final = 128
_OTHER_FILES: Final = 256  # files reserved for the store, the log, and the process itself


def address_of(text: str) -> tuple[str, int]:
    """Parse ``host:port``; an IPv6 address is in brackets.

    Raises:
        RefusedError: It is not of that form.

    Examples:
        >>> address_of("127.0.0.1:9464")
        ('127.0.0.1', 9464)
        >>> address_of("[::1]:0")
        ('::1', 0)
    """
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in bare) != (bare != host) or not (port.isascii() and port.isdigit()):
        raise RefusedError(f"{text!r} is no address to listen on; write host:port, for example 127.0.0.1:9464")
    if int(port) > _LAST_PORT:
        raise RefusedError(f"{text!r} is no address to listen on: there is no port {port}")
    return bare, int(port)


def listening_socket(family: int, place: Any) -> socket.socket:
    """Open a listening socket at an address found by ``getaddrinfo``.

    Raises:
        OSError: The address is in use, or not of this machine.
    """
    # Name the protocol: unless asyncio sees TCP, an answer in two parts waits for the client in between.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def http_server(
    app: Any,
    connections: Connections,
    *,
    goodbye_seconds: int,
    beginning: Callable[[], None] = lambda: None,
    ending: Callable[[], None] = lambda: None,
) -> "Server":
    """Create a server of an ASGI app.

    Args:
        app: The app.
        connections: The registry of its connections, with their limits.
        goodbye_seconds: How long answers in progress may take after a stop.
        beginning: Called in the event loop before anything is answered.
        ending: Called in the event loop when everything has been answered.
    """
    config = uvicorn.Config(
        app,
        http=partial(StrictH11Protocol, connections=connections),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        access_log=False,  # our access log says more, and contains no query with a token
        server_header=False,
        proxy_headers=False,  # the peer is the client: proxies are trusted by our own settings
        lifespan="off",
        backlog=_backlog(connections.limits.connections),
        timeout_keep_alive=connections.limits.idle_seconds,  # type: ignore[arg-type]
        timeout_graceful_shutdown=goodbye_seconds,
    )
    return Server(config, beginning, ending)


class Server(uvicorn.Server):
    """Returns when stopped; uvicorn's own would raise the signal again and end the process."""

    def __init__(self, config: uvicorn.Config, beginning: Callable[[], None], ending: Callable[[], None]) -> None:
        """Keep the callbacks that run in the event loop before the first answer and after the last."""
        super().__init__(config)
        self._beginning, self._ending = beginning, ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start answering."""
        self._beginning()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop answering."""
        await super().shutdown(sockets)
        self._ending()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM end the server within the block.

        A second signal skips waiting for answers in progress.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def fitting(limits: ConnectionLimits) -> ConnectionLimits:
    """Fit limits into the number of files this process may open; raises its soft limit as far as needed.

    Connections beyond that are refused before they are accepted, so that the store can always be opened.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = limits.connections + BACKLOG + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < needed:
            connections = max(1, min(limits.connections, soft - _SMALL_BACKLOG - _OTHER_FILES))
            logger.warning(
                "this process may open %d files: %d connections at once instead of %d; raise its limit (ulimit -n)",
                soft,
                connections,
                limits.connections,
            )
            return replace(limits, connections=connections)
    return limits


def _backlog(connections: int) -> int:
    """Return how many connections may wait to be accepted: no more than the process may open files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    fits = soft == resource.RLIM_INFINITY or soft >= connections + BACKLOG + _OTHER_FILES
    return BACKLOG if fits else _SMALL_BACKLOG

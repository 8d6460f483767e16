"""A socket that listens, and uvicorn behind it with the limits that every server of ours has."""

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
from lineage.serve.server.wire import Wire

logger = logging.getLogger(__name__)

BACKLOG: Final = 2_048
_LAST_PORT: Final = 65_535
_SMALL_BACKLOG: Final = 128
_OTHER_FILES: Final = 256  # of the store, the log, and what the process is made of


def address_of(said: str) -> tuple[str, int]:
    """Host and port of ``host:port``; an IPv6 address stands in brackets.

    Raises:
        RefusedError: It is no such thing.

    Examples:
        >>> address_of("127.0.0.1:9464")
        ('127.0.0.1', 9464)
        >>> address_of("[::1]:0")
        ('::1', 0)
    """
    host, _, port = said.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in bare) != (bare != host) or not (port.isascii() and port.isdigit()):
        raise RefusedError(f"{said!r} is no address to listen on; write host:port, for example 127.0.0.1:9464")
    if int(port) > _LAST_PORT:
        raise RefusedError(f"{said!r} is no address to listen on: there is no port {port}")
    return bare, int(port)


def listening_socket(family: int, place: Any) -> socket.socket:
    """A socket that listens at a place that ``getaddrinfo`` found.

    Raises:
        OSError: The place is taken, or is not of this machine.
    """
    # The protocol is said, since an answer in two parts waits for the client in between unless asyncio sees TCP.
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
) -> "Server":
    """A server of an ASGI app.

    Args:
        app: The app.
        connections: The registry of its connections, with their limits.
        goodbye_seconds: That answers under way may take when it is stopped.
        beginning: Called in the event loop before anything is answered.
    """
    config = uvicorn.Config(
        app,
        http=partial(Wire, connections=connections),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        access_log=False,  # ours says more, and no query with a token in it
        server_header=False,
        proxy_headers=False,  # who connects is who connects: a proxy is trusted by settings of ours
        lifespan="off",
        backlog=_backlog(connections.limits.connections),
        timeout_keep_alive=connections.limits.idle_seconds,  # type: ignore[arg-type]
        timeout_graceful_shutdown=goodbye_seconds,
    )
    return Server(config, beginning)


class Server(uvicorn.Server):
    """Returns when it is told to stop; uvicorn's own would raise the signal again and end the process."""

    def __init__(self, config: uvicorn.Config, beginning: Callable[[], None]) -> None:
        """Take what is called in the event loop before anything is answered."""
        super().__init__(config)
        self._beginning = beginning

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        self._beginning()
        await super().startup(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """While this lasts SIGINT and SIGTERM end the server; told twice it does not wait for answers under way."""
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
    """Limits that fit into what this process may open; raises its soft limit on open files as far as is needed.

    What the files leave no room for is refused before it is accepted, so that the store can always be opened.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.connections + BACKLOG + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
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
    """How many connections are accepted before any of them is looked at: no more than there are files for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    fits = soft == resource.RLIM_INFINITY or soft >= connections + BACKLOG + _OTHER_FILES
    return BACKLOG if fits else _SMALL_BACKLOG

"""Lines over TCP, such as from OpenBao's socket audit device: read at once, spooled, never acknowledged.

A program that writes an audit log to a socket blocks until it is read, and OpenBao answers no request in the
meantime. So reading waits only for the spool, not for the log or the store. The sender has to wait only if the spool
or the disk is full; nothing is lost.
"""

import logging
import selectors
import socket
import threading
from contextlib import suppress
from typing import Any, Final, Self

from ingest.sources.adapters.json_documents import RECORD_BYTES
from ingest.sources.inputs.spool import LineSpool
from lineage.core.model.errors import RefusedError
from lineage.plumbing.addresses import fault_of_listening, is_loopback

logger = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 256 * 1024
_BUFFER_BYTES: Final = 4 * 1024 * 1024
_MOST_CONNECTIONS: Final = 64
_TURN_SECONDS: Final = 0.5
_RETRY_SECONDS: Final = 0.1
_BACKLOG: Final = 64


class _Connection:
    """The incomplete last line of a connection."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self._rest = bytearray()
        self._dropping = False  # within a line that is too long; `rest` has its beginning

    def lines(self, chunk: bytes) -> bytes:
        """Return the lines that are complete now. A line that is too long is truncated."""
        end = chunk.rfind(b"\n") + 1
        if not end:
            room = RECORD_BYTES + 2 - len(self._rest)
            self._dropping |= len(chunk) > room
            self._rest += chunk[: max(0, room)]
            return b""
        first = chunk.find(b"\n")
        head = bytes(self._rest[: RECORD_BYTES + 2]) + (b"" if self._dropping else chunk[:first])
        self._rest, self._dropping = bytearray(chunk[end:]), False
        return head + chunk[first:end]

    def last(self) -> bytes:
        """Return the incomplete line that is left when the sender disconnects."""
        return bytes(self._rest) + b"\n" if self._rest.strip() else b""


class LineReceiver:
    """Listens at an address for one source, in a separate thread, between ``start`` and ``stop``."""

    def __init__(self, name: str, address: tuple[str, int], spool: LineSpool, came: threading.Event) -> None:
        """Bind the address.

        Args:
            name: The name of the source.
            address: Host and port.
            spool: Where lines are written.
            came: Set when there are new lines.

        Raises:
            RefusedError: The address is invalid or in use.
        """
        self._name, self._spool, self._came = name, spool, came
        host, port = address
        try:
            family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self._listening = socket.socket(family, socket.SOCK_STREAM)
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            self._listening.bind(place)
            self._listening.listen(_BACKLOG)
            self._listening.settimeout(0)
        except (OSError, UnicodeError) as error:
            raise RefusedError(
                f"cannot listen on {host}:{port} for the source {name!r}: {fault_of_listening(error)}; "
                "give 'tcp' another address"
            ) from error
        self.host, self.port = self._listening.getsockname()[:2]
        if not is_loopback(str(self.host)):
            logger.warning(
                "anybody who can reach %s:%d can write records of the source %r: TCP has no login; bind it to loopback "
                "or to a private network",
                self.host,
                self.port,
                name,
            )
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._connections: dict[int, _Connection] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"delegraph-tcp-{name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        reported = False
        while not self._stopped.is_set():
            if self._spool.is_full:
                if not reported:
                    logger.error(
                        "the spool of the source %r is full: its senders wait until the log has accepted some of "
                        "it; find out why the log or the store is unavailable",
                        self._name,
                    )
                reported = True
                self._came.set()
                self._stopped.wait(_RETRY_SECONDS)
                continue
            reported &= not self._spool.has_room
            for key, _ in self._selector.select(_TURN_SECONDS):
                self._ready(key.fileobj)
        self._close_connection()

    def _ready(self, ready: Any) -> None:
        if ready is self._listening:
            self._accept()
            return
        connection = self._connections[ready.fileno()]
        try:
            chunk = ready.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:  # the sender disconnected abruptly
            chunk = b""
        self._keep(connection.lines(chunk) if chunk else connection.last())
        if not chunk:
            self._leave(connection)

    def _accept(self) -> None:
        try:
            opened, _ = self._listening.accept()
        except OSError:
            return
        if len(self._connections) >= _MOST_CONNECTIONS:
            logger.warning("the source %r has %d connections; another one is refused", self._name, _MOST_CONNECTIONS)
            opened.close()
            return
        opened.settimeout(0)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._connections[opened.fileno()] = _Connection(opened)
        self._selector.register(opened, selectors.EVENT_READ)

    def _keep(self, lines: bytes) -> None:
        """Write lines to the spool; if the disk does not accept them, retry, while the sender waits."""
        reported = False
        while lines:
            try:
                self._spool.write(lines)
            except OSError as error:
                if not reported:
                    logger.error("the spool of the source %r: %s; its senders wait", self._name, error.strerror)  # noqa: TRY400
                reported = True
                if self._stopped.wait(_RETRY_SECONDS):
                    logger.error("%d bytes of the source %r were received but not stored", len(lines), self._name)  # noqa: TRY400
                    return
                continue
            self._came.set()
            return

    def _leave(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        del self._connections[connection.socket.fileno()]
        connection.socket.close()

    def _close_connection(self) -> None:
        """Read the bytes that have arrived, and close."""
        for connection in list(self._connections.values()):
            with suppress(OSError):
                while chunk := connection.socket.recv(_CHUNK_BYTES):
                    self._keep(connection.lines(chunk))
            self._keep(connection.last())
            self._leave(connection)
        self._selector.close()
        self._listening.close()
        self._spool.close()

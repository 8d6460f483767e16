"""What a long-running command shows on a port of its own: metrics, whether it lives, whether it is up to its work.

A small HTTP server beside the loop, made to bear whatever connects: one request a connection, GET and HEAD, a bounded
head, a deadline for the whole exchange, a bounded number of connections. It shares nothing with the loop but values
that are read in one step, so that a busy loop answers as well. Answers that speak of events are only given on loopback.
"""

import ipaddress
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from lineage.core.model.errors import DelegraphError, RefusedError, UnavailableError

logger = logging.getLogger(__name__)

Document = dict[str, Any]
Route = Callable[[dict[str, list[str]]], tuple[int, Document]]  # from a query to a status and a document

# A loop that has not turned for so long hangs. A batch on a slow database and the waits of the client libraries are
# shorter.
STALLED_SECONDS: Final = 120.0
EXCHANGE_SECONDS: Final = 5.0  # from the connection to the last byte of the answer
LINGER_SECONDS: Final = 0.5
CONNECTIONS: Final = 16
HEAD_BYTES: Final = 16_384  # several ids of 512 bytes, percent-encoded
QUERY_FIELDS: Final = 64
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_LAST_PORT: Final = 65_535


class Health:
    """What a loop has shown of itself: when it turned, what it waits for, whether it knows how far behind it is.

    Written by the loop, read by whoever asks; every value is set in one step.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, *, stalled_seconds: float = STALLED_SECONDS
    ) -> None:
        self._monotonic = monotonic
        self._stalled_seconds = stalled_seconds
        self._turned_at: float | None = None
        self._fault: str | None = None
        self._knows_lag = False

    def turned(self) -> None:
        """The loop has turned."""
        self._turned_at = self._monotonic()

    def answered(self) -> None:
        """What the loop needs has answered."""
        self._fault = None
        self.turned()

    def missed(self, kind: str) -> None:
        """Something that the loop needs is away; it goes on trying."""
        self._fault = kind
        self.turned()

    def lag_known(self, known: bool) -> None:
        """Whether the loop knows how far behind it is."""
        self._knows_lag = known

    def stalled(self) -> str | None:
        """Why the loop has to be taken for dead; None while it lives. A start may take its time."""
        if self._turned_at is None:
            return None
        seconds = self._monotonic() - self._turned_at
        return f"the loop has not turned for {seconds:.0f} s" if seconds > self._stalled_seconds else None

    def reasons(self) -> list[str]:
        """Why the loop is not up to its work; empty if it is."""
        if self._turned_at is None:
            return ["the loop has not begun"]
        found = [self.stalled(), self._fault and f"waiting after a fault: {self._fault}"]
        if not self._knows_lag:
            found.append("it is not known yet how far behind the projection is")
        return [reason for reason in found if reason]


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


class Serving:
    """The server: bound when it is made, answering between ``start`` and ``stop``."""

    def __init__(
        self, address: str, metrics: Callable[[], bytes], health: Health, routes: Mapping[str, Route] | None = None
    ) -> None:
        """Bind.

        Args:
            address: ``host:port``; port 0 takes a free one.
            metrics: Everything in Prometheus's text format.
            health: What the loop shows of itself.
            routes: What else is answered, by path, if the address is on loopback.

        Raises:
            RefusedError: The address is none, or is taken.
        """
        host, port = address_of(address)
        try:
            family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self._server = _Server(place, family)
        except (OSError, UnicodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "no name of a host"
            raise RefusedError(f"cannot listen on {address}: {said}; name another with DELEGRAPH_LISTEN") from error
        bound = self._server.server_address
        self.host, self.port = str(bound[0]), int(bound[1])
        self.is_loopback = ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        self._server.answers = {
            "/metrics": lambda _query: (HTTPStatus.OK, metrics()),
            "/healthz": lambda _query: _healthz(health),
            "/readyz": lambda _query: _readyz(health),
        }
        if self.is_loopback:
            self._server.private = dict(routes or {})
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Answer from now on, in a thread of its own."""
        if not self.is_loopback:
            logger.warning(
                "metrics and health are served on %s:%d, to whoever can reach it; nothing else is", self.host, self.port
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="delegraph-serving", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Give the port back."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _healthz(health: Health) -> tuple[int, Document]:
    reason = health.stalled()
    if reason is None:
        return HTTPStatus.OK, {"status": "ok"}
    return HTTPStatus.SERVICE_UNAVAILABLE, problem(HTTPStatus.SERVICE_UNAVAILABLE, reason)


def _readyz(health: Health) -> tuple[int, Document]:
    reasons = health.reasons()
    if not reasons:
        return HTTPStatus.OK, {"status": "ready"}
    said = problem(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(reasons))
    return HTTPStatus.SERVICE_UNAVAILABLE, said | {"reasons": reasons}


def problem(status: HTTPStatus, detail: str) -> Document:
    """A fault as RFC 9457 has it."""
    return {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # no exchange outlives its deadline by much, and none is worth waiting for
    request_queue_size = 64

    def __init__(self, place: Any, family: socket.AddressFamily) -> None:
        self.address_family = family
        self.answers: Mapping[str, Callable[[dict[str, list[str]]], tuple[int, Document | bytes]]] = {}
        self.private: Mapping[str, Route] = {}
        self._slots = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(place, _Exchange)

    def server_bind(self) -> None:
        # The base class asks the DNS for a name that nobody needs.
        self.allow_reuse_address = True
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._slots.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except RuntimeError:  # no more threads are to be had
                self._slots.release()
                self.shutdown_request(request)
        else:
            request.setblocking(False)
            try:
                request.send(_BUSY)
            except OSError:
                logger.debug("a client left before it was told that there are too many")
            self.close_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def shutdown_request(self, request: Any) -> None:
        # What a client still sends is read for a moment: else the system may throw the answer away.
        try:
            request.shutdown(socket.SHUT_WR)
            request.settimeout(LINGER_SECONDS)
            until = time.monotonic() + LINGER_SECONDS
            while request.recv(HEAD_BYTES) and time.monotonic() < until:
                pass
        except OSError:
            logger.debug("a client left before it was answered")
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 (of the base class)
        logger.debug("an exchange with %s ended early: %r", client_address, sys.exception())


class _Exchange(BaseHTTPRequestHandler):
    """One request and its answer."""

    server: _Server
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        self.close_connection = True
        until = time.monotonic() + EXCHANGE_SECONDS
        head = self._head(until)
        if head is None:
            return
        self.connection.settimeout(max(0.1, until - time.monotonic()))  # for the whole answer: it is sent in one call
        self.rfile = BytesIO(head)
        self.raw_requestline = self.rfile.readline()
        if self.parse_request():
            self.close_connection = True
            self._answer()

    def _head(self, until: float) -> bytes | None:
        """The bytes up to the empty line; None if there is nothing to answer, or it was answered."""
        head = b""
        self.command, self.request_version, self.requestline = "", self.protocol_version, ""
        while b"\r\n\r\n" not in head and b"\n\n" not in head:
            if len(head) > HEAD_BYTES:
                self.send_error(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a request has at most {HEAD_BYTES:,} bytes"
                )
                return None
            left = until - time.monotonic()
            self.connection.settimeout(max(0.001, left))
            try:
                part = self.connection.recv(4_096)
            except TimeoutError:
                self.send_error(HTTPStatus.REQUEST_TIMEOUT, f"a request is sent within {EXCHANGE_SECONDS:.0f} s")
                return None
            if not part:
                return None
            head += part
        return head

    def _answer(self) -> None:
        if self.command not in {"GET", "HEAD"}:
            self.send_error(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered here")
            return
        parts = urlsplit(self.path)
        route = self.server.answers.get(parts.path) or self.server.private.get(parts.path)
        if route is None:
            self.send_error(HTTPStatus.NOT_FOUND, f"there is no {parts.path[:200]!a} here")
        elif parts.path in self.server.private and not self._is_asked_here():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "this is only answered under a name of this machine")
        else:
            status, document = self._asked(route, parts.query)
            self._send(document, HTTPStatus(status))

    def _asked(self, route: Callable[..., tuple[int, Document | bytes]], query: str) -> tuple[int, Document | bytes]:
        try:
            asked = parse_qs(query, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS)
        except ValueError:
            status = HTTPStatus.BAD_REQUEST
            return status, problem(status, f"a query is UTF-8 and has at most {QUERY_FIELDS} fields")
        try:
            return route(asked)
        except RefusedError as fault:
            status, said = HTTPStatus.BAD_REQUEST, str(fault)
        except UnavailableError as fault:
            status, said = HTTPStatus.SERVICE_UNAVAILABLE, str(fault)
        except DelegraphError as fault:
            status, said = HTTPStatus.INTERNAL_SERVER_ERROR, str(fault)
        except Exception:
            logger.exception("no answer to %s", self.path)
            status, said = HTTPStatus.INTERNAL_SERVER_ERROR, "see the log"
        return status, problem(status, said)

    def _is_asked_here(self) -> bool:
        # A page of somewhere else can have its own name resolve to this address (DNS rebinding), but cannot hide it.
        said = self.headers.get("Host", "localhost")
        try:
            name = urlsplit(f"//{said}").hostname or ""
            return name == "localhost" or ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def _send(self, document: Document | bytes, status: HTTPStatus) -> None:
        head, body = response(status, document)
        self.wfile.write(head if self.command == "HEAD" else head + body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say what is wrong; also called by the base class, for what is no HTTP."""
        status = HTTPStatus(code)
        self._send(problem(status, explain or message or status.description), status)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: a scraper comes every few seconds."""


def response(status: HTTPStatus, document: Document | bytes) -> tuple[bytes, bytes]:
    """The head and the body of an answer; nothing in them says what made it."""
    if isinstance(document, bytes):
        body, type_ = document, METRICS_TYPE
    else:
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")
        type_ = "application/json" if status < HTTPStatus.BAD_REQUEST else "application/problem+json"
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {type_}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    return "\r\n".join([*lines, "", ""]).encode(), body


_BUSY: Final = b"".join(
    response(
        HTTPStatus.SERVICE_UNAVAILABLE,
        problem(HTTPStatus.SERVICE_UNAVAILABLE, f"more than {CONNECTIONS} connections at once"),
    )
)

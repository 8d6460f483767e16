"""The port of a long-running command: metrics, liveness and readiness.

It runs in a thread next to the command's loop and shares only values that are read in one step, so it answers while
the loop is busy. Answers that reveal events are only given on loopback.
"""

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from lineage.core.model.errors import DelegraphError, RefusedError, UnavailableError
from lineage.plumbing.addresses import fault_of_listening, is_loopback
from lineage.plumbing.problem_documents import MEDIA_TYPE
from lineage.serve.config.limits import ConnectionLimits
from lineage.serve.server.connection_metrics import ConnectionCollector
from lineage.serve.server.connections import Connections
from lineage.serve.server.listening import address_of, fitting, http_server, listening_socket

logger = logging.getLogger(__name__)

Document = dict[str, Any]
Answer = tuple[int, Document | bytes]
Route = Callable[[dict[str, list[str]]], tuple[int, Document]]  # from a query to a status and a document

# A loop without a turn for this long hangs. Batches on slow databases and waits of client libraries are shorter.
STALLED_SECONDS: Final = 120.0
ANSWER_SECONDS: Final = 5.0
CONNECTIONS: Final = 64  # whatever the settings allow for a server with many users
QUERY_FIELDS: Final = 64
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_WORKERS: Final = 4
_GOODBYE_SECONDS: Final = 1
_Send = Callable[[dict[str, Any]], Awaitable[None]]


class Health:
    """The report of a loop about itself: its last turn, what it waits for, whether its lag is known.

    Threads beside the loop report their faults as parts. Read by others; every value is set in one step.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, *, stalled_seconds: float = STALLED_SECONDS
    ) -> None:
        self._monotonic = monotonic
        self._stalled_seconds = stalled_seconds
        self._turned_at: float | None = None
        self._fault: str | None = None
        self._examining: str | None = None
        self._parts: dict[str, str] = {}  # what has failed beside the loop, and why
        self._knows_lag = False

    def turned(self) -> None:
        """Note that the loop has turned."""
        self._turned_at = self._monotonic()

    def answered(self) -> None:
        """Note that everything the loop needs has answered."""
        self._fault = self._examining = None
        self.turned()

    def missed(self, kind: str) -> None:
        """Note that something the loop needs is unavailable; the loop keeps trying."""
        self._fault = kind
        self.turned()

    def examining(self, reason: str) -> None:
        """Note that the loop works on something long, such as its start."""
        self._examining = reason
        self.turned()

    def part_failed(self, part: str, reason: str) -> None:
        """Note that a part of the process does not work; it keeps trying."""
        self._parts[part] = reason

    def part_works(self, part: str) -> None:
        """Note that a part works, or is tried again."""
        self._parts.pop(part, None)

    def lag_known(self, known: bool) -> None:
        """Note whether the loop knows its lag."""
        self._knows_lag = known

    def stalled(self) -> str | None:
        """Explain why the loop counts as dead; None while it is alive. The start may take long."""
        if self._turned_at is None:
            return None
        seconds = self._monotonic() - self._turned_at
        return f"the loop has not turned for {seconds:.0f} s" if seconds > self._stalled_seconds else None

    def reasons(self) -> list[str]:
        """List the reasons why the loop is not ready; empty if it is."""
        if self._turned_at is None:
            return ["the loop has not begun"]
        found = [self.stalled(), self._fault and f"waiting after a fault: {self._fault}", self._examining]
        if not self._knows_lag and self._examining is None:
            found.append("it is not known yet how far behind the projection is")
        found += [f"{part}: {reason}" for part, reason in sorted(self._parts.copy().items())]
        return [reason for reason in found if reason]


class Serving:
    """The server: bound on construction, answering between ``start`` and ``stop``."""

    def __init__(
        self,
        address: str,
        metrics: Callable[[], bytes],
        health: Health,
        routes: Mapping[str, Route] | None = None,
        *,
        limits: ConnectionLimits | None = None,
    ) -> None:
        """Bind the address.

        Args:
            address: ``host:port``; port 0 takes a free one.
            metrics: Returns everything in Prometheus's text format.
            health: What the loop reports.
            routes: Further routes by path, available if the address is on loopback.
            limits: The limits on connections; None for the default.

        Raises:
            RefusedError: The address is invalid or in use.
        """
        host, port = address_of(address)
        try:
            family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self._socket = listening_socket(family, place)
        except (OSError, UnicodeError) as error:
            raise RefusedError(
                f"cannot listen on {address}: {fault_of_listening(error)}; name another with DELEGRAPH_LISTEN"
            ) from error
        bound = self._socket.getsockname()
        self.host, self.port = str(bound[0]), int(bound[1])
        self.is_loopback = is_loopback(self.host)
        limits = limits or ConnectionLimits()
        connections = Connections(fitting(replace(limits, connections=min(limits.connections, CONNECTIONS))))
        registry = CollectorRegistry()
        registry.register(ConnectionCollector(connections))
        self._app = _App(
            {
                "/metrics": lambda _query: (HTTPStatus.OK, metrics() + generate_latest(registry)),
                "/healthz": lambda _query: _healthz(health),
                "/readyz": lambda _query: _readyz(health),
            },
            routes if routes is not None and self.is_loopback else {},
        )
        self._server = http_server(self._app, connections, goodbye_seconds=_GOODBYE_SECONDS)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start answering, in a separate thread."""
        if not self.is_loopback:
            logger.warning(
                "metrics and health are served on %s:%d, to anyone who can reach it, and nothing else",
                self.host,
                self.port,
            )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="delegraph-serving", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Release the port."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
        self._socket.close()
        self._app.close()

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
    document = problem(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(reasons))
    return HTTPStatus.SERVICE_UNAVAILABLE, document | {"reasons": reasons}


def problem(status: HTTPStatus, detail: str) -> Document:
    """Build a problem document (RFC 9457)."""
    return {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}


class _App:
    """An ASGI app of a few read-only paths. Each answer is a plain function, run in one of a few threads."""

    def __init__(
        self, answers: Mapping[str, Callable[[dict[str, list[str]]], Answer]], private: Mapping[str, Route]
    ) -> None:
        self._answers = answers
        self._private = private
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="delegraph-health")

    async def __call__(self, scope: Mapping[str, Any], _receive: object, send: _Send) -> None:
        status, document = await self._answer(scope)
        if isinstance(document, bytes):
            body, type_ = document, METRICS_TYPE
        else:
            body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")
            type_ = "application/json" if status < HTTPStatus.BAD_REQUEST else MEDIA_TYPE
        headers = [
            (b"content-type", type_.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Mapping[str, Any]) -> Answer:
        path = scope["path"]
        route = self._answers.get(path) or self._private.get(path)
        if scope["method"] not in {"GET", "HEAD"}:
            return _refused(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered here")
        if route is None:
            return _refused(HTTPStatus.NOT_FOUND, f"there is no {path[:200]!a} here")
        if path in self._private and not _is_asked_here(scope):
            return _refused(HTTPStatus.MISDIRECTED_REQUEST, "this is only answered under a name of this machine")
        try:
            query = parse_qs(
                scope["query_string"].decode(), keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS
            )
        except ValueError:
            return _refused(HTTPStatus.BAD_REQUEST, f"a query is UTF-8 and has at most {QUERY_FIELDS} fields")
        if path == "/healthz":  # liveness must not depend on the worker threads
            return route(query)
        running = asyncio.get_running_loop().run_in_executor(self._workers, _run, path, route, query)
        try:
            return await asyncio.wait_for(running, ANSWER_SECONDS)
        except TimeoutError:
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, f"no answer within {ANSWER_SECONDS:g} s; try again")

    def close(self) -> None:
        """Release the threads, without waiting for them."""
        self._workers.shutdown(wait=False, cancel_futures=True)


def _run(path: str, route: Callable[[dict[str, list[str]]], Answer], query: dict[str, list[str]]) -> Answer:
    try:
        return route(query)
    except RefusedError as fault:
        return _refused(HTTPStatus.BAD_REQUEST, str(fault))
    except UnavailableError as fault:
        return _refused(HTTPStatus.SERVICE_UNAVAILABLE, str(fault))
    except DelegraphError as fault:
        return _refused(HTTPStatus.INTERNAL_SERVER_ERROR, str(fault))
    except Exception:
        logger.exception("no answer to %s", path)
        return _refused(HTTPStatus.INTERNAL_SERVER_ERROR, "see the log")


def _refused(status: HTTPStatus, detail: str) -> Answer:
    return status, problem(status, detail)


def _is_asked_here(scope: Mapping[str, Any]) -> bool:
    # A foreign page can make its name resolve to this address (DNS rebinding), but cannot hide that name.
    host = dict(scope["headers"]).get(b"host", b"localhost").decode("latin-1")
    with suppress(ValueError):
        name = urlsplit(f"//{host}").hostname or ""
        return is_loopback(name)
    return False

"""Checks of all requests and responses: host names, sizes, timeouts, and the headers of every answer.

Plain ASGI, around everything that is mounted.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_plus, unquote_to_bytes, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lineage.core.model.errors import DelegraphError
from lineage.deliver.http.problems import problem
from lineage.serve.config.limits import Limits
from lineage.serve.http.core.error_responses import GET_ALONE, response_of, unexpected
from lineage.serve.http.core.metrics import Measures
from lineage.serve.http.core.query import ParameterError
from lineage.serve.server.request_framing import is_host

URL_BYTES: Final = 48 * 1024
# If one of these is repeated, a proxy may have used one value and we the other.
_ONCE: Final = {b"authorization", b"content-type", b"content-encoding", b"idempotency-key", b"last-event-id"}

# Scripts, styles, fonts and images only from our own files; nothing inline; no framing.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",  # unless a response sets another
}
_STRICT_TRANSPORT: Final = "max-age=31536000"
EVIDENCE_HEADER: Final = "Delegraph-Evidence"
EVIDENCE_SECONDS: Final = 1.0  # the greatest age of its sentence, and how long an answer waits for it


class EvidenceHeader:
    """The header of answers about the evidence for them: under which checkpoint the log is, and what came later.

    One for a process; answers within a second share one reading of the store.
    """

    def __init__(self, read: Callable[[], Awaitable[str | None]], clock: Callable[[], float] = time.monotonic) -> None:
        """Store the function that reads the sentence without blocking the event loop, and the clock."""
        self._read = read
        self._clock = clock
        self._read_at = float("-inf")
        self._header: tuple[tuple[bytes, bytes], ...] = ()
        self._reading: asyncio.Task[None] | None = None

    async def current(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the header; nothing if no checkpoint is signed, or the store does not answer in time."""
        if self._clock() - self._read_at < EVIDENCE_SECONDS:
            return self._header
        reading = self._reading
        if reading is None or reading.done() or reading.get_loop() is not asyncio.get_running_loop():
            reading = self._reading = asyncio.create_task(self._renew(self._clock()))
        done, _ = await asyncio.wait({reading}, timeout=EVIDENCE_SECONDS)
        return self._header if done else ()

    async def _renew(self, began: float) -> None:
        sentence = None
        with suppress(DelegraphError):
            sentence = await self._read()
        self._header = () if sentence is None else ((EVIDENCE_HEADER.lower().encode(), sentence.encode("ascii")),)
        self._read_at = began


class RequestGuard:
    """Wraps an application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: frozenset[str],
        limits: Limits,
        tls: bool,
        measures: Measures,
        evidence: EvidenceHeader,
    ) -> None:
        """Wrap an application; ``hosts`` are its allowed names, ``tls`` whether browsers connect over TLS."""
        self._measures = measures
        self._evidence = evidence
        self._app = app
        self._hosts = hosts
        self._limits = limits
        headers = _HEADERS | ({"Strict-Transport-Security": _STRICT_TRANSPORT} if tls else {})
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        began, begun = time.perf_counter(), False
        # HEAD is handled as GET, and the server omits the body (RFC 9110 section 9.3.2).
        as_get = {**scope, "method": "GET"} if scope["method"] == "HEAD" and scope["path"] not in GET_ALONE else scope

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                counted = {"method": scope["method"], "route": as_get.get("route")}
                self._measures.answered(counted, message["status"], time.perf_counter() - began)
                present = {name for name, _ in message["headers"]}
                message["headers"] += [header for header in self._headers if header[0] not in present]
                if scope["path"].startswith("/v1/") and message["status"] < HTTPStatus.MULTIPLE_CHOICES:
                    message["headers"] += await self._evidence.current()
            await send(message)

        refused = self._refused(scope)
        if refused is not None:
            await refused(scope, receive, send_with_headers)
            return
        try:
            await self._app(as_get, self._bounded(receive), send_with_headers)
        except ClientDisconnect:  # the client is gone
            return
        except Exception as fault:
            if begun:  # a partial response is cut off, so that it cannot be mistaken for a complete one
                raise
            await unexpected(Request(scope), fault)(scope, receive, send_with_headers)

    def _refused(self, scope: Scope) -> ASGIApp | None:
        headers = dict(scope["headers"])
        # A foreign page can make its name resolve to our address (DNS rebinding), but cannot hide that name.
        name = _name_of(headers.get(b"host", b""))
        if name is None:
            title, detail = "This is not a valid HTTP request", "the header Host names a host, with or without a port"
            return problem(HTTPStatus.BAD_REQUEST, "malformed", title, detail, headers={"Connection": "close"})
        if name not in self._hosts:
            status = HTTPStatus.MISDIRECTED_REQUEST
            detail = "this is not answered under that name (the header Host); DELEGRAPH_HTTP_HOSTS lists names"
            return problem(status, "misdirected", "Nobody of that name is here", detail)
        if len(scope["raw_path"] or b"") + len(scope["query_string"]) > URL_BYTES:
            status = HTTPStatus.REQUEST_URI_TOO_LONG
            return problem(status, "too-large", "The request is too large", f"a URL has at most {URL_BYTES:,} bytes")
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self._limits.body_bytes:
            return problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The request is too large", self._too_large
            )
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            status, title = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is of another media type"
            detail = "a body is sent as it is, without Content-Encoding"
            return problem(status, "media-type", title, detail, headers={"Accept-Encoding": "identity"})
        try:
            _refuse_ambiguous(scope)
        except ParameterError as fault:
            return response_of(fault)
        return None

    def _bounded(self, receive: Receive) -> Receive:
        """Limit the size of a body and the time to receive it."""
        size, until, whole = 0, asyncio.get_running_loop().time() + self._limits.body_seconds, False

        async def receive_bounded() -> Message:
            nonlocal size, whole
            if whole:  # the next message is the client's disconnect, whenever it comes
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError as error:
                detail = f"a body is sent within {self._limits.body_seconds:.0f} s"
                close = {"Connection": "close"}  # the rest of the connection is not a request (RFC 9110 section 15.5.9)
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, detail, headers=close) from error
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > self._limits.body_bytes:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
            return message

        return receive_bounded

    @property
    def _too_large(self) -> str:
        return f"a body has at most {self._limits.body_bytes:,} bytes; send it in parts"


def _refuse_ambiguous(scope: Scope) -> None:
    """Refuse what two parsers could read differently.

    Raises:
        ParameterError: A header is repeated, or a name or a value is not UTF-8 and could be read as another.
    """
    once = [name for name, _ in scope["headers"] if name in _ONCE]
    if len(once) > len(set(once)):
        twice = next(name for name in once if once.count(name) > 1)
        raise ParameterError(twice.decode().title(), "stands twice; send it once")
    if not _is_utf_8(scope["raw_path"] or b""):
        raise ParameterError("path", _NOT_UTF_8)
    if not _is_utf_8(scope["query_string"]):  # & and = are ASCII: the whole is UTF-8 if all of its parts are
        wrong = next(part for part in scope["query_string"].split(b"&") if not _is_utf_8(part))
        name = unquote_plus(wrong.partition(b"=")[0].decode("latin-1"))
        raise ParameterError(name[:64], _NOT_UTF_8)


_BEYOND_ASCII: Final = re.compile(rb"%[89a-fA-F]|[^\x00-\x7f]")
_NOT_UTF_8: Final = "is not UTF-8, percent-encoded"


def _is_utf_8(encoded: bytes) -> bool:
    if not _BEYOND_ASCII.search(encoded):
        return True
    try:
        unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return False
    return encoded.isascii()


@lru_cache(maxsize=64)
def _name_of(host: bytes) -> str | None:
    """Return the name in the header ``Host``; None if it is invalid."""
    if not is_host(host):
        return None
    try:
        return (urlsplit(f"//{host.decode('ascii')}").hostname or "").rstrip(".")
    except ValueError:
        return None

"""What every request and every answer has in common: names, sizes, times, and the headers that browsers heed.

Plain ASGI, around everything that is mounted, whoever made it.
"""

import asyncio
import time
from functools import lru_cache
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lineage.deliver.problems import problem
from lineage.serve.http.faults import unexpected
from lineage.serve.http.measures import Measures
from lineage.serve.http.site import Limits

BODY_SECONDS: Final = 30.0
URL_BYTES: Final = 48 * 1024

# No script, style, font or picture but our own files; nothing inline; in nobody's frame.
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
    "Cache-Control": "no-store",  # unless an answer says otherwise
}
_STRICT_TRANSPORT: Final = "max-age=31536000"


class Shell:
    """Wraps an app."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], limits: Limits, tls: bool, measures: Measures) -> None:
        """Take the app, the names under which it may be asked for, and whether browsers come over TLS."""
        self._measures = measures
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

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._measures.answered(scope, message["status"], time.perf_counter() - began)
                said = {name for name, _ in message["headers"]}
                message["headers"] += [header for header in self._headers if header[0] not in said]
            await send(message)

        refused = self._refused(scope)
        if refused is not None:
            await refused(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, self._bounded(receive), send_with_headers)
        except Exception as fault:
            if begun:  # what is half sent is cut off, so that nobody takes it for whole
                raise
            await unexpected(Request(scope), fault)(scope, receive, send_with_headers)

    def _refused(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        # A page of somewhere else can have its own name resolve to our address (DNS rebinding), but cannot hide it.
        if _name_of(headers.get("host", "")) not in self._hosts:
            status = HTTPStatus.MISDIRECTED_REQUEST
            detail = "this is not answered under that name (the header Host); DELEGRAPH_HTTP_HOSTS lists names"
            return problem(status, "misdirected", "Nobody of that name is here", detail)
        if len(scope["raw_path"] or b"") + len(scope["query_string"]) > URL_BYTES:
            status = HTTPStatus.REQUEST_URI_TOO_LONG
            return problem(status, "too-large", "The request is too large", f"a URL has at most {URL_BYTES:,} bytes")
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length[:20]) > self._limits.body_bytes:
            return problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The request is too large", self._too_large
            )
        return None

    def _bounded(self, receive: Receive) -> Receive:
        """A body that is no larger than may be, and does not take for ever."""
        size, until, whole = 0, asyncio.get_running_loop().time() + BODY_SECONDS, False

        async def receive_bounded() -> Message:
            nonlocal size, whole
            if whole:  # what comes now is that the client leaves, whenever that is
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError as error:
                detail = f"a body is sent within {BODY_SECONDS:.0f} s"
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, detail) from error
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > self._limits.body_bytes:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
            return message

        return receive_bounded

    @property
    def _too_large(self) -> str:
        return f"a body has at most {self._limits.body_bytes:,} bytes; send it in parts"


@lru_cache(maxsize=64)
def _name_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""

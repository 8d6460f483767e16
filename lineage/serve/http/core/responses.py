"""Documents as bytes: fast JSON, and an ETag over exactly these bytes."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from lineage.serve.documents.core_documents import Document

TAKEN_SECONDS: Final = 30.0  # how long a client may leave a part of a stream unread
_AS_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=list).encode


def encoded(document: Document) -> bytes:
    """Encode a document, whose lists may be any sequences. Unpaired surrogates in its values are replaced."""
    try:
        return orjson.dumps(document, default=list)
    except orjson.JSONEncodeError:  # orjson rejects unpaired surrogates and very deep nesting
        return _AS_JSON(document).encode(errors="replace")


def etag_of(body: bytes) -> str:
    """Compute the entity tag of a body."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def document_response(request: Request, document: Document, *, status: int = HTTPStatus.OK) -> Response:
    """Build the response for a document; 304 if the client has it already."""
    return _response(request, encoded(document), "application/json", status)


def text_response(request: Request, text: str, media_type: str) -> Response:
    """Build the response for a text; 304 if the client has it already."""
    return _response(request, text.encode(errors="replace"), media_type, HTTPStatus.OK)


def bytes_response(request: Request, body: bytes, media_type: str, caching: str) -> Response:
    """Build the response for a static resource; 304 if the client has it already."""
    return _response(request, body, media_type, HTTPStatus.OK, caching)


def _response(
    request: Request, body: bytes, media_type: str, status: int, caching: str = "private, no-cache"
) -> Response:
    headers = {"ETag": etag_of(body), "Cache-Control": caching}
    if status == HTTPStatus.OK and _has(request, headers["ETag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, status_code=status, headers=headers, media_type=media_type)


def _has(request: Request, etag: str) -> bool:
    etags = ",".join(request.headers.getlist("if-none-match"))
    return etags.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in etags.split(",")]


class Streamed(StreamingResponse):
    """A stream with a final action, which also runs if the client leaves before the first part."""

    def __init__(
        self,
        parts: AsyncIterator[bytes],
        done: Callable[[], None],
        *,
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Keep the parts and the final action."""
        super().__init__(parts, headers=headers, media_type=media_type)
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream. A client that does not read a part in time is cut off, because its snapshot is held open."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(TAKEN_SECONDS):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        finally:
            self._done()

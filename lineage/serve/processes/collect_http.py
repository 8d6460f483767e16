"""The HTTP input of ``collect``: ``POST /v1/foreign/{source}``, and OTLP/HTTP on ``/v1/traces``.

The body of a request is read only after its token is verified for the source. 2xx means that the log has the records;
429 and 503 ask the sender to retry, which at worst makes duplicates.
"""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, NoReturn, Self

from ingest.codec.credentials import scrubbed
from ingest.sources.inputs.intake import DeliveryOutcome, SourceIntake
from ingest.sources.inputs.request_bodies import BODY_BYTES, PROTOBUF, BodyError, records_of
from ingest.sources.inputs.source_tokens import SourceTokens
from lineage.core.model.errors import RefusedError, UnavailableError
from lineage.plumbing.addresses import fault_of_listening, is_loopback
from lineage.plumbing.problem_documents import MEDIA_TYPE, problem_document
from lineage.serve.config.limits import ConnectionLimits
from lineage.serve.server.connections import Connections
from lineage.serve.server.listening import address_of, fitting, http_server, listening_socket

logger = logging.getLogger(__name__)

FOREIGN: Final = "/v1/foreign/"
TRACES: Final = "/v1/traces"
ONLY_POST: Final = "records are sent with POST"
_WORKERS: Final = 8
_AT_ONCE: Final = 16  # bodies in memory at once
_WAITING: Final = 256  # requests that wait for one of these; one more is refused
_CONNECTIONS: Final = 1_024
_GOODBYE_SECONDS: Final = 5
_RETRY_SECONDS: Final = 2
_Send = Callable[[dict[str, Any]], Awaitable[None]]
_Receive = Callable[[], Awaitable[dict[str, Any]]]


class _RefusalError(Exception):
    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Receiver:
    """A server at one address, running between ``start`` and ``stop``."""

    def __init__(
        self,
        address: str,
        foreign: Mapping[str, SourceIntake],
        traces: Mapping[str, SourceIntake],
        *,
        limits: ConnectionLimits,
        refused: Callable[[int], None] = lambda _status: None,
    ) -> None:
        """Bind the address.

        Args:
            address: ``host:port``.
            foreign: The sources of ``/v1/foreign/{source}``, by name.
            traces: Those of ``/v1/traces``.
            limits: The limits on connections.
            refused: Called with the status of each refusal.

        Raises:
            RefusedError: The address is invalid or in use, or a token cannot be read.
        """
        host, port = address_of(address)
        names = ", ".join(sorted({*foreign, *traces}))
        try:
            family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self._socket = listening_socket(family, place)
        except (OSError, UnicodeError) as error:
            raise RefusedError(
                f"cannot listen on {address} for the sources {names}: {fault_of_listening(error)}; name another "
                "address with --http, or as 'http' or 'otlp' of the source"
            ) from error
        self._foreign, self._traces, self._refused = dict(foreign), dict(traces), refused
        everyone = {**foreign, **traces}
        self.host, self.port = self._socket.getsockname()[:2]
        self._tokens = SourceTokens(intake.named for intake in everyone.values())
        for name, intake in everyone.items():
            if intake.named.token is None and intake.named.token_file is None:
                logger.warning(
                    "the source %r takes requests and has no token: each of them is refused with 401; "
                    "give it a token_file in its [[source]]",
                    name,
                )
        if not is_loopback(str(self.host)):
            logger.warning("tokens arrive at %s:%d without TLS; put a proxy with TLS in front", self.host, self.port)
        connections = Connections(fitting(replace(limits, connections=min(limits.connections, _CONNECTIONS))))
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="delegraph-receiver")
        self._server = http_server(self, connections, goodbye_seconds=_GOODBYE_SECONDS)
        self._slots: asyncio.Semaphore | None = None
        self._waiting = 0
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="delegraph-receiving", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self._workers.shutdown(wait=True)

    async def __call__(self, scope: Mapping[str, Any], receive: _Receive, send: _Send) -> None:
        """Answer a request (ASGI)."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        is_traces = scope["path"] == TRACES
        more: list[tuple[bytes, bytes]] = []
        try:
            intake = self._asked(scope, headers)
            outcome = await self._take(intake, headers, media_type, receive)
            status, body, type_ = HTTPStatus.OK, _answer(outcome), "application/json"
            if is_traces:
                body, type_ = _exported(outcome, media_type)
        except _RefusalError as refusal:
            status, detail = refusal.status, refusal.detail
            self._refused(int(status))
            logger.warning("%s %s: %d %s", scope["method"], scrubbed(scope["path"])[:200], status, detail)
            body, type_ = _problem(status, detail), MEDIA_TYPE
            if is_traces:
                body, type_ = _status(detail, media_type)
            if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
                more = [(b"retry-after", str(_RETRY_SECONDS).encode())]
            if status == HTTPStatus.UNAUTHORIZED:
                more = [(b"www-authenticate", b"Bearer")]
            if status == HTTPStatus.METHOD_NOT_ALLOWED:
                more = [(b"allow", b"POST")]
        fixed = [
            (b"content-type", type_.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": int(status), "headers": [*fixed, *more]})
        await send({"type": "http.response.body", "body": body})

    def _asked(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> SourceIntake:
        """Return the source of a request, if its token is valid for that source."""
        path = scope["path"]
        if not path.startswith(FOREIGN) and path != TRACES:
            raise _RefusalError(HTTPStatus.NOT_FOUND, f"there is {FOREIGN}{{source}} and {TRACES} here, and no other")
        if scope["method"] != "POST":
            raise _RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, ONLY_POST)
        allowed = self._tokens.sources_of(headers.get("authorization", ""))
        if path == TRACES:
            known = sorted(allowed & self._traces.keys())
            if known:
                return self._traces[known[0]]
            self._refuse_stranger(allowed, "of a source with otlp")
        name = path.removeprefix(FOREIGN)
        if name not in self._foreign or name not in allowed:
            self._refuse_stranger(allowed, f"of the source {name!a}" if name in self._foreign else "of that source")
        return self._foreign[name]

    @staticmethod
    def _refuse_stranger(allowed: frozenset[str], whose: str) -> NoReturn:
        if allowed:
            raise _RefusalError(HTTPStatus.FORBIDDEN, f"that token is another source's; send the token {whose}")
        raise _RefusalError(HTTPStatus.UNAUTHORIZED, f"send the token {whose}: Authorization: Bearer ...")

    async def _take(
        self, intake: SourceIntake, headers: Mapping[str, str], media_type: str, receive: _Receive
    ) -> DeliveryOutcome:
        if self._slots is None:
            self._slots = asyncio.Semaphore(_AT_ONCE)
        if self._waiting >= _WAITING:
            raise _RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, "too much is sent at once; send it again")
        self._waiting += 1
        try:
            async with self._slots:
                body = await _body(headers, receive, intake.named.name)
                encoding = headers.get("content-encoding", "").strip().lower()
                return await asyncio.get_running_loop().run_in_executor(
                    self._workers, _deliver, intake, body, media_type, encoding
                )
        finally:
            self._waiting -= 1


async def _body(headers: Mapping[str, str], receive: _Receive, name: str) -> bytes:
    too_large = _RefusalError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"a body for the source {name!r} has at most {BODY_BYTES:,} bytes; send it in parts, or with gzip",
    )
    if int(headers.get("content-length", "0") or "0") > BODY_BYTES:
        raise too_large
    found = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _RefusalError(
                HTTPStatus.BAD_REQUEST, f"the sender for the source {name!r} went away before the end of the body"
            )
        found += message.get("body", b"")
        if len(found) > BODY_BYTES:
            raise too_large
        if not message.get("more_body"):
            return bytes(found)


def _deliver(intake: SourceIntake, body: bytes, media_type: str, encoding: str) -> DeliveryOutcome:
    name = intake.named.name
    try:
        return intake.take(f"http {name}", records_of(body, intake.named, media_type=media_type, encoding=encoding))
    except BodyError as fault:
        raise _RefusalError(fault.status, str(fault)) from None
    except UnavailableError as fault:
        raise _RefusalError(
            HTTPStatus.SERVICE_UNAVAILABLE, f"nothing for the source {name!r} is acknowledged: {fault}; send it again"
        ) from None
    except Exception:
        logger.exception("a request for %s", name)
        raise _RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, "see the log of the process") from None


def _answer(outcome: DeliveryOutcome) -> bytes:
    return json.dumps(outcome._asdict(), separators=(",", ":")).encode()


def _problem(status: HTTPStatus, detail: str) -> bytes:
    document = problem_document(status, status.phrase.lower().replace(" ", "-"), status.phrase, detail)
    return json.dumps(document, separators=(",", ":")).encode()


# The responses an OTLP exporter reads: ExportTraceServiceResponse, and Status for a refusal.


def _exported(outcome: DeliveryOutcome, media_type: str) -> tuple[bytes, str]:
    rejected = sum(outcome.quarantined.values())
    message = f"{rejected} are in quarantine: {', '.join(sorted(outcome.quarantined))}" if rejected else ""
    if media_type == PROTOBUF:
        partial = b"\x08" + _varint(rejected) + _text(2, message)
        return (b"\x0a" + _varint(len(partial)) + partial if rejected else b""), PROTOBUF
    document = {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": message}} if rejected else {}
    return json.dumps(document).encode(), "application/json"


def _status(detail: str, media_type: str) -> tuple[bytes, str]:
    if media_type == PROTOBUF:
        return _text(2, detail), PROTOBUF
    return json.dumps({"message": detail}).encode(), "application/json"


def _text(field: int, text: str) -> bytes:
    raw = text.encode()
    return bytes([field << 3 | 2]) + _varint(len(raw)) + raw


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:  # noqa: PLR2004 (seven bits a byte)
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])

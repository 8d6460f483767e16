"""The transmitter over HTTP: public configuration and keys; streams for callers with the role ``receiver``."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from lineage.core.model.errors import DelegraphError, RefusedError
from lineage.deliver.http.callers import Authenticate, Role, require
from lineage.deliver.http.problems import problem, problem_of
from lineage.deliver.http.signing_keys import Keys
from lineage.deliver.ssf import polling, stream_requests
from lineage.deliver.ssf.transmitter import NoStreamError, OneStreamError, TooOftenError, Transmitter

LARGEST_BYTES: Final = 256 * 1024  # of a request: a poll that acknowledges a thousand events has about 40 KiB
LONGEST_POLL_SECONDS: Final = 20.0  # proxies between us and a receiver may time out after 30 seconds
_LOOK_SECONDS: Final = 0.2

_FAULTS: Final[dict[type[DelegraphError], tuple[HTTPStatus, str, str]]] = {
    NoStreamError: (HTTPStatus.NOT_FOUND, "no-stream", "There is no such stream"),
    OneStreamError: (HTTPStatus.CONFLICT, "one-stream", "A receiver has one stream"),
    TooOftenError: (HTTPStatus.TOO_MANY_REQUESTS, "too-often", "That was asked for too often"),
}


class NotConfiguredError(RefusedError):
    """No transmitter is configured here."""


class _Route(APIRoute):
    """A route whose errors are problem documents, in any application that includes it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except NotConfiguredError as fault:
                return problem(HTTPStatus.NOT_IMPLEMENTED, "not-configured", "Nothing is transmitted here", str(fault))
            except DelegraphError as fault:
                known = _FAULTS.get(type(fault))
                return problem_of(fault) if known is None else problem(*known, str(fault))

        return handled


def router(
    transmitter: Transmitter | None, authenticate: Authenticate, *, poll_seconds: float = LONGEST_POLL_SECONDS
) -> APIRouter:
    """Build the routes of a transmitter.

    Args:
        transmitter: The transmitter; None if none is configured, and then every route says so.
        authenticate: Authenticates the caller.
        poll_seconds: The longest wait of a poll for events.
    """
    found = APIRouter(route_class=_Route, tags=["shared signals"])

    def there() -> Transmitter:
        if transmitter is None:
            raise NotConfiguredError("there is no transmitter of Shared Signals; set ssf_issuer and signing_key_file")
        return transmitter

    def receiver(request: Request) -> str:
        return require(authenticate(request), Role.RECEIVER).name

    async def body(request: Request, _caller: Annotated[str, Depends(receiver)]) -> stream_requests.Json:
        return await _object_in(request)

    There = Annotated[Transmitter, Depends(there)]  # noqa: N806 (types)
    Receiver = Annotated[str, Depends(receiver)]  # noqa: N806
    Body = Annotated[stream_requests.Json, Depends(body)]  # noqa: N806

    @found.get("/.well-known/ssf-configuration")
    @found.get("/.well-known/ssf-configuration/{path:path}", include_in_schema=False)
    def configuration(transmitter: There, path: str = "") -> JSONResponse:
        document = transmitter.configuration()
        # SSF 1.0 section 7.2.1: the path of the issuer follows the well-known path.
        if path and not document["issuer"].endswith(f"/{path}"):
            raise NoStreamError("no issuer with that path transmits here")
        return JSONResponse(document, headers={"Cache-Control": "max-age=300"})

    @found.post("/ssf/streams", status_code=HTTPStatus.CREATED)
    def create(transmitter: There, caller: Receiver, body: Body) -> JSONResponse:
        return _answer(transmitter.create(caller, body), HTTPStatus.CREATED)

    @found.get("/ssf/streams")
    def read(transmitter: There, caller: Receiver, stream_id: str | None = None) -> JSONResponse:
        if stream_id is None:
            return _answer(transmitter.streams(caller))
        return _answer(transmitter.document(transmitter.own(caller, stream_id)))

    @found.patch("/ssf/streams")
    def update(transmitter: There, caller: Receiver, body: Body) -> JSONResponse:
        return _answer(transmitter.update(caller, body, whole=False))

    @found.put("/ssf/streams")
    def replace(transmitter: There, caller: Receiver, body: Body) -> JSONResponse:
        return _answer(transmitter.update(caller, body, whole=True))

    @found.delete("/ssf/streams", status_code=HTTPStatus.NO_CONTENT)
    def delete(transmitter: There, caller: Receiver, stream_id: str) -> Response:
        transmitter.delete(caller, stream_id)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @found.get("/ssf/status")
    def status(transmitter: There, caller: Receiver, stream_id: str) -> JSONResponse:
        return _answer(transmitter.status(caller, stream_id))

    @found.post("/ssf/status")
    def set_status(transmitter: There, caller: Receiver, body: Body) -> JSONResponse:
        return _answer(transmitter.set_status(caller, body))

    @found.post("/ssf/verify", status_code=HTTPStatus.NO_CONTENT)
    def verify(transmitter: There, caller: Receiver, body: Body) -> Response:
        transmitter.verify(caller, body)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @found.get("/ssf/dead-letters")
    def dead_letters(request: Request, transmitter: There) -> JSONResponse:
        caller = require(authenticate(request), Role.RECEIVER, Role.RESPONDER)
        return _answer(transmitter.dead_letters(None if Role.RESPONDER in caller.roles else caller.name))

    @found.post("/ssf/poll/{stream_id}")
    async def poll(request: Request, transmitter: There, caller: Receiver, body: Body, stream_id: str) -> JSONResponse:
        asked = stream_requests.asked_of(body)
        until = time.monotonic() + poll_seconds
        while True:
            mark = await run_in_threadpool(transmitter.mark, stream_id)
            answer = await run_in_threadpool(polling.poll, transmitter, caller, stream_id, asked)
            if asked.at_once or asked.most == 0 or answer["sets"]:
                return _answer(answer)
            asked = asked._replace(acknowledged=frozenset(), refused={})
            # Only a cheap check is repeated, since many polls may be waiting.
            while mark == await run_in_threadpool(transmitter.mark, stream_id):
                if time.monotonic() >= until or await request.is_disconnected():
                    return _answer(answer)
                await asyncio.sleep(_LOOK_SECONDS)

    return found


def jwks_router(keys: Keys | None) -> APIRouter:
    """``/.well-known/jwks.json``: the public signing keys, for verifiers."""
    found = APIRouter(route_class=_Route, tags=["keys"])

    @found.get("/.well-known/jwks.json")
    def published() -> JSONResponse:
        return JSONResponse({"keys": []} if keys is None else keys.jwks(), headers={"Cache-Control": "max-age=300"})

    return found


def _answer(document: Any, status: HTTPStatus = HTTPStatus.OK) -> JSONResponse:
    return JSONResponse(document, status_code=status, headers={"Cache-Control": "no-store"})


async def _object_in(request: Request) -> stream_requests.Json:
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > LARGEST_BYTES:
            raise RefusedError(f"a request may have at most {LARGEST_BYTES} bytes")
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise RefusedError("the body must be a JSON object") from None
    if not isinstance(found, dict):
        raise RefusedError("the body must be a JSON object")
    return found

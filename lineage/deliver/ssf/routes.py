"""The transmitter over HTTP: public configuration and keys; streams for callers with the role ``receiver``."""

import asyncio
import json
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lineage.core.model.errors import DelegraphError, RefusedError
from lineage.deliver.http.callers import Authenticate, Role, require
from lineage.deliver.http.problems import problem, problem_of
from lineage.deliver.http.route import Endpoint, Route
from lineage.deliver.http.signing_keys import SigningKeys
from lineage.deliver.ssf import polling
from lineage.deliver.ssf.stream_requests import Json, poll_request_of
from lineage.deliver.ssf.transmitter import NoStreamError, OneStreamError, TooOftenError, Transmitter

LARGEST_BYTES: Final = 256 * 1024  # of a request: a poll that acknowledges a thousand events has about 40 KiB
LONGEST_POLL_SECONDS: Final = 20.0  # proxies between us and a receiver may time out after 30 seconds
_LOOK_SECONDS: Final = 0.2
_CACHED: Final = {"Cache-Control": "max-age=300"}

_FAULTS: Final[dict[type[DelegraphError], tuple[HTTPStatus, str, str]]] = {
    NoStreamError: (HTTPStatus.NOT_FOUND, "no-stream", "There is no such stream"),
    OneStreamError: (HTTPStatus.CONFLICT, "one-stream", "A receiver has one stream"),
    TooOftenError: (HTTPStatus.TOO_MANY_REQUESTS, "too-often", "Too many requests of this kind are pending"),
}


class NotConfiguredError(RefusedError):
    """No transmitter is configured here."""


class MissingParameterError(RefusedError):
    """A request lacks a parameter of its query.

    Attributes:
        parameter: Its name.
    """

    def __init__(self, parameter: str) -> None:
        """Store the name as an attribute."""
        super().__init__(f"{parameter}: is missing")
        self.parameter = parameter


def routes(
    transmitter: Transmitter | None, authenticate: Authenticate, *, poll_seconds: float = LONGEST_POLL_SECONDS
) -> list[Route]:
    """Build the routes of a transmitter.

    Args:
        transmitter: The transmitter; None if none is configured, and then every route says so.
        authenticate: Authenticates the caller.
        poll_seconds: The longest wait of a poll for events.
    """

    def enabled_transmitter() -> Transmitter:
        if transmitter is None:
            raise NotConfiguredError("there is no transmitter of Shared Signals; set ssf_issuer and signing_key_file")
        return transmitter

    def receiver(request: Request) -> str:
        return require(authenticate(request), Role.RECEIVER).name

    def by_query(answer: Callable[[Transmitter, str, QueryParams], Response]) -> Endpoint:
        def endpoint(request: Request) -> Response:
            return answer(enabled_transmitter(), receiver(request), request.query_params)

        return _on_thread(endpoint)

    def by_body(answer: Callable[[Transmitter, str, Json], Response]) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            ssf, caller = enabled_transmitter(), await run_in_threadpool(receiver, request)
            return await run_in_threadpool(answer, ssf, caller, await _object_in(request))

        return endpoint

    def configuration(request: Request) -> Response:
        document = enabled_transmitter().configuration()
        path = request.path_params.get("path")
        # SSF 1.0 section 7.2.1: the path of the issuer follows the well-known path.
        if path and not document["issuer"].endswith(f"/{path}"):
            raise NoStreamError("no issuer with that path transmits here")
        return JSONResponse(document, headers=_CACHED)

    def dead_letters(request: Request) -> Response:
        ssf, caller = enabled_transmitter(), require(authenticate(request), Role.RECEIVER, Role.RESPONDER)
        return _answer(ssf.dead_letters(None if Role.RESPONDER in caller.roles else caller.name))

    async def poll(request: Request) -> Response:
        ssf, caller = enabled_transmitter(), await run_in_threadpool(receiver, request)
        poll_request, stream_id = poll_request_of(await _object_in(request)), request.path_params["stream_id"]
        until = time.monotonic() + poll_seconds
        while True:
            mark = await run_in_threadpool(ssf.mark, stream_id)
            answer = await run_in_threadpool(polling.poll, ssf, caller, stream_id, poll_request)
            if poll_request.at_once or poll_request.most == 0 or answer["sets"]:
                return _answer(answer)
            poll_request = poll_request._replace(acknowledged=frozenset(), refused={})
            # Only a cheap check is repeated, since many polls may be waiting.
            while mark == await run_in_threadpool(ssf.mark, stream_id):
                if time.monotonic() >= until or await request.is_disconnected():
                    return _answer(answer)
                await asyncio.sleep(_LOOK_SECONDS)

    found = {
        ("GET", "/.well-known/ssf-configuration"): _on_thread(configuration),
        ("GET", "/.well-known/ssf-configuration/{path:path}"): _on_thread(configuration),
        ("POST", "/ssf/streams"): by_body(_create),
        ("GET", "/ssf/streams"): by_query(_read),
        ("PATCH", "/ssf/streams"): by_body(_update),
        ("PUT", "/ssf/streams"): by_body(_replace),
        ("DELETE", "/ssf/streams"): by_query(_delete),
        ("GET", "/ssf/status"): by_query(_status),
        ("POST", "/ssf/status"): by_body(_set_status),
        ("POST", "/ssf/verify"): by_body(_verify),
        ("GET", "/ssf/dead-letters"): _on_thread(dead_letters),
        ("POST", "/ssf/poll/{stream_id}"): poll,
    }
    return [Route(method, path, _explained(endpoint)) for (method, path), endpoint in found.items()]


def jwks_route(keys: SigningKeys | None) -> Route:
    """Build the route ``/.well-known/jwks.json``: the public signing keys, for verifiers."""

    def published(_request: Request) -> Response:
        return JSONResponse({"keys": []} if keys is None else keys.jwks(), headers=_CACHED)

    return Route("GET", "/.well-known/jwks.json", published)


def _on_thread(function: Callable[[Request], Response]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(function, request)

    return endpoint


def _explained(endpoint: Endpoint) -> Endpoint:
    """Turn the errors of an endpoint into problem documents, in any application that mounts it."""

    async def explained(request: Request) -> Response:
        try:
            return await endpoint(request)
        except NotConfiguredError as fault:
            return problem(HTTPStatus.NOT_IMPLEMENTED, "not-configured", "No transmitter is configured", str(fault))
        except MissingParameterError as fault:
            title = "A parameter is wrong"
            return problem(HTTPStatus.BAD_REQUEST, "parameter", title, str(fault), parameter=fault.parameter)
        except DelegraphError as fault:
            known = _FAULTS.get(type(fault))
            return problem_of(fault) if known is None else problem(*known, str(fault))

    return explained


def _create(transmitter: Transmitter, caller: str, body: Json) -> Response:
    return _answer(transmitter.create(caller, body), HTTPStatus.CREATED)


def _read(transmitter: Transmitter, caller: str, query: QueryParams) -> Response:
    if "stream_id" not in query:
        return _answer(transmitter.streams(caller))
    return _answer(transmitter.document(transmitter.own(caller, _stream_id(query))))


def _update(transmitter: Transmitter, caller: str, body: Json) -> Response:
    return _answer(transmitter.update(caller, body, whole=False))


def _replace(transmitter: Transmitter, caller: str, body: Json) -> Response:
    return _answer(transmitter.update(caller, body, whole=True))


def _delete(transmitter: Transmitter, caller: str, query: QueryParams) -> Response:
    transmitter.delete(caller, _stream_id(query))
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _status(transmitter: Transmitter, caller: str, query: QueryParams) -> Response:
    return _answer(transmitter.status(caller, _stream_id(query)))


def _set_status(transmitter: Transmitter, caller: str, body: Json) -> Response:
    return _answer(transmitter.set_status(caller, body))


def _verify(transmitter: Transmitter, caller: str, body: Json) -> Response:
    transmitter.verify(caller, body)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _stream_id(query: QueryParams) -> str:
    found = query.get("stream_id")
    if found is None:
        raise MissingParameterError("stream_id")
    return found


def _answer(document: Any, status: HTTPStatus = HTTPStatus.OK) -> JSONResponse:
    return JSONResponse(document, status_code=status, headers={"Cache-Control": "no-store"})


async def _object_in(request: Request) -> Json:
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

"""Every error over HTTP becomes a problem document (RFC 9457); nothing is answered with an unexplained 500."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from lineage.core.model.errors import DelegraphError, RefusedError
from lineage.deliver.http.access_log import log_refusal
from lineage.deliver.http.problems import RETRY_AFTER_SECONDS, problem, problem_of
from lineage.serve.commands.cases import OtherVersionError, UnknownItemsError
from lineage.serve.commands.revoke_batch import UnknownTargetsError
from lineage.serve.http.core.query import ParameterError

logger = logging.getLogger(__name__)

GET_ALONE: Final = frozenset({"/v1/live", "/sign-in"})
"""Paths for which HEAD differs from GET: the first has no end, the second is used up."""

ShowFault = Callable[[Request, Response], Response]
"""Converts a request and its problem document to the response; the pages render it for people."""

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_WORDS: Final = {
    HTTPStatus.NOT_FOUND: ("no-such-path", "There is nothing at this path"),
    HTTPStatus.METHOD_NOT_ALLOWED: ("method-not-allowed", "This path does not know that method"),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("too-large", "The request is too large"),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ("media-type", "The body is of another media type"),
    HTTPStatus.REQUEST_TIMEOUT: ("too-slow", "The request came too slowly"),
}


class NotFoundError(RefusedError):
    """Raised when no fact names what was asked for.

    Attributes:
        id: The id as it was asked for.
    """

    def __init__(self, id_: str, remedy: str = "") -> None:
        """Keep the id as an attribute; the message ends with the remedy, if any."""
        super().__init__(f"no fact names {id_!a}" + (f"; {remedy}" if remedy else ""))
        self.id = id_


class KeyReusedError(RefusedError):
    """Raised when a different order was given with this ``Idempotency-Key``."""


def as_asked(_request: Request, response: Response) -> Response:
    """Return the problem document itself."""
    return response


def response_of(fault: DelegraphError) -> Response:
    """Convert an error to a problem document."""
    match fault:
        case NotFoundError():
            return problem(HTTPStatus.NOT_FOUND, "not-found", "No fact names it", str(fault), id=fault.id)
        case UnknownTargetsError():
            title = "No fact names some of the targets"
            return problem(HTTPStatus.NOT_FOUND, "not-found", title, str(fault), ids=fault.targets)
        case UnknownItemsError():
            title = "No fact names some of the items"
            return problem(HTTPStatus.NOT_FOUND, "not-found", title, str(fault), ids=fault.items)
        case OtherVersionError():
            title = "The case was changed meanwhile"
            return problem(HTTPStatus.CONFLICT, "changed", title, str(fault), version=fault.version)
        case ParameterError():
            title = "A parameter is wrong"
            return problem(HTTPStatus.BAD_REQUEST, "parameter", title, str(fault), parameter=fault.parameter)
        case KeyReusedError():
            status, title = HTTPStatus.UNPROCESSABLE_ENTITY, "The key was given with another order"
            return problem(status, "idempotency-key-reused", title, str(fault))
        case _:
            return problem_of(fault)


def unexpected(request: Request, fault: Exception) -> Response:
    """Report an unexpected error: logged, and without details for the client."""
    logger.error("no answer to %s %s", request.method, request.url.path, exc_info=fault)
    title, detail = "It could not be answered", "the fault is ours, and in the log; try again"
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "fault", title, detail, headers=headers)


def _allowing(request: Request) -> dict[str, str]:
    """Return every method of a path; the framework only names those of the first matching route."""

    def knows(method: str) -> bool:
        scope = {**request.scope, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    allowed = [method for method in _METHODS if knows(method)]
    return {"Allow": ", ".join(method for method in allowed if method != "HEAD" or request.url.path not in GET_ALONE)}


def install(app: Starlette, show: ShowFault) -> None:
    """Make an application answer errors with problem documents.

    Args:
        app: The application.
        show: Converts a problem document to the response.
    """

    async def of_ours(request: Request, fault: Exception) -> Response:
        assert isinstance(fault, DelegraphError)  # noqa: S101 (registered for these)
        if fault.retriable:
            logger.warning("%s", fault)
        response = response_of(fault)
        if response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            log_refusal(request, response.status_code, str(fault))
        return show(request, response)

    async def of_framework(request: Request, fault: Exception) -> Response:
        assert isinstance(fault, HTTPException)  # noqa: S101 (registered for these)
        status = HTTPStatus(fault.status_code)
        word, title = _WORDS.get(status, ("refused", status.phrase))
        detail = str(fault.detail)
        if detail == status.phrase:  # the framework's own error, without details
            detail = f"there is nothing for {request.method} at {request.url.path[:200]!a}"
        headers = _allowing(request) if status is HTTPStatus.METHOD_NOT_ALLOWED else fault.headers
        return show(request, problem(status, word, title, detail, headers=headers))

    app.add_exception_handler(DelegraphError, of_ours)
    app.add_exception_handler(HTTPException, of_framework)

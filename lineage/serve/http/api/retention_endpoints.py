"""Legal holds and deletions over HTTP: the lists of both, and the changes of holds.

The authenticated caller is the author of each change; nothing in a body can change that.
"""

from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Caller, Role, require
from lineage.deliver.http.route import Route
from lineage.serve.commands.holds import place_hold, release_hold
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.api.order_endpoints import turn_to_order
from lineage.serve.http.api.write_routes import post
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.json_body import Fields, read_object
from lineage.serve.http.core.query import Query, usable_id
from lineage.serve.http.core.question import Question
from lineage.serve.http.core.responses import document_response
from lineage.serve.queries.retention.deletions import deleted
from lineage.serve.queries.retention.holds import holds

_LARGEST: Final = 16 * 1024  # bytes of a body


def routes(site: AppContext) -> list[Route]:
    """Build the routes that place and release holds."""

    async def place(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RESPONDER)
        body = await read_object(request, _LARGEST)
        document = await site.pools.orders.run(caller.name, _place, site, caller, body)
        log_access(caller, request, hold=document["hold"])
        response = document_response(request, document, status=HTTPStatus.CREATED)
        response.headers["Location"] = f"/v1/holds/{quote(document['hold'], safe='')}"
        return response

    async def release(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RESPONDER)
        body = await read_object(request, _LARGEST)
        hold = request.path_params["id"]
        document = await site.pools.orders.run(caller.name, _release, site, caller, hold, body)
        log_access(caller, request, hold=hold)
        return document_response(request, document, status=HTTPStatus.CREATED)

    return [post(site, "/holds", place), post(site, "/holds/{id:path}/release", release)]


def _place(site: AppContext, caller: Caller, body: Document) -> Document:
    given = Fields(body, ("reason", "principal", "case", "starts_at", "ends_at", "everything", "hold"))
    ids = {name: given.id(name) if given.states(name) else None for name in ("principal", "case", "hold")}
    with turn_to_order(site):
        return place_hold(
            site.service,
            by=caller.name,
            reason=given.text("reason") or "",
            starts_at=given.instant("starts_at"),
            ends_at=given.instant("ends_at"),
            everything=given.flag("everything", default=False),
            **ids,
        )


def _release(site: AppContext, caller: Caller, hold: str, body: Document) -> Document:
    given = Fields(body, ("reason",))
    usable_id(hold, parameter="id")
    with turn_to_order(site):
        document = release_hold(site.service, hold, by=caller.name, reason=given.text("reason") or "")
    if document is None:
        raise NotFoundError(hold)
    return document


def _holds(site: AppContext, _caller: Caller, _query: Query) -> Document:
    """List the holds."""
    return holds(site.service)


def _deletions(site: AppContext, _caller: Caller, _query: Query) -> Document:
    """List the deletions."""
    return deleted(site.service)


RETENTION: Final = (
    Question(
        path="/holds",
        ask=_holds,
        parameters=(),
        title="The legal holds, those in force first, with who placed and released each and why",
        answer="Holds",
        about=(),
    ),
    Question(
        path="/deletions",
        ask=_deletions,
        parameters=(),
        title="What retention deleted, the latest first, with the certificates",
        answer="Deletions",
        about=(),
    ),
)

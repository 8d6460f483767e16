"""Retention over HTTP: its settings and plan, legal holds and deletions, and the changes of holds.

The authenticated caller is the author of each change; nothing in a body can change that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from lineage.core.model.errors import OverloadedError
from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Caller, Role, require
from lineage.deliver.http.route import Route
from lineage.serve.commands.holds import OtherHoldError, place_hold, release_hold
from lineage.serve.commands.retention import horizon_of, survey
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.api.order_endpoints import id_by_key, turn_to_order
from lineage.serve.http.api.write_routes import post
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import KeyReusedError, NotFoundError
from lineage.serve.http.core.json_body import Fields, read_object
from lineage.serve.http.core.query import Parameter, ParameterError, Query, usable_id
from lineage.serve.http.core.question import Question
from lineage.serve.http.core.responses import document_response
from lineage.serve.queries.retention.deletions import deleted
from lineage.serve.queries.retention.holds import holds
from lineage.serve.queries.retention.retention_status import retention_state

_LARGEST: Final = 16 * 1024  # bytes of a body
_MOST_EXAMINED: Final = 500_000  # records of a store whose plan is made over HTTP; each takes about 1 KB of memory
_BEFORE: Final = Parameter(
    "before",
    {"type": "string", "format": "date-time"},
    "Only what was recorded and has ended before; by default `retention_days` ago.",
    example="2026-11-03T00:00:00Z",
)


def routes(site: AppContext) -> list[Route]:
    """Build the routes that place and release holds."""

    async def place(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RESPONDER)
        body = await read_object(request, _LARGEST)
        key = request.headers.get("idempotency-key")
        document = await site.pools.orders.run(caller.name, place_by, site, caller, body, key=key)
        log_access(caller, request, hold=document["hold"], repeated=document["repeated"])
        response = document_response(request, document, status=HTTPStatus.CREATED)
        response.headers["Location"] = f"/v1/holds/{quote(document['hold'], safe='')}"
        return response

    async def release(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RESPONDER)
        body = await read_object(request, _LARGEST)
        hold, key = request.path_params["id"], request.headers.get("idempotency-key")
        document = await site.pools.orders.run(caller.name, release_by, site, caller, hold, body, key=key)
        log_access(caller, request, hold=hold, repeated=document["repeated"])
        return document_response(request, document, status=HTTPStatus.CREATED)

    return [post(site, "/holds", place), post(site, "/holds/{id:path}/release", release)]


def place_by(site: AppContext, caller: Caller, body: Document, *, key: str | None = None) -> Document:
    """Place a hold by the authenticated caller; ``key`` identifies repetitions (``Idempotency-Key``).

    Raises:
        KeyReusedError: Something else was placed with this key.
        RefusedError: It names nothing, or a value is invalid.
    """
    given = Fields(body, ("reason", "principal", "case", "starts_at", "ends_at", "everything", "unseen", "hold"))
    ids = {name: given.id(name) if given.states(name) else None for name in ("principal", "case", "hold")}
    with turn_to_order(site), _same_key():
        return place_hold(
            site.service,
            by=caller.name,
            reason=given.text("reason") or "",
            starts_at=given.instant("starts_at"),
            ends_at=given.instant("ends_at"),
            everything=given.flag("everything", default=False),
            unseen=given.flag("unseen", default=False),
            key=_unique(caller, key),
            **ids,
        )


def release_by(site: AppContext, caller: Caller, hold: str, body: Document, *, key: str | None = None) -> Document:
    """Release a hold by the authenticated caller.

    Raises:
        KeyReusedError: Something else was released with this key.
        NotFoundError: There is no such hold.
        RefusedError: It is not in force, or a value is invalid.
    """
    given = Fields(body, ("reason",))
    usable_id(hold, parameter="id")
    with turn_to_order(site), _same_key():
        reason = given.text("reason") or ""
        document = release_hold(site.service, hold, by=caller.name, reason=reason, key=_unique(caller, key))
    if document is None:
        raise NotFoundError(hold)
    return document


def _unique(caller: Caller, key: str | None) -> str | None:
    """Derive what identifies a repetition from a key of the caller."""
    return None if key is None else id_by_key("", caller, key).removeprefix("-")


@contextmanager
def _same_key() -> Iterator[None]:
    try:
        yield
    except OtherHoldError as fault:
        raise KeyReusedError(str(fault)) from fault


def _retention(site: AppContext, _caller: Caller, _query: Query) -> Document:
    """Return the settings of retention, the last run and the next one."""
    return retention_state(site.service, site.retention, at=site.now)


def _plan(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Say what would be deleted, one plan at a time, because a plan takes memory for every fact."""
    before = query.instant("before")
    if before is None and site.retention.days is None:
        raise ParameterError("before", "is needed: the settings do not say how long records are kept")
    horizon = horizon_of(site.service, site.retention.days, before)
    if not site.one_survey.acquire(timeout=site.limits.seconds):
        raise OverloadedError("another plan of retention is being made and takes its time; try again")
    try:
        found = survey(
            site.service, horizon, origin=site.evidence_origin, witnessed=bool(site.witnesses), most=_MOST_EXAMINED
        )
    finally:
        site.one_survey.release()
    return {name: value for name, value in found.items() if name != "deletions"}


def _holds(site: AppContext, _caller: Caller, _query: Query) -> Document:
    """List the holds."""
    return holds(site.service)


def _deletions(site: AppContext, _caller: Caller, _query: Query) -> Document:
    """List the deletions."""
    return deleted(site.service)


RETENTION: Final = (
    Question(
        path="/retention",
        ask=_retention,
        parameters=(),
        title="How long records are kept, when old ones were last deleted, and when they will be",
        answer="Retention",
        about=(),
    ),
    Question(
        path="/retention/plan",
        ask=_plan,
        parameters=(_BEFORE,),
        title="What retention would delete, and what each legal hold and open case keeps; it examines every fact",
        answer="RetentionPlan",
        about=(),
    ),
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

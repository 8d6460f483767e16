"""The endpoints that write: they parse requests and call ``order_endpoints`` and ``event_endpoints``."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import quote

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Role, require
from lineage.serve.commands import submission_policy
from lineage.serve.http.api import event_endpoints as events
from lineage.serve.http.api import order_endpoints as orders
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.json_body import read_body, read_object
from lineage.serve.http.core.query import Query
from lineage.serve.http.core.responses import document_response
from lineage.serve.http.openapi.operations import OPERATIONS


def no_query(site: AppContext) -> Callable[[Request], Awaitable[None]]:
    """Refuse parameters: a caller that sends ``dry_run=true`` must not find the write executed."""

    async def refuse(request: Request) -> None:
        Query.of({}, request.query_params, (), now=site.now)

    return refuse


def router(site: AppContext) -> APIRouter:
    """Build the routes for events, revocations, lifts, acknowledgements, approvals, and judgements."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(no_query(site))])

    async def take_events(request: Request) -> Response:
        caller = require(await site.caller_of(request), *submission_policy.SENDERS)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        raw = await read_body(request, site.limits.body_bytes)
        document = await site.pools.events.run(caller.name, events.take, site, caller, media_type, raw)
        log_access(caller, request, read=document["read"], accepted=document["accepted"])
        return document_response(request, document)

    async def give_order(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RESPONDER)
        body = await read_object(request)
        key = request.headers.get("idempotency-key")
        document = await site.pools.orders.run(caller.name, orders.order, site, caller, body, key=key)
        log_access(caller, request, revocation=document["revocation"], repeated=document["repeated"])
        response = document_response(request, document, status=HTTPStatus.CREATED)
        response.headers["Location"] = f"/v1/revocations/{quote(document['revocation'], safe='')}"
        return response

    async def approve_plan(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RESPONDER)
        body = await read_object(request)
        digest = request.path_params["id"]
        document = await site.pools.orders.run(caller.name, orders.approve, site, caller, digest, body)
        log_access(caller, request, plan=digest)
        return document_response(request, document, status=HTTPStatus.CREATED)

    async def lift_order(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RESPONDER)
        body = await read_object(request)
        revocation = request.path_params["id"]
        document = await site.pools.orders.run(caller.name, orders.lift, site, caller, revocation, body)
        log_access(caller, request, revocation=revocation)
        return document_response(request, document)

    async def judge_finding(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RESPONDER)
        body = await read_object(request)
        finding = request.path_params["id"]
        document = await site.pools.orders.run(caller.name, orders.judge, site, caller, finding, body)
        log_access(caller, request, finding=finding, status=document["status"])
        return document_response(request, document, status=HTTPStatus.CREATED)

    async def acknowledge(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RECEIVER)
        body = await read_object(request)
        revocation = request.path_params["id"]
        document = await site.pools.acknowledgements.run(
            caller.name, orders.acknowledge, site, caller, revocation, body
        )
        log_access(caller, request, revocation=revocation, outcome=document["outcome"])
        return document_response(request, document, status=HTTPStatus.CREATED)

    router.add_api_route("/events", take_events, methods=["POST"], openapi_extra=OPERATIONS["take_events"])
    router.add_api_route("/revocations", give_order, methods=["POST"], openapi_extra=OPERATIONS["give_order"])
    router.add_api_route(
        "/plans/{id}/approvals", approve_plan, methods=["POST"], openapi_extra=OPERATIONS["approve_plan"]
    )
    router.add_api_route(
        "/findings/{id}/judgements", judge_finding, methods=["POST"], openapi_extra=OPERATIONS["judge_finding"]
    )
    router.add_api_route(
        "/revocations/{id:path}/lift", lift_order, methods=["POST"], openapi_extra=OPERATIONS["lift_order"]
    )
    router.add_api_route(
        "/revocations/{id:path}/acknowledgements",
        acknowledge,
        methods=["POST"],
        openapi_extra=OPERATIONS["acknowledge"],
    )
    return router

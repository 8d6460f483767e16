"""The endpoints that write: they parse requests and call ``order_endpoints`` and ``event_endpoints``."""

from http import HTTPStatus
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Role, require
from lineage.deliver.http.route import Endpoint, Route
from lineage.serve.commands import submission_policy
from lineage.serve.http.api import event_endpoints as events
from lineage.serve.http.api import order_endpoints as orders
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.json_body import read_body, read_object
from lineage.serve.http.core.query import Query
from lineage.serve.http.core.responses import document_response


def post(site: AppContext, path: str, write: Endpoint) -> Route:
    """Build a route that refuses parameters: a caller that sends ``dry_run=true`` must not find the write executed."""

    async def endpoint(request: Request) -> Response:
        Query.of({}, request.query_params, (), now=site.now)
        return await write(request)

    return Route("POST", f"/v1{path}", endpoint)


def routes(site: AppContext) -> list[Route]:
    """Build the routes for events, revocations, lifts, acknowledgements, approvals, and judgements."""

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
        log_access(caller, request, revocation=revocation, repeated=document["repeated"])
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

    return [
        post(site, "/events", take_events),
        post(site, "/revocations", give_order),
        post(site, "/plans/{id}/approvals", approve_plan),
        post(site, "/findings/{id}/judgements", judge_finding),
        post(site, "/revocations/{id:path}/lift", lift_order),
        post(site, "/revocations/{id:path}/acknowledgements", acknowledge),
    ]

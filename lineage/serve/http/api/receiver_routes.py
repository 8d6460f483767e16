"""The endpoints for enforcement points that write: they parse requests and call ``receiver_endpoints``."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Role, require
from lineage.deliver.http.route import Route
from lineage.serve.http.api import receiver_endpoints as receivers
from lineage.serve.http.api.write_routes import post
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.json_body import read_object
from lineage.serve.http.core.responses import document_response


def routes(site: AppContext) -> list[Route]:
    """Build the routes that register an enforcement point, mark one by hand, and deliver again."""

    async def register(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RESPONDER, Role.RECEIVER)
        body = await read_object(request)
        document = await site.pools.orders.run(caller.name, receivers.register, site, caller, body)
        log_access(caller, request, receiver=document["receiver"])
        return document_response(request, document, status=HTTPStatus.CREATED)

    async def mark(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RESPONDER)
        body = await read_object(request)
        revocation = request.path_params["id"]
        document = await site.pools.orders.run(caller.name, receivers.mark, site, caller, revocation, body)
        log_access(caller, request, revocation=revocation, receiver=document["receiver"])
        return document_response(request, document, status=HTTPStatus.CREATED)

    async def deliver_again(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RESPONDER)
        body = await read_object(request)
        revocation = request.path_params["id"]
        document = await site.pools.orders.run(caller.name, receivers.deliver_again, site, caller, revocation, body)
        log_access(caller, request, revocation=revocation, written=document["written"])
        return document_response(request, document)

    return [
        post(site, "/receivers", register),
        post(site, "/revocations/{id:path}/marks", mark),
        post(site, "/revocations/{id:path}/deliveries", deliver_again),
    ]

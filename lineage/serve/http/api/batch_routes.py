"""The endpoints for several targets at once: they parse requests and call ``batch_endpoints``."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Role, require
from lineage.deliver.http.route import Route
from lineage.serve.http.api import batch_endpoints as batches
from lineage.serve.http.api.write_routes import post
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.json_body import read_object
from lineage.serve.http.core.question import ASKERS
from lineage.serve.http.core.responses import document_response


def routes(site: AppContext) -> list[Route]:
    """Build the routes for the plan of several targets, and for their orders."""

    async def reach_batch(request: Request) -> Response:
        caller = require(await site.caller_of(request), *ASKERS)
        body = await read_object(request, batches.BATCH_BYTES)
        document = await site.pools.questions.run(caller.name, batches.reach_of_several, site, caller, body)
        log_access(caller, request, plan=document["plan_digest"])
        return document_response(request, document)

    async def order_batch(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RESPONDER)
        body = await read_object(request, batches.BATCH_BYTES)
        key = request.headers.get("idempotency-key")
        document = await site.pools.orders.run(caller.name, batches.order_several, site, caller, body, key=key)
        log_access(caller, request, incident=document["incident"], repeated=document["repeated"])
        return document_response(request, document, status=HTTPStatus.CREATED)

    return [post(site, "/reach:batch", reach_batch), post(site, "/revocations:batch", order_batch)]

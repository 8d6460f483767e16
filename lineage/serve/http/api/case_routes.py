"""The endpoints that open and change cases: they parse requests and call ``case_endpoints``."""

from http import HTTPStatus
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Role, require
from lineage.deliver.http.route import Route
from lineage.serve.http.api import case_endpoints as cases
from lineage.serve.http.api.write_routes import post
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.json_body import read_object
from lineage.serve.http.core.responses import document_response

_LARGEST = 256 * 1024  # bytes of a body: one change with its items


def routes(site: AppContext) -> list[Route]:
    """Build the routes that open a case and change it."""

    async def open_case(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RESPONDER)
        body = await read_object(request, _LARGEST)
        key = request.headers.get("idempotency-key")
        document = await site.pools.orders.run(caller.name, cases.open_case, site, caller, body, key=key)
        log_access(caller, request, case=document["case"], repeated=document["repeated"])
        response = document_response(request, document, status=HTTPStatus.CREATED)
        response.headers["Location"] = f"/v1/cases/{quote(document['case'], safe='')}"
        return response

    async def change_case(request: Request) -> Response:
        caller = require(await site.caller_of(request), Role.RESPONDER)
        body = await read_object(request, _LARGEST)
        case = request.path_params["id"]
        document = await site.pools.orders.run(caller.name, cases.change_case, site, caller, case, body)
        log_access(caller, request, case=case, change=body.get("change"), items=document["items_changed"])
        return document_response(request, document, status=HTTPStatus.CREATED)

    return [post(site, "/cases", open_case), post(site, "/cases/{id:path}/changes", change_case)]

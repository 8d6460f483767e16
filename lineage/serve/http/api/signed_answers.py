"""What is signed over HTTP: the receipt of a revocation that is over."""

from starlette.requests import Request
from starlette.responses import Response

from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Caller, require
from lineage.deliver.http.route import Route
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.parameters import REVOCATION
from lineage.serve.http.core.query import Query, usable_id
from lineage.serve.http.core.question import ASKERS
from lineage.serve.http.core.responses import document_response
from lineage.serve.queries.signed_receipt import signed_receipt


def routes(site: AppContext) -> list[Route]:
    """Build the route of the signed receipt."""

    async def read_signed_receipt(request: Request) -> Response:
        caller = require(await site.caller_of(request), *ASKERS)
        query = Query.of(request.path_params, request.query_params, (REVOCATION,), now=site.now)
        revocation = usable_id(query.the("id"), parameter="id")
        document = await site.pools.questions.run(caller.name, receipt_of, site, caller, revocation)
        log_access(caller, request, revocation=revocation)
        return document_response(request, document)

    return [Route("GET", "/v1/revocations/{id:path}/signed-receipt", read_signed_receipt)]


def receipt_of(site: AppContext, _caller: Caller, revocation: str) -> Document:
    """Sign the receipt of a revocation.

    Raises:
        NotFoundError: There is no such order.
        NotOverError: It is not CLOSED.
        RefusedError: No signing key is configured.
    """
    document = signed_receipt(site.service, site.keys, revocation, at=site.now)
    if document is None:
        raise NotFoundError(revocation)
    return document

"""Signed answers: the receipt of an enforced revocation, and the proof that what it ended has stopped."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Caller, require
from lineage.deliver.http.route import Route
from lineage.serve.commands.stop_proof import prove_stopped
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.api.write_routes import post
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.json_body import Fields, read_object
from lineage.serve.http.core.parameters import REVOCATION
from lineage.serve.http.core.query import Query, usable_id
from lineage.serve.http.core.question import ASKERS
from lineage.serve.http.core.responses import document_response
from lineage.serve.queries.revocations.signed_receipt import signed_receipt

_MOST_SAMPLED: Final = 1_000_000


def routes(site: AppContext) -> list[Route]:
    """Build the routes of the signed receipt and of the proof."""

    async def read_signed_receipt(request: Request) -> Response:
        caller = require(await site.caller_of(request), *ASKERS)
        query = Query.of(request.path_params, request.query_params, (REVOCATION,), now=site.now)
        revocation = usable_id(query.the("id"), parameter="id")
        document = await site.pools.questions.run(caller.name, receipt_of, site, caller, revocation)
        log_access(caller, request, revocation=revocation)
        return document_response(request, document)

    async def prove(request: Request) -> Response:
        caller = require(await site.caller_of(request), *ASKERS)
        body = await read_object(request)
        revocation = request.path_params["id"]
        document = await site.pools.questions.run(caller.name, proof_of, site, caller, revocation, body)
        log_access(caller, request, revocation=revocation, verdict=document["proof"]["verdict"])
        return document_response(request, document)

    return [
        Route("GET", "/v1/revocations/{id:path}/signed-receipt", read_signed_receipt),
        post(site, "/revocations/{id:path}/proofs", prove),
    ]


def receipt_of(site: AppContext, _caller: Caller, revocation: str) -> Document:
    """Sign the receipt of a revocation.

    Raises:
        NotFoundError: There is no such order.
        NotOverError: The revocation is not CLOSED.
        RefusedError: No signing key is configured.
    """
    document = signed_receipt(site.service, site.keys, revocation, at=site.now, origin=site.evidence_origin)
    if document is None:
        raise NotFoundError(revocation)
    return document


def proof_of(site: AppContext, _caller: Caller, revocation: str, body: Document) -> Document:
    """Ask the enforcement points whether they still accept what a revocation has ended.

    Raises:
        NotFoundError: There is no such order.
        RefusedError: It was lifted or is not in effect yet, the nonce is unusable, or there is no signing key.
    """
    fields = Fields(body, ("nonce", "sample"))
    usable_id(revocation, parameter="id")
    nonce, sample = fields.text("nonce"), fields.number("sample", most=_MOST_SAMPLED)
    document = prove_stopped(site.service, site.keys, site.probes, revocation, nonce=nonce, sample=sample)
    if document is None:
        raise NotFoundError(revocation)
    return document

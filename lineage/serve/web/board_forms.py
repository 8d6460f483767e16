"""Forms of the board of a revocation: register an enforcement point, mark one by hand, deliver again."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from json import dumps
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Caller, require
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.api import receiver_endpoints as receivers
from lineage.serve.http.api.signed_answers import proof_of, receipt_of
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.parameters import REVOCATION
from lineage.serve.http.core.query import ParameterError, Query
from lineage.serve.http.core.question import ASKERS
from lineage.serve.web.forms import Form, form_of
from lineage.serve.web.links import Links
from lineage.serve.web.page_endpoint import render_template

_SPLIT: Final = ("issuers", "audiences")  # fields with several entries, separated by spaces
BOARD: Final = "board"  # the part of the page with the enforcement points


def registering(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``POST /receivers``: register an enforcement point, and return to the revocation it was registered from."""

    async def register(request: Request) -> Response:
        caller, form = await form_of(site, request)
        document = await site.pools.orders.run(caller.name, receivers.register, site, caller, _registration(form))
        log_access(caller, request, receiver=document["receiver"])
        if "incident" in form:
            return RedirectResponse(f"/incidents/{quote(form['incident'], safe='')}#{BOARD}", HTTPStatus.SEE_OTHER)
        return _back(form.get("revocation"))

    return register


def _registration(form: Form) -> Document:
    """Convert a form to a registration as the API takes it."""
    body: Document = {name: form[name].split() for name in _SPLIT if name in form}
    body |= {"receiver": form["receiver"]} if "receiver" in form else {}
    body |= {"kinds": [form["kinds"]]} if "kinds" in form else {}
    if "deadline_seconds" in form:
        if not (form["deadline_seconds"].isascii() and form["deadline_seconds"].isdigit()):
            raise ParameterError("deadline_seconds", "must be a whole number")
        body["deadline_seconds"] = int(form["deadline_seconds"][:12])
    return body


def marking(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``POST /revocations/{id}/marks``: record the statement of the person who is signed in."""

    async def mark(request: Request) -> Response:
        caller, form = await form_of(site, request)
        revocation = request.path_params["id"]
        body: Document = {name: form[name] for name in ("receiver", "reason") if name in form}
        document = await site.pools.orders.run(caller.name, receivers.mark, site, caller, revocation, body)
        log_access(caller, request, revocation=revocation, receiver=document["receiver"])
        return _back(revocation)

    return mark


def delivering_again(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """``POST /revocations/{id}/deliveries``."""

    async def deliver(request: Request) -> Response:
        caller, form = await form_of(site, request)
        revocation = request.path_params["id"]
        body: Document = {"receiver": form["receiver"]} if "receiver" in form else {}
        document = await site.pools.orders.run(caller.name, receivers.deliver_again, site, caller, revocation, body)
        log_access(caller, request, revocation=revocation, written=document["written"])
        return _back(revocation)

    return deliver


def signed_receipt(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build the page of a signed receipt, to print."""

    def answer(request: Request, caller: Caller) -> Response:
        revocation = request.path_params["id"]
        document = receipt_of(site, caller, revocation)
        log_access(caller, request, revocation=revocation)
        return render_template(request, "signed_receipt.html", {"doc": document}, caller=caller, moves=())

    async def page(request: Request) -> Response:
        caller = require(await site.caller_of(request), *ASKERS)
        Query.of(request.path_params, request.query_params, (REVOCATION,), now=site.now)
        return await site.pools.questions.run(caller.name, answer, request, caller)

    return page


def proving(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``POST /revocations/{id}/proofs``: ask the enforcement points, and show their replies."""

    def answer(request: Request, caller: Caller) -> Response:
        revocation = request.path_params["id"]
        document = proof_of(site, caller, revocation, {})
        log_access(caller, request, revocation=revocation, verdict=document["proof"]["verdict"])
        return render_template(request, "proof.html", {"doc": document, "as_json": dumps(document)}, caller=caller)

    async def prove(request: Request) -> Response:
        caller, _ = await form_of(site, request)
        return await site.pools.questions.run(caller.name, answer, request, caller)

    return prove


def _back(revocation: str | None) -> Response:
    address = f"{Links().of('revocation', revocation)}#{BOARD}" if revocation else "/receivers"
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)

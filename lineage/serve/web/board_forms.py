"""Forms of the board of a revocation: register an enforcement point, confirm for one by hand, deliver again."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lineage.deliver.http.access_log import log_access
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.api import receiver_endpoints as receivers
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.query import ParameterError
from lineage.serve.web.forms import Form, form_of
from lineage.serve.web.links import Links

_SPLIT: Final = ("issuers", "audiences")  # fields with one entry a word
BOARD: Final = "board"  # the part of the page with the enforcement points


def registering(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """``POST /receivers``: register an enforcement point, and return to the revocation that it is registered for."""

    async def register(request: Request) -> Response:
        caller, form = await form_of(site, request)
        document = await site.pools.orders.run(caller.name, receivers.register, site, caller, _registration(form))
        log_access(caller, request, receiver=document["receiver"])
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
    """``POST /revocations/{id}/marks``: record the word of whoever is signed in."""

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
        caller, _ = await form_of(site, request)
        revocation = request.path_params["id"]
        document = await site.pools.orders.run(caller.name, receivers.deliver_again, site, caller, revocation, {})
        log_access(caller, request, revocation=revocation, written=document["written"])
        return _back(revocation)

    return deliver


def _back(revocation: str | None) -> Response:
    address = Links().of("revocation", revocation) if revocation else "/revocations"
    return RedirectResponse(f"{address}#{BOARD}", HTTPStatus.SEE_OTHER)

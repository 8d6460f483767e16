"""Form submissions: orders and lifts by the same functions as the API, typed confirmations, and refusals as pages."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lineage.core.model.errors import DriftError, RefusedError
from lineage.deliver.http.access_log import log_access, log_refusal
from lineage.deliver.http.callers import Caller, ForbiddenError, Role, require
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.api import order_endpoints as orders
from lineage.serve.http.auth.csrf import HEADER, refuse_forgery
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.json_body import read_body
from lineage.serve.http.core.query import ParameterError, Query, kind_and_id, normalise_fields
from lineage.serve.text import render_orders
from lineage.serve.web import page_context as shown
from lineage.serve.web import view_models
from lineage.serve.web.linked_text import lines_of
from lineage.serve.web.links import Links
from lineage.serve.web.page_endpoint import ASKED, PageRequest, render_template

MOST_BYTES: Final = 32 * 1024
_FIELDS: Final = 32
Form = dict[str, str]


async def form_of(site: AppContext, request: Request) -> tuple[Caller, Form]:
    """Read a form and its sender; only our own pages may make a browser submit one.

    Raises:
        ForbiddenError: Its origin is missing or foreign, or the caller may not order.
    """
    headers = request.headers
    if "origin" not in headers and "sec-fetch-site" not in headers:
        raise ForbiddenError("the request does not state the origin of its form (Origin or Sec-Fetch-Site)")
    request.state.caller = None  # so that the request below shares the state of this one
    # A form cannot send a header, so the browser's statement that the form is ours is checked instead.
    scope = {**request.scope, "headers": [*request.scope["headers"], (HEADER.lower().encode(), b"1")]}
    refuse_forgery(Request(scope))  # also for callers whom a proxy authenticates, which is not a bearer token
    raw = await read_body(request, MOST_BYTES)
    try:
        fields = parse_qsl(raw.decode(), keep_blank_values=False, max_num_fields=_FIELDS, strict_parsing=False)
    except (UnicodeDecodeError, ValueError) as error:
        raise RefusedError(f"the form cannot be read: it must be UTF-8, with at most {_FIELDS} fields") from error
    form = dict(normalise_fields(fields))
    # Store the input first: a user whose session has ended gets the filled form back.
    request.state.form = form
    return require(await site.caller_of(Request(scope)), Role.RESPONDER), form


def ordering(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``POST /revocations``: give the order, or explain why it was not given."""

    async def order(request: Request) -> Response:
        caller, form = await form_of(site, request)
        kind, id_ = kind_and_id(form.get("of", ""))
        if form.get("typed", "") != id_:
            fault = "what was typed is not the id of the target; type it exactly as shown"
            return await _again(site, request, caller, form, {"fault": fault}, HTTPStatus.BAD_REQUEST)
        try:
            document = await site.pools.orders.run(
                caller.name, orders.order, site, caller, _order(form, kind, id_), key=form.get("key")
            )
        except DriftError as fault:
            log_refusal(request, HTTPStatus.CONFLICT, str(fault))
            drift = {"detail": str(fault), "unlisted": list(fault.unlisted), "differs": fault.differs}
            return await _again(site, request, caller, form, {"drift": drift}, HTTPStatus.CONFLICT)
        except ParameterError as fault:
            return await _again(site, request, caller, form, {"fault": str(fault)}, HTTPStatus.BAD_REQUEST)
        log_access(caller, request, revocation=document["revocation"], repeated=document["repeated"])
        return RedirectResponse(Links().of("revocation", document["revocation"]), HTTPStatus.SEE_OTHER)

    return order


def _order(form: Form, kind: str, id_: str) -> Document:
    """Convert a form to an order as the API takes it."""
    body: Document = {"target": {"kind": kind, "id": id_}, "cascade": form.get("cascade") != "false"}
    names = ("mode", "reason", "issued_before", "note", "plan_digest")
    return body | {name: form[name] for name in names if name in form} | {"unseen": form.get("unseen") == "true"}


def approving(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """``POST /plans/{id}/approvals``."""

    async def approve(request: Request) -> Response:
        caller, form = await form_of(site, request)
        digest = request.path_params["id"]
        kind, id_ = kind_and_id(form.get("of", ""))
        await site.pools.orders.run(caller.name, orders.approve, site, caller, digest, {})
        log_access(caller, request, plan=digest)
        how = {name: form[name] for name in ("mode", "issued_before", "cascade") if name in form}
        return RedirectResponse(Links().to("/reach", of=f"{kind}:{id_}", **how) + "#approvals", HTTPStatus.SEE_OTHER)

    return approve


async def _again(
    site: AppContext, request: Request, caller: Caller, form: Form, why: Mapping[str, Any], status: HTTPStatus
) -> Response:
    """Render the current plan, and why the order was not given."""
    return await site.pools.questions.run(caller.name, _planned, site, request, caller, form, why, status)


def _planned(
    site: AppContext, request: Request, caller: Caller, form: Form, why: Mapping[str, Any], status: HTTPStatus
) -> Response:
    question = ASKED["/reach"]
    params = [(name, form[name]) for name in ("of", "mode", "issued_before", "cascade", "unseen") if name in form]
    query = Query(params, question.parameters, now=site.now)
    document = question.ask(site, caller, query)
    viewed = PageRequest(site, caller, query, document, Links())
    new = why.get("drift", {}).get("unlisted", ())
    address = Links().to("/reach", **dict(params))
    context = {**shown.reach(viewed, new=new), "filled": filled(form), "doc": document, "address": address, **why}
    page = Request({**request.scope, "path": "/reach", "query_string": urlencode(params).encode()})
    return render_template(page, "reach.html", context, caller=caller, status=status)


def filled(form: Form) -> Document:
    """Return the fields of a form that is shown again."""
    return {"reason": form.get("reason", ""), "note": form.get("note", "")}


def lifting(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """``POST /revocations/{id}/lift``."""

    async def lift(request: Request) -> Response:
        caller, form = await form_of(site, request)
        revocation = request.path_params["id"]
        if form.get("typed", "") != revocation:
            raise RefusedError("what was typed is not the id of the revocation; nothing was lifted")
        # In one piece with its page, so that a completed lift is never answered with an error.
        return await site.pools.orders.run(caller.name, answer, request, caller, form)

    def answer(request: Request, caller: Caller, form: Form) -> Response:
        revocation = request.path_params["id"]
        body = {"note": form["note"]} if "note" in form else {}
        document = orders.lift(site, caller, revocation, body)
        log_access(caller, request, revocation=revocation)
        address = Links().of("revocation", revocation)
        lines = lines_of(render_orders.lifted(document, brief=True), Links())
        lists = [(title, view_models.killed({"kills": ids}, ())) for title, ids in render_orders.returning(document)]
        context = {"doc": document, "said": lines, "lists": lists, "address": address}
        page = Request({**request.scope, "path": f"/revocations/{revocation}", "query_string": b""})
        return render_template(page, "lifted.html", context, caller=caller)

    return lift

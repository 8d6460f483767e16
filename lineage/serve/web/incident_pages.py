"""The board of an incident: several revocations that were ordered together, and one row for each enforcement point.

What is done on it is done for each of the revocations that is open at the enforcement point.
"""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from json import dumps
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lineage.core.model.errors import RefusedError
from lineage.core.revocation.closure import ClosureVerdict
from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Caller, require
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.api import receiver_endpoints as receivers
from lineage.serve.http.api.signed_answers import proof_of
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.parameters import REVOCATION
from lineage.serve.http.core.query import Query, usable_id
from lineage.serve.http.core.question import ASKERS
from lineage.serve.queries.revocations.revocations import revocation
from lineage.serve.web.board import board_of
from lineage.serve.web.board_forms import BOARD
from lineage.serve.web.forms import Form, form_of
from lineage.serve.web.page_endpoint import MARKED, render_template

SHOWN: Final = 100  # orders of an incident on its board


def board(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """``GET /incidents/{id}``: how far each order of an incident is, and who has confirmed."""

    def answer(request: Request, caller: Caller) -> Response:
        query = Query.of(request.path_params, request.query_params, (REVOCATION, MARKED), now=site.now)
        incident = usable_id(query.the("id"), parameter="id")
        log_access(caller, request, incident=incident)
        orders = _orders(site, incident, SHOWN + 1)
        shown = orders[:SHOWN]
        context = {
            "incident": incident,
            "path": _path(incident),
            "orders": shown,
            "board": board_of(shown, site.contacts, query.now),
            "marking": query.text("mark") or "",
            "over": sum(order["verdict"] == ClosureVerdict.CLOSED for order in shown),
            "more": len(orders) > SHOWN,
            "after": None,
        }
        return render_template(request, "incident.html", context, caller=caller, moves=())

    async def page(request: Request) -> Response:
        caller = require(await site.caller_of(request), *ASKERS)
        return await site.pools.questions.run(caller.name, answer, request, caller)

    return page


def _orders(site: AppContext, incident: str, most: int) -> Sequence[Document]:
    """Return the revocations of an incident.

    Raises:
        NotFoundError: There is no such incident.
    """
    found: list[Document] = []
    while len(found) < most:
        following = revocation(site.service, f"{incident}.{len(found) + 1}", at=site.now)
        if following is None:
            break
        found.append(following)
    if not found:
        raise NotFoundError(incident)
    return found


def marking(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """``POST /incidents/{id}/marks``: record the signed-in person's statement for each open order."""

    def each(caller: Caller, incident: str, form: Form) -> Response:
        receiver = form.get("receiver", "")
        for order in _open_at(site, incident, receiver):
            receivers.mark(site, caller, order, {"receiver": receiver, "reason": form.get("reason", "")})
        return _back(incident)

    return _posted(site, each)


def delivering_again(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """``POST /incidents/{id}/deliveries``: deliver again what is open, at one enforcement point or at all."""

    def each(caller: Caller, incident: str, form: Form) -> Response:
        receiver = form.get("receiver")
        for order in _open_at(site, incident, receiver):
            receivers.deliver_again(site, caller, order, {} if receiver is None else {"receiver": receiver})
        return _back(incident)

    return _posted(site, each)


def _open_at(site: AppContext, incident: str, receiver: str | None) -> Sequence[str]:
    """Return the orders of an incident that are open at an enforcement point, or at any.

    Raises:
        RefusedError: None of them is.
    """
    found = [
        order["revocation"]
        for order in _orders(site, incident, SHOWN)
        if any(each is not None and receiver in (None, each) for each, _ in order["open"].items.by_receiver)
    ]
    if not found:
        raise RefusedError(f"nothing of {incident} is open at {receiver or 'an enforcement point'}")
    return found


def proving(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """``POST /incidents/{id}/proofs``: ask now about every order, and show what was replied."""

    async def prove(request: Request) -> Response:
        caller, _ = await form_of(site, request)
        return await site.pools.questions.run(caller.name, answer, request, caller)

    def answer(request: Request, caller: Caller) -> Response:
        incident = request.path_params["id"]
        orders = _orders(site, incident, SHOWN + 1)
        if len(orders) > SHOWN:
            raise RefusedError(
                f"{incident} has more than {SHOWN} revocations: prove each, delegraph prove {incident}.1"
            )
        docs = [proof_of(site, caller, order["revocation"], {}) for order in orders]
        verdicts = {doc["proof"]["verdict"] for doc in docs}
        worst = next(one for one in ("PARTIAL", "UNKNOWN", "CLOSED") if one in verdicts)
        log_access(caller, request, incident=incident, verdict=worst)
        context = {
            "incident": incident,
            "path": _path(incident),
            "docs": docs,
            "verdict": worst,
            "as_json": dumps(docs),
        }
        return render_template(request, "proofs.html", context, caller=caller, moves=())

    return prove


def _posted(
    site: AppContext, each: Callable[[Caller, str, Form], Response]
) -> Callable[[Request], Awaitable[Response]]:
    async def post(request: Request) -> Response:
        caller, form = await form_of(site, request)
        incident = request.path_params["id"]
        answer = await site.pools.orders.run(caller.name, each, caller, incident, form)
        log_access(caller, request, incident=incident, receiver=form.get("receiver"))
        return answer

    return post


def _path(incident: str) -> str:
    return f"/incidents/{quote(incident, safe='')}"


def _back(incident: str) -> Response:
    return RedirectResponse(f"{_path(incident)}#{BOARD}", HTTPStatus.SEE_OTHER)

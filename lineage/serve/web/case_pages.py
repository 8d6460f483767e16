"""Pages of cases: the list, one with its items and history, the form that adds to one, and what the forms do."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lineage.core.cases.case import RANGE
from lineage.core.model.vocabulary import CASE_ITEM_KINDS
from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Caller, require
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.api import case_endpoints as cases
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.parameters import OF
from lineage.serve.http.core.query import ParameterError, Query, kind_and_id
from lineage.serve.http.core.question import ASKERS
from lineage.serve.queries.cases.cases import CaseFilter
from lineage.serve.queries.cases.cases import cases as every_case
from lineage.serve.queries.retention.holds import holds_on
from lineage.serve.text.render_cases import change
from lineage.serve.web.forms import Form, form_of
from lineage.serve.web.page_endpoint import PageRequest, render_template, with_normalised_query

PATH: Final = "/cases/{id:path}"
ADDING: Final = "/add-to-case"
_OFFERED: Final = 25  # open cases that something can be added to with one click
_ITEMS: Final = OF._replace(required=False, description="What is added, `KIND:ID`.")
_KINDS: Final = (*CASE_ITEM_KINDS, "workload")


def every(page: PageRequest) -> Mapping[str, Any]:
    """Build the list of cases."""
    return {"status": page.query.text("status") or "", "key": str(uuid4())}


def one(page: PageRequest) -> Mapping[str, Any]:
    """Build the page of a case: its items with links, and its changes in words."""
    doc = page.document
    items = [{**item, "address": _page_of(page, item), "shown": _shown(item)} for item in doc["items"]]
    changes = [{**item, "words": change(item)} for item in doc["changes"]["items"]]
    notes = [item for item in changes if item["note"]]
    export = f"/v1{address_of(doc['case'])}/export"
    return {
        "contents": items,
        "changes": changes,
        "notes": notes,
        "export": export,
        "page": address_of(doc["case"]),
        "under_hold": holds_on(page.site.service, "case", doc["case"]),
    }


def address_of(case: str) -> str:
    """Return the address of the page of a case."""
    return f"/cases/{quote(case, safe='')}"


def _shown(item: Document) -> str:
    """Return the id of an item as people read it: of a range, its filters in words."""
    if item["kind"] != RANGE:
        return str(item["id"])
    return ", ".join(f"{name} {value}" for name, value in parse_qsl(item["id"]))


def _page_of(page: PageRequest, item: Document) -> str:
    """Return the address of the page of an item; of a range, the list of its actions."""
    if item["kind"] != RANGE:
        return page.links.of(item["kind"], item["id"])
    return f"{page.links.to('/actions')}{'&' if page.links.at or page.links.known_at else '?'}{item['id']}"


def adding(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``GET /add-to-case``: what was chosen, and the open cases that it can be added to."""

    def answer(request: Request, caller: Caller, chosen: Sequence[str]) -> Response:
        found = every_case(site.service, CaseFilter(status="open"), limit=_OFFERED, looked_at=_OFFERED * 4)
        log_access(caller, request, items=len(chosen))
        items = [dict(zip(("kind", "id"), one.split(":", 1), strict=True)) for one in chosen]
        items = [{**item, "shown": _shown(item)} for item in items]
        context = {
            "chosen": items,
            "lines": "\n".join(chosen),
            "cases": found["items"],
            "more": not found["complete"],
            "key": str(uuid4()),
            "address_of": address_of,
        }
        return render_template(request, "add_to_case.html", context, caller=caller, moves=())

    async def page(request: Request) -> Response:
        request = with_normalised_query(request)
        caller = require(await site.caller_of(request), *ASKERS)
        query = Query.of(request.path_params, request.query_params, (_ITEMS,), now=site.now)
        chosen = list(dict.fromkeys(query.all("of")))
        if not chosen:
            raise ParameterError("of", "nothing was chosen: tick what to add in a list")
        for key in chosen:
            kind_and_id(key, kinds=_KINDS)
        return await site.pools.questions.run(caller.name, answer, request, caller, chosen)

    return page


def opening(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``POST /cases``: open a case, and go to its page."""

    async def open_case(request: Request) -> Response:
        caller, form = await form_of(site, request)
        body = {name: form[name] for name in ("title", "note", "assignee") if name in form} | _chosen(form)
        document = await site.pools.orders.run(caller.name, cases.open_case, site, caller, body, key=form.get("key"))
        log_access(caller, request, case=document["case"], repeated=document["repeated"])
        return RedirectResponse(address_of(document["case"]), 303)

    return open_case


def changing(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``POST /cases/{id}/changes``: change a case, and go to its page."""

    async def change_case(request: Request) -> Response:
        caller, form = await form_of(site, request)
        case = request.path_params["id"]
        body = {name: form[name] for name in ("change", "note", "assignee", "version") if name in form} | _chosen(form)
        document = await site.pools.orders.run(caller.name, cases.change_case, site, caller, case, body)
        log_access(caller, request, case=case, change=form.get("change"), items=document["items_changed"])
        return RedirectResponse(address_of(case), 303)

    return change_case


def _chosen(form: Form) -> Document:
    """Return the items of a form, one ``KIND:ID`` a line."""
    lines = [line.strip() for line in form.get("items", "").splitlines() if line.strip()]
    items = [kind_and_id(line, kinds=_KINDS, parameter="items") for line in lines]
    return {"items": [{"kind": kind, "id": id_} for kind, id_ in items]} if items else {}

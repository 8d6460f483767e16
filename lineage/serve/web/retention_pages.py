"""The pages of retention: ages, runs, legal holds and deletions; what would be deleted; and the forms of holds."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lineage.core.model.errors import RefusedError
from lineage.core.model.records import DECISIONS
from lineage.deliver.http.access_log import log_access
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.api import retention_endpoints as retention
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.web.forms import form_of
from lineage.serve.web.page_endpoint import PageRequest

PATH: Final = "/retention"
_STATED: Final = ("reason", "principal", "case", "starts_at", "ends_at")
_FLAGS: Final = ("everything", "unseen")


def overview(page: PageRequest) -> Mapping[str, Any]:
    """Build the page of retention."""
    holds = page.more("/holds") or {"items": []}
    deletions = page.more("/deletions") or {"items": []}
    return {
        "days": next(one["days"] for one in page.document["topics"] if one["topic"] == DECISIONS),
        "holds": holds["items"],
        "deletions": deletions["items"],
        "faulty": sum(bool(one["faults"]) for one in deletions["items"]),
        "key": str(uuid4()),  # makes a form that is submitted twice one hold
    }


def placing(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``POST /holds``: place a hold, and return to the list."""

    async def place(request: Request) -> Response:
        caller, form = await form_of(site, request)
        body: Document = {name: form[name] for name in _STATED if name in form}
        body |= {name: True for name in _FLAGS if form.get(name) == "true"}
        key = form.get("key")
        document = await site.pools.orders.run(caller.name, retention.place_by, site, caller, body, key=key)
        log_access(caller, request, hold=document["hold"], repeated=document["repeated"])
        return RedirectResponse(f"{PATH}#holds", HTTPStatus.SEE_OTHER)

    return place


def releasing(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``POST /holds/{id}/release``: release a hold whose id was typed, and return to the list."""

    async def release(request: Request) -> Response:
        caller, form = await form_of(site, request)
        hold, key = request.path_params["id"], form.get("key")
        if form.get("typed", "") != hold:
            raise RefusedError("what was typed is not the id of the hold; nothing was released")
        body: Document = {"reason": form["reason"]} if "reason" in form else {}
        document = await site.pools.orders.run(caller.name, retention.release_by, site, caller, hold, body, key=key)
        log_access(caller, request, hold=hold, repeated=document["repeated"])
        return RedirectResponse(f"{PATH}#holds", HTTPStatus.SEE_OTHER)

    return release

"""Pages for several targets: chosen in any list, planned together, confirmed by typing.

How far they are is on the pages of their incident (``incident_pages``).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lineage.core.model.errors import DriftError, RefusedError
from lineage.core.model.vocabulary import MODES, REASONS
from lineage.deliver.http.access_log import log_access, log_refusal
from lineage.deliver.http.callers import Caller, require
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.api import batch_endpoints as batches
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.parameters import HOW, OF
from lineage.serve.http.core.query import ParameterError, Query, kind_and_id
from lineage.serve.http.core.question import ASKERS
from lineage.serve.web.forms import Form, filled, form_of
from lineage.serve.web.links import Links
from lineage.serve.web.page_endpoint import render_template, with_normalised_query

_CHOSEN: Final = OF._replace(required=False, description="What was ticked in a list, `KIND:ID`.")


def planning(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``GET /revoke``: the plan over everything that was chosen; a single target leads to its own page."""

    async def plan(request: Request) -> Response:
        request = with_normalised_query(request)
        caller = require(await site.caller_of(request), *ASKERS)
        query = Query.of(request.path_params, request.query_params, (_CHOSEN, *HOW), now=site.now)
        chosen = list(dict.fromkeys(query.all("of")))
        if not chosen:
            raise ParameterError("of", "nothing was chosen: tick what to revoke in a list")
        if len(chosen) == 1:
            return RedirectResponse(Links().to("/reach", of=chosen[0]), HTTPStatus.SEE_OTHER)
        targets = [dict(zip(("kind", "id"), kind_and_id(one), strict=True)) for one in chosen]
        how = {name: query.text(name) for name in ("mode", "issued_before") if query.text(name)}
        body = {"targets": targets, **how, "cascade": query.flag("cascade", default=True)}
        return await site.pools.questions.run(caller.name, _planned, site, request, caller, body, {}, HTTPStatus.OK)

    return plan


def _planned(
    site: AppContext, request: Request, caller: Caller, body: Document, why: Mapping[str, Any], status: HTTPStatus
) -> Response:
    document = batches.reach_of_several(site, caller, body)
    log_access(caller, request, plan=document["plan_digest"])
    new = why.get("drift", {}).get("unlisted", ())
    ended = [f"{kind}:{id_}" for kind in ("token", "delegation") for id_ in document["kills"][f"{kind}s"]]
    context = {
        "doc": document,
        "ended": sorted(ended, key=lambda key: (key not in new, key)),
        "new": frozenset(new),
        "typed": typed_for(document["targets"]),
        "reasons": REASONS,
        "filled": {"reason": "", "note": ""},
        "four_eyes": site.four_eyes,
        "key": str(uuid4()),  # makes a form that is submitted twice one incident
        **why,
    }
    return render_template(request, "revoke_several.html", context, caller=caller, moves=(), status=status)


def typed_for(targets: Sequence[object]) -> str:
    """Return what has to be typed to confirm."""
    return f"{len(targets)} targets"


def ordering(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``POST /revocations:batch``: give the orders of a stored plan, or explain why none was given."""

    async def order(request: Request) -> Response:
        caller, form = await form_of(site, request)
        body = await site.pools.questions.run(caller.name, _body, site, form)
        planned = {name: body[name] for name in ("targets", "mode", "cascade", "issued_before")}
        retry = (site, request, caller, planned)
        if form.get("typed", "") != typed_for(body["targets"]):
            fault = f"what was typed is not '{typed_for(body['targets'])}'; nothing was revoked"
            why = {"fault": fault, "filled": filled(form)}
            return await site.pools.questions.run(caller.name, _planned, *retry, why, HTTPStatus.BAD_REQUEST)
        try:
            document = await site.pools.orders.run(
                caller.name, batches.order_several, site, caller, body, key=form.get("key")
            )
        except DriftError as fault:
            log_refusal(request, HTTPStatus.CONFLICT, str(fault))
            why = {"drift": {"detail": str(fault), "unlisted": list(fault.unlisted)}, "filled": filled(form)}
            return await site.pools.questions.run(caller.name, _planned, *retry, why, HTTPStatus.CONFLICT)
        log_access(caller, request, incident=document["incident"], repeated=document["repeated"])
        return RedirectResponse(f"/incidents/{quote(document['incident'], safe='')}", HTTPStatus.SEE_OTHER)

    return order


def _body(site: AppContext, form: Form) -> Document:
    """Build the orders of a form: those of the plan that it was made for.

    Raises:
        RefusedError: The plan is not stored here, or is that of one target.
    """
    digest = form.get("plan_digest", "")
    plan = site.service.stored_plan(digest)
    if plan is None or not isinstance(plan["target"], list):
        raise RefusedError("the plan of this form is not stored here; choose the targets again")
    if plan["mode"] not in MODES:
        raise RefusedError("the plan of this form cannot be read; choose the targets again")
    body = {"targets": plan["target"], "plan_digest": digest}
    body |= {name: plan[name] for name in ("mode", "cascade", "issued_before")}
    return body | {name: form[name] for name in ("reason", "note") if name in form}

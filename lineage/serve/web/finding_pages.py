"""Pages of findings: the list with its filters, the list as CSV, one finding, and the form that judges it."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lineage.core.findings.frameworks import SHORT_NAMES
from lineage.core.findings.judging import ACKNOWLEDGED, NEW, SUPPRESSED
from lineage.core.findings.rules.catalogue import RULES
from lineage.core.model.errors import RefusedError
from lineage.core.model.finding import SEVERITIES
from lineage.core.model.keys import ELEMENT_KINDS, KINDS, NAME_KINDS
from lineage.core.model.times import format_instant
from lineage.deliver.http.access_log import log_access, log_refusal
from lineage.deliver.http.callers import Caller, require
from lineage.serve.documents.core_documents import Document
from lineage.serve.documents.posture_report import OUTCOMES, posture_as_html
from lineage.serve.http.api import order_endpoints as orders
from lineage.serve.http.api.activity_questions import finding_filter_of
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.parameters import FINDINGS, TIMES
from lineage.serve.http.core.query import Query
from lineage.serve.http.core.question import ASKERS
from lineage.serve.queries.findings.findings import exported
from lineage.serve.web import view_models
from lineage.serve.web.forms import Form, form_of
from lineage.serve.web.links import Links
from lineage.serve.web.page_endpoint import ASKED, HEADERS, PageRequest, render_template, with_normalised_query

PATH: Final = "/findings/{id}"
_FILTERS: Final = ("severity", "kind", "status", "of", "since", "all")
_REVOCABLE: Final = ELEMENT_KINDS | NAME_KINDS
_TARGETS: Final = 2  # tokens and delegations whose revocation is offered
_SERIOUS: Final = ("critical", "high")


def every(page: PageRequest) -> Mapping[str, Any]:
    """Build the list, worst first."""
    chosen = {name: page.query.text(name) or "" for name in _FILTERS}
    counts = page.document["by_severity"]
    return {
        "chosen": chosen,
        "filtered": any(chosen.values()),
        "worst": [(word, counts[word]) for word in _SERIOUS if word in counts],
        "severities": list(SEVERITIES),
        "rules": sorted(RULES),
        "statuses": (NEW, ACKNOWLEDGED, SUPPRESSED),
    }


def one(page: PageRequest) -> Mapping[str, Any]:
    """Build the page of one finding: its evidence field by field, and its framework mappings."""
    doc = page.document
    about = doc["about"] or ""
    grants = (item["of"] for item in doc["evidence"] if item["of"].partition(":")[0] in ELEMENT_KINDS)
    keys = [key for key in (doc["of"], about) if key.partition(":")[0] in _REVOCABLE]
    by_framework = groupby(doc["maps_to"], key=lambda entry: f"{entry['framework']} {entry['version']}")
    return {
        "facts": [{**item, "fields": view_models.fields(item["event"], item["of"])} for item in doc["evidence"]],
        "about_is_key": about.partition(":")[0] in KINDS,
        "targets": list(dict.fromkeys([*keys, *grants]))[:_TARGETS],
        "serious": doc["severity"] in _SERIOUS and doc["status"] != SUPPRESSED,
        "frameworks": [(name, list(entries)) for name, entries in by_framework],
        "filled": {"reason": "", "until": ""},
    }


def posture(page: PageRequest) -> Mapping[str, Any]:
    """Build the page of every check, by outcome, failed ones first."""
    items = sorted(page.document["items"], key=_by_worst)
    groups = [(name, [item for item in items if item["outcome"] == name]) for name in OUTCOMES]
    return {
        "groups": [(name, checks) for name, checks in groups if checks],
        "frameworks": SHORT_NAMES,
        "chosen": page.query.text("framework") or "",
    }


def _by_worst(check: Document) -> int:
    """Return the sort key of a check: its worst open finding, worst first; without one, its order in the catalogue."""
    return -SEVERITIES[check["first"][0]["severity"]] if check["first"] else 0


def report(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``GET /posture.html``: the posture as one file for an auditor."""
    question = ASKED["/posture"]

    def answer(request: Request, caller: Caller) -> Response:
        query = Query.of({}, request.query_params, question.parameters, now=site.now)
        log_access(caller, request)
        text = posture_as_html(question.ask(site, caller, query), format_instant(query.at))
        headers = {**HEADERS, "Content-Disposition": 'attachment; filename="posture.html"'}
        return Response(text, media_type="text/html", headers=headers)

    return _for_askers(site, answer)


def as_csv(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``GET /findings.csv``: every matching finding, as a table."""

    def answer(request: Request, caller: Caller) -> Response:
        query = Query.of({}, request.query_params, (*TIMES, *FINDINGS), now=site.now)
        log_access(caller, request)
        filters, fresh = finding_filter_of(query), query.flag("fresh", default=False)
        text = exported(site.service, "csv", at=query.at, known_at=query.known_at, filters=filters, fresh=fresh)
        headers = {**HEADERS, "Content-Disposition": 'attachment; filename="findings.csv"'}
        return Response(text, media_type="text/csv", headers=headers)

    return _for_askers(site, answer)


def _for_askers(
    site: AppContext, answer: Callable[[Request, Caller], Response]
) -> Callable[[Request], Awaitable[Response]]:
    """Build an endpoint for callers that may ask questions."""

    async def file(request: Request) -> Response:
        request = with_normalised_query(request)
        caller = require(await site.caller_of(request), *ASKERS)
        return await site.pools.questions.run(caller.name, answer, request, caller)

    return file


def judging(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``POST /findings/{id}/judgements``: the finding's page again, with the reason if nothing was judged."""

    async def judge(request: Request) -> Response:
        caller, form = await form_of(site, request)
        finding = request.path_params["id"]
        body: Document = {name: form[name] for name in ("judgement", "reason", "until") if name in form}
        try:
            document = await site.pools.orders.run(caller.name, orders.judge, site, caller, finding, body)
        except NotFoundError:
            raise
        except RefusedError as fault:
            log_refusal(request, HTTPStatus.BAD_REQUEST, str(fault))
            return await site.pools.questions.run(caller.name, again, request, caller, form, str(fault))
        log_access(caller, request, finding=finding, status=document["status"])
        return RedirectResponse(Links().of("finding", finding), HTTPStatus.SEE_OTHER)

    def again(request: Request, caller: Caller, form: Form, fault: str) -> Response:
        question = ASKED[PATH]
        query = Query([("id", request.path_params["id"])], question.parameters, now=site.now)
        document = question.ask(site, caller, query)
        viewed = PageRequest(site, caller, query, document, Links())
        filled: Document = {name: form.get(name, "") for name in ("reason", "until")}
        context = {**one(viewed), "doc": document, "filled": filled, "fault": fault}
        page = Request({**request.scope, "path": f"/findings/{document['id']}", "query_string": b""})
        return render_template(page, "finding.html", context, caller=caller, status=HTTPStatus.BAD_REQUEST)

    return judge

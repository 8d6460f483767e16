"""All pages and their paths; and our static files."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Caller, require
from lineage.deliver.http.route import Endpoint, Route
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.parameters import REVOCATION, TIMES
from lineage.serve.http.core.query import Query, kind_and_id, usable_id
from lineage.serve.http.core.question import ASKERS
from lineage.serve.queries.revocations.receipt import receipt_page
from lineage.serve.web import (
    asking_pages,
    batch_pages,
    board_forms,
    case_pages,
    finding_pages,
    forms,
    glossary,
    incident_pages,
    list_files,
    page_context,
    picture_files,
    principals_page,
    retention_pages,
    start_page,
    usage_page,
)
from lineage.serve.web.demo_path import Story
from lineage.serve.web.links import Links, Nowhere
from lineage.serve.web.page_endpoint import (
    FROM_ENTRY,
    MARKED,
    View,
    first_entry,
    page_of,
    render_template,
    with_normalised_query,
)
from lineage.serve.web.templating import STATIC

PAGES: Final[tuple[tuple[str, str, View], ...]] = (
    ("/who", "who.html", page_context.who),
    ("/chain", "chain.html", page_context.chain),
    ("/status", "status.html", page_context.status),
    ("/reach", "reach.html", page_context.reach),
    ("/uses", "uses.html", page_context.uses),
    ("/timeline", "timeline.html", page_context.timeline),
    ("/usage", "usage.html", usage_page.view),
    ("/search", "search.html", page_context.search),
    ("/findings", "findings.html", finding_pages.every),
    (finding_pages.PATH, "finding.html", finding_pages.one),
    ("/posture", "posture.html", finding_pages.posture),
    ("/quarantine", "quarantine.html", page_context.nothing),
    ("/conflicts", "conflicts.html", page_context.conflicts),
    ("/health", "health.html", page_context.nothing),
    ("/evidence", "evidence.html", page_context.nothing),
    (retention_pages.PATH, "retention.html", retention_pages.overview),
    ("/retention/plan", "retention_plan.html", page_context.nothing),
    ("/revocations", "revocations.html", page_context.nothing),
    ("/cases", "cases.html", case_pages.every),
    (case_pages.PATH, "case.html", case_pages.one),
    ("/receivers", "receivers.html", page_context.receivers),
    ("/governance/active", "governance.html", page_context.governance("active", "Agents that were active")),
    ("/governance/allowed", "governance.html", page_context.governance("allowed", "What the agent could do")),
    ("/governance/held", "governance.html", page_context.governance("held", "What the agent held")),
    ("/governance/done", "governance.html", page_context.governance("done", "What the agent did")),
)
_LINES: Final = 300  # lines of a receipt on its page
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOREVER: Final = "public, max-age=31536000, immutable"  # the address changes with the file


def pages(
    site: AppContext, *, story: Story | None = None, overviews: start_page.Overviews | None = None
) -> list[Route]:
    """Build every page.

    Args:
        site: The application context.
        story: A guided tour, for the start page.
        overviews: The overviews of the start page, if something else prepares them.
    """
    one = page_of(
        site, "/revocations/{id:path}", "revocation.html", page_context.revocation, extra=(FROM_ENTRY, MARKED)
    )
    shown: dict[str, Endpoint] = {
        **{path: page_of(site, path, template, view) for path, template, view in PAGES},
        **{path: asking_pages.page(site, path, template, view) for path, template, view in asking_pages.PAGES},
        "/graph": principals_page.page(site),
        "/": start_page.page(site, overviews or start_page.Overviews(site), story),
        "/words": _words(site),
        "/posture.html": finding_pages.report(site),
        "/findings.csv": finding_pages.as_csv(site),
        **{f"{path}.csv": list_files.file_of(site, path) for path in list_files.LISTS},
        **{path: picture_files.file_of(site, question, form) for path, question, form in picture_files.paths()},
        "/diff": _diff(site),
        "/dossier": _dossier(site),
        "/revoke": batch_pages.planning(site),
        case_pages.ADDING: case_pages.adding(site),
        "/incidents/{id:path}": incident_pages.board(site),
        "/revocations/{id:path}/receipt": _receipt(site),
        "/revocations/{id:path}/signed-receipt": board_forms.signed_receipt(site),
        "/revocations/{id:path}": one,
    }
    posted: dict[str, Endpoint] = {
        "/revocations": forms.ordering(site),
        "/revocations:batch": batch_pages.ordering(site),
        "/plans/{id}/approvals": forms.approving(site),
        "/revocations/{id:path}/lift": forms.lifting(site),
        "/receivers": board_forms.registering(site),
        "/incidents/{id:path}/marks": incident_pages.marking(site),
        "/incidents/{id:path}/deliveries": incident_pages.delivering_again(site),
        "/incidents/{id:path}/proofs": incident_pages.proving(site),
        "/revocations/{id:path}/marks": board_forms.marking(site),
        "/revocations/{id:path}/deliveries": board_forms.delivering_again(site),
        "/revocations/{id:path}/proofs": board_forms.proving(site),
        "/findings/{id}/judgements": finding_pages.judging(site),
        "/cases": case_pages.opening(site),
        f"{case_pages.PATH}/changes": case_pages.changing(site),
        "/holds": retention_pages.placing(site),
        "/holds/{id:path}/release": retention_pages.releasing(site),
        **({} if story is None else {"/story/{name}": _play(site, story)}),
    }
    return [
        *(Route("GET", path, page) for path, page in shown.items()),
        *(Route("POST", path, form) for path, form in posted.items()),
        Route("GET", "/static/{name:path}", static),
    ]


# Pages that combine documents, or show a different one from that of their path


def _words(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build the page that explains the words."""

    async def words(request: Request) -> Response:
        caller = require(await site.caller_of(request), *ASKERS)
        sections = (
            ("States", glossary.STATES),
            ("Is a revocation over?", glossary.VERDICTS),
            ("Findings", glossary.FINDINGS),
            ("Other words", glossary.TERMS),
        )
        return await site.pools.questions.run(
            caller.name, render_template, request, "words.html", {"sections": sections}, caller=caller
        )

    return words


def _diff(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build the page of changes; without two instants it shows the form that asks for them."""
    page = page_of(site, "/diff", "diff.html", page_context.diff)

    def form(request: Request, caller: Caller) -> Response:
        kind, id_ = kind_and_id(request.query_params.get("of", ""))
        params = request.query_params
        links = Links(params.get("at"), params.get("known_at"))
        between = (params.get("from", ""), params.get("to") or params.get("at") or "now")
        context = {"of": f"{kind}:{id_}", "between": between}
        return render_template(request, "diff_form.html", context, caller=caller, links=links)

    async def diff(request: Request) -> Response:
        request = with_normalised_query(request)
        if "from" in request.query_params and "to" in request.query_params:
            return await page(request)
        caller = require(await site.caller_of(request), *ASKERS)
        return await site.pools.questions.run(caller.name, form, request, caller)

    return diff


def _dossier(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build a dossier as a self-contained file: no script, nothing from elsewhere."""
    page = page_of(site, "/dossier", "dossier.html", page_context.whole_dossier, links=Nowhere)

    async def dossier(request: Request) -> Response:
        response = await page(request)
        name = quote(request.query_params["of"], safe="")[:100].replace("%", "_")
        response.headers["Content-Disposition"] = f'attachment; filename="dossier-{name}.html"'
        return response

    return dossier


def _receipt(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build the page with the first lines of a receipt."""

    def answer(request: Request, caller: Caller) -> Response:
        query = Query.of(request.path_params, request.query_params, (REVOCATION, *TIMES, FROM_ENTRY), now=site.now)
        start = first_entry(query)
        id_ = usable_id(query.the("id"), parameter="id")
        log_access(caller, request, revocation=id_)
        lines = receipt_page(site.service, id_, start, _LINES + 1, at=query.at, known_at=query.known_at)
        if lines is None:
            raise NotFoundError(id_)
        links = Links(query.text("at"), query.text("known_at"))
        context = {
            "revocation": id_,
            "lines": lines[:_LINES],
            "start": start,
            "next": start + _LINES if len(lines) > _LINES else None,
        }
        return render_template(request, "receipt.html", context, caller=caller, links=links, aside=("after",))

    async def page(request: Request) -> Response:
        request = with_normalised_query(request)
        caller = require(await site.caller_of(request), *ASKERS)
        return await site.pools.questions.run(caller.name, answer, request, caller)

    return page


def _play(site: AppContext, story: Story) -> Callable[[Request], Awaitable[Response]]:
    """Build the endpoint that makes a step of the tour happen."""

    async def play(request: Request) -> Response:
        caller, _ = await forms.form_of(site, request)
        name = request.path_params["name"]
        if name not in story.plays:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        await site.pools.events.run(caller.name, story.play, name)
        return RedirectResponse("/#story", HTTPStatus.SEE_OTHER)

    return play


# Static files


FILES: Final = {
    path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if path.is_file() and path.suffix in _TYPES
}


def static(request: Request) -> Response:
    """Return a static file."""
    path = FILES.get(request.path_params["name"])
    if path is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": _FOREVER})

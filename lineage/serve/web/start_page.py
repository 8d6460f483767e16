"""The start page: search, what needs attention, and the activity.

An overview reads some thousand facts, and the page reloads by itself, so an overview is shown again for up to a minute
if nothing was recorded since; a server prepares the first one. What takes seconds is computed in the background, after
the page: until then the page shows the last findings and the last number of conflicts, and says as of when they are
known.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from lineage.core.model.times import Instant, format_instant
from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Caller, require
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.query import Query
from lineage.serve.http.core.question import ASKERS
from lineage.serve.queries.overviews.attention import (
    are_findings_quick,
    attention,
    basis_of,
    is_small,
    worst_findings,
)
from lineage.serve.queries.records.quarantine_and_conflicts import count_conflicts
from lineage.serve.text.phrases import ALARMING
from lineage.serve.web.activity_bars import bars, lasting
from lineage.serve.web.demo_path import Story
from lineage.serve.web.latest_result import Known, Latest, Result
from lineage.serve.web.links import Links
from lineage.serve.web.page_endpoint import ASKED, render_template, with_normalised_query

THEFT: Final = "wielder-mismatch"


_PENDING: Final[Document] = {
    "total": None,
    "by_severity": None,
    "suppressed": None,
    "worst": [],
    "why": "they are being evaluated, and the page shows them in a moment",
}


_FAILED: Final[Document] = {
    **_PENDING,
    "why": "evaluating them failed, and will be tried again; see the server's log for the reason",
}


_NOT_THEN: Final[Document] = {**_PENDING, "why": "evaluating them as of another time takes longer than a page may"}


_THEN: Final[Document] = {"value": None, "as_of": None, "has_failed": False}  # nothing to add to the overview


class Overviews:
    """The overview of now, as long as it is shown again, and what is known of findings and conflicts. Thread-safe."""

    def __init__(self, site: AppContext) -> None:
        """Begin without an overview of the application's store."""
        self._service = site.service
        self._later = site.pools.background.submit
        self._findings = Latest("the findings of the start page", partial(worst_findings, site.service))
        self._conflicts = Latest("the number of conflicts", lambda _: count_conflicts(site.service))
        self._made: Result | None = None

    def steps(self) -> Iterator[None]:
        """Prepare the overview before somebody asks for it."""
        self.now(self._service.clock())
        yield

    def now(self, now: Instant) -> dict[str, Any]:
        """Return the overview, what is known of findings and conflicts, and whether to ask again soon."""
        service, basis = self._service, basis_of(self._service)
        found = self._findings.at(basis, now, is_quick=are_findings_quick(service, now))
        counted = self._conflicts.at(basis, now, is_quick=is_small(service))
        pending = _FAILED if found.has_failed else _PENDING
        worst = pending if found.result is None else found.result.value
        made = self._made
        if made is None or not made.is_fresh(basis, now):
            made = self._made = Result(basis, now, attention(service, at=now, findings=worst))
        return {
            "overview": {**made.value, "findings": worst},
            "findings": _shown(found),
            "conflicts": _shown(counted),
            "is_due": not (found.is_fresh and counted.is_fresh),
        }

    def then(self, at: Instant, known_at: Instant | None) -> dict[str, Any]:
        """Return the same as of another time, without findings if evaluating them takes long."""
        worst = None if are_findings_quick(self._service, at, known_at) else _NOT_THEN
        document = attention(self._service, at=at, known_at=known_at, findings=worst)
        return {"overview": document, "findings": _THEN, "conflicts": _THEN, "is_due": False}

    def renew(self) -> None:
        """Compute in the background what was not current; call it when the page is complete."""
        self._findings.renew(self._later)
        self._conflicts.renew(self._later)


def page(site: AppContext, overviews: Overviews, story: Story | None) -> Callable[[Request], Awaitable[Response]]:
    """Build the start page.

    Args:
        site: The application context.
        overviews: The overviews that it shows.
        story: A guided tour.
    """

    def answer(request: Request, caller: Caller) -> Response:
        log_access(caller, request)
        params = with_normalised_query(request).query_params
        moment = tuple((name, params[name]) for name in ("at", "known_at") if params.get(name))
        links = Links(params.get("at"), params.get("known_at"))
        query = Query(moment, ASKED["/overview"].parameters, now=site.now)
        shown = overviews.then(query.at, query.known_at) if moment else overviews.now(query.now)
        document = shown["overview"]
        context = {
            "story": story,
            **shown,
            "alarm": alarm(document["findings"]["worst"]),
            "thefts": links.to("/findings", kind=THEFT),
            "lasting": lasting,
            "activity": bars(document["activity"], links),
        }
        response = render_template(request, "start.html", context, caller=caller, links=links, moves=())
        overviews.renew()
        return response

    async def start(request: Request) -> Response:
        caller = require(await site.caller_of(request), *ASKERS)
        return await site.pools.questions.run(caller.name, answer, request, caller)

    return start


def _shown(known: Known) -> Document:
    """Return a value for the page, as of when it is known if that is not now, and whether computing it failed."""
    result = known.result
    return {
        "value": None if result is None else result.value,
        "as_of": None if result is None or known.is_fresh else format_instant(result.at),
        "has_failed": known.has_failed,
    }


def alarm(worst: Sequence[Document]) -> Document | None:
    """Return the finding that the page shows in red: of those of the highest severity, a possible theft comes first.

    Args:
        worst: The first findings, by severity.

    Returns:
        None if there is none of high severity or above.
    """
    grave = [one for one in worst if one["severity"] in ALARMING and one["severity"] == worst[0]["severity"]]
    return min(grave, key=lambda one: one["kind"] != THEFT, default=None)

"""The start page: search, what needs attention, and the activity.

An overview reads some thousand facts, and the page reloads by itself, so an overview is shown again for up to a minute
if nothing was recorded since. What takes seconds is computed in the background: until then the page shows the last
findings and the last number of conflicts, and says as of when they are known.
"""

import threading
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from lineage.core.model.times import Instant, format_instant
from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Caller, require
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.query import Query
from lineage.serve.http.core.question import ASKERS
from lineage.serve.http.core.workers import Workers
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
from lineage.serve.web.links import Links
from lineage.serve.web.page_endpoint import ASKED, render_template, with_normalised_query

FRESH: Final = 60_000_000  # microseconds for which an overview is shown again

THEFT: Final = "wielder-mismatch"


_PENDING: Final[Document] = {
    "total": None,
    "by_severity": None,
    "suppressed": None,
    "worst": [],
    "why": "they are being evaluated, and the page shows them in a moment",
}


_NOT_THEN: Final[Document] = {**_PENDING, "why": "evaluating them as of another time takes longer than a page may"}


class _Made(NamedTuple):
    """A current value, what it was made from, and when."""

    basis: Hashable
    at: Instant
    value: Any

    def is_fresh(self, basis: Hashable, at: Instant) -> bool:
        """Whether it is shown again at a time, although it was made before."""
        return self.basis == basis and 0 <= at - self.at < FRESH


class Latest:
    """The latest result of a computation, which is repeated in the background where it takes too long for a page."""

    def __init__(self, workers: Workers, compute: Callable[[Instant], Any]) -> None:
        """Repeat a computation, which gets the time, in some threads."""
        self._workers = workers
        self._compute = compute
        self._lock = threading.Lock()
        self._made: _Made | None = None
        self._is_running = False

    def at(self, basis: Hashable, now: Instant, *, is_quick: bool) -> _Made | None:
        """Return the latest result, computed now if that is quick; None if there is none yet.

        Args:
            basis: What it depends on besides the time.
            now: The time of the result.
            is_quick: Whether it takes no longer than a page may.
        """
        made = self._made
        if made is not None and made.is_fresh(basis, now):
            return made
        if is_quick:
            made = self._made = _Made(basis, now, self._compute(now))
            return made
        with self._lock:
            begins, self._is_running = not self._is_running, True
        if begins:
            self._workers.later(partial(self._repeat, basis, now))
        return made

    def _repeat(self, basis: Hashable, now: Instant) -> None:
        try:
            self._made = _Made(basis, now, self._compute(now))
        finally:
            self._is_running = False


def page(site: AppContext, story: Story | None) -> Callable[[Request], Awaitable[Response]]:
    """Build the start page.

    Args:
        site: The application context.
        story: A guided tour.
    """
    service = site.service
    overviews: list[_Made] = []
    findings = Latest(site.pools.own, partial(worst_findings, service))
    conflicts = Latest(site.pools.own, lambda _: count_conflicts(service))

    def overview(params: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        """Return the overview, the number of conflicts, and as of when these and the findings are known if not now."""
        query = Query(params, ASKED["/overview"].parameters, now=site.now)
        if params:
            at, known_at = query.at, query.known_at
            worst = None if are_findings_quick(service, at, known_at) else _NOT_THEN
            document = attention(service, at=at, known_at=known_at, findings=worst)
            return {"overview": document, "conflicts": None, "known": None, "is_due": False}
        now, basis = query.now, basis_of(service)
        found = findings.at(basis, now, is_quick=are_findings_quick(service, now))
        counted = conflicts.at(basis, now, is_quick=is_small(service))
        worst = _PENDING if found is None else found.value
        made = next((one for one in overviews if one.is_fresh(basis, now)), None)
        if made is None:
            made = _Made(basis, now, attention(service, at=now, findings=worst))
            overviews[:] = [made]
        is_old = found is not None and not found.is_fresh(basis, now)
        return {
            "overview": {**made.value, "findings": worst},
            "conflicts": None if counted is None else counted.value,
            "known": format_instant(found.at) if found is not None and is_old else None,
            "is_due": found is None or is_old or counted is None,
        }

    def answer(request: Request, caller: Caller) -> Response:
        log_access(caller, request)
        params = with_normalised_query(request).query_params
        moment = tuple((name, params[name]) for name in ("at", "known_at") if params.get(name))
        links = Links(params.get("at"), params.get("known_at"))
        shown = overview(moment)
        document = shown["overview"]
        context = {
            "story": story,
            **shown,
            "alarm": alarm(document["findings"]["worst"]),
            "thefts": links.to("/findings", kind=THEFT),
            "lasting": lasting,
            "activity": bars(document["activity"], links),
        }
        return render_template(request, "start.html", context, caller=caller, links=links, moves=())

    async def start(request: Request) -> Response:
        caller = require(await site.caller_of(request), *ASKERS)
        return await site.pools.questions.run(caller.name, answer, request, caller)

    return start


def alarm(worst: Sequence[Document]) -> Document | None:
    """Return the finding that the page shows in red: of those of the highest severity, a possible theft comes first.

    Args:
        worst: The first findings, by severity.

    Returns:
        None if there is none of high severity or above.
    """
    grave = [one for one in worst if one["severity"] in ALARMING and one["severity"] == worst[0]["severity"]]
    return min(grave, key=lambda one: one["kind"] != THEFT, default=None)

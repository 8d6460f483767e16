"""The start page: search, what needs attention, and the activity.

An overview reads some thousand facts, and the page reloads by itself, so an overview is shown again for up to a minute
if nothing was recorded since.
"""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from lineage.core.model.times import Instant
from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Caller, require
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.query import Query
from lineage.serve.http.core.question import ASKERS
from lineage.serve.queries.overviews.attention import basis_of
from lineage.serve.text.phrases import ALARMING
from lineage.serve.web.activity_bars import bars, lasting
from lineage.serve.web.demo_path import Story
from lineage.serve.web.links import Links
from lineage.serve.web.page_endpoint import ASKED, render_template, with_normalised_query

FRESH: Final = 60_000_000  # microseconds for which an overview is shown again

THEFT: Final = "wielder-mismatch"


class _Made(NamedTuple):
    """A current overview, what it was made from, and when."""

    basis: Hashable
    at: Instant
    document: Document


def page(site: AppContext, story: Story | None) -> Callable[[Request], Awaitable[Response]]:
    """Build the start page.

    Args:
        site: The application context.
        story: A guided tour.
    """
    overviews: list[_Made] = []

    def overview(caller: Caller, params: tuple[tuple[str, str], ...]) -> Document:
        question = ASKED["/overview"]
        query = Query(params, question.parameters, now=site.now)
        if params:
            return question.ask(site, caller, query)
        basis = basis_of(site.service)
        for made in overviews:
            if made.basis == basis and 0 <= query.now - made.at < FRESH:
                return made.document
        document = question.ask(site, caller, query)
        overviews[:] = [_Made(basis, query.now, document)]
        return document

    def answer(request: Request, caller: Caller) -> Response:
        log_access(caller, request)
        params = with_normalised_query(request).query_params
        moment = tuple((name, params[name]) for name in ("at", "known_at") if params.get(name))
        links = Links(params.get("at"), params.get("known_at"))
        document = overview(caller, moment)
        context = {
            "story": story,
            "overview": document,
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

"""The list of a page as a file, such as ``/actions.csv?tool=mail``, up to the limit of one file."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Caller, require
from lineage.serve.documents import list_columns
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.answer_formats import CSV
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.query import Query
from lineage.serve.http.core.question import Question
from lineage.serve.web.page_endpoint import ASKED, HEADERS, PAGED, with_normalised_query

MOST: Final = 10_000  # items of one file
# Each page with a list, and the name of its columns.
LISTS: Final = {
    "/actions": "actions",
    "/principals": "principals",
    "/tokens": "tokens",
    "/delegations": "delegations",
    "/search": "search",
    "/timeline": "timeline",
    "/uses": "uses",
    "/diff": "diff",
    "/quarantine": "quarantine",
    "/conflicts": "conflicts",
    "/revocations": "revocations",
    "/cases": "cases",
    "/governance/active": "active",
    "/governance/allowed": "allowed",
    "/governance/held": "held",
    "/governance/done": "done",
}


def file_of(site: AppContext, path: str) -> Callable[[Request], Awaitable[Response]]:
    """Build the endpoint that answers with the list of a page."""
    question: Question = ASKED[path]
    name = LISTS[path]
    [largest] = [one.schema["maximum"] for one in question.parameters if one.name == "limit"]

    def answer(request: Request, caller: Caller) -> Response:
        log_access(caller, request, **{one: request.query_params.getlist(one) for one in question.about})
        params = [pair for pair in request.query_params.multi_items() if pair[0] not in PAGED]
        now, items = site.now, list[Document]()
        after: str | None = None
        while len(items) < MOST:
            paged = [*params, ("limit", str(min(largest, site.limits.page, MOST - len(items))))]
            paged += [] if after is None else [("after", after)]
            document = question.ask(site, caller, Query(paged, question.parameters, now=now))
            items += document["items"]
            after = document["next"]
            if after is None:
                break
        cut = "" if after is None else f"-first-{len(items)}"
        text = list_columns.as_csv(name, {"items": items})
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}{cut}.csv"'}
        return Response(text.encode(errors="replace"), media_type=CSV, headers=headers)

    async def file(request: Request) -> Response:
        request = with_normalised_query(request)
        caller = require(await site.caller_of(request), *question.roles)
        return await site.pools.questions.run(caller.name, answer, request, caller)

    return file

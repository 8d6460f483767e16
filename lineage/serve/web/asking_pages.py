"""Pages of lists with a filter form: user input is resolved first, and the page shows the interpretation."""

from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from lineage.core.model.times import format_instant
from lineage.deliver.http.callers import require
from lineage.serve.documents.typed_times import typed_time
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.question import ASKERS
from lineage.serve.queries.inventory.resolving import resolve
from lineage.serve.web.page_context import Shown
from lineage.serve.web.page_endpoint import UNDERSTOOD, PageRequest, View, page_of, with_normalised_query

_TIMES: Final = frozenset({"from", "to", "at", "known_at"})
_PEOPLE: Final = frozenset({"human", "agent", "actor", "owner", "holder"})
_MORE: Final = frozenset({"operation", "resource", "outcome", "actor", "token", "delegation", "session", "client"})


def actions(page: PageRequest) -> Shown:
    """Build the page of actions, with the form that filters them."""
    filters = {name: value for name, value in page.document["filters"].items() if name != "of"}
    as_range = urlencode(sorted(page.document["filters"].items()))
    return {"filters": filters, "more_filters": not _MORE.isdisjoint(filters), "as_range": as_range}


def inventory(page: PageRequest) -> Shown:
    """Build the page of principals, tokens or delegations, with the form that filters them."""
    return {"filters": page.document["filters"]}


PAGES: Final[tuple[tuple[str, str, View], ...]] = (
    ("/actions", "actions.html", actions),
    ("/principals", "people.html", inventory),
    ("/tokens", "tokens.html", inventory),
    ("/delegations", "delegations.html", inventory),
)


def page(site: AppContext, path: str, template: str, view: View) -> Callable[[Request], Awaitable[Response]]:
    """Build the endpoint of a page with a filter form."""

    def shown(page: PageRequest) -> Shown:
        return {**view(page), "understood": page.understood}

    answer = page_of(site, path, template, shown)

    async def filtered(request: Request) -> Response:
        request = with_normalised_query(request)
        caller = require(await site.caller_of(request), *ASKERS)
        items, understood = await site.pools.questions.run(
            caller.name, _resolve, site, path, request.query_params.multi_items()
        )
        return await answer(
            Request({**request.scope, "query_string": urlencode(items).encode(), UNDERSTOOD: understood})
        )

    return filtered


def _resolve(
    site: AppContext, path: str, items: list[tuple[str, str]]
) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """Return the input as the question takes it, and the interpretation of names."""
    resolved: list[tuple[str, str]] = []
    understood: list[dict[str, Any]] = []
    for name, typed in items:
        value = typed
        if name in _TIMES:
            value = _moment(site, typed)
        elif name in _PEOPLE or (name == "issuer" and path == "/delegations"):
            found = resolve(site.service, typed, ("principal",))
            if len(found) == 1:
                value = found[0].partition(":")[2]
            if value != typed or len(found) > 1:
                understood.append({"typed": typed, "keys": found})
        resolved.append((name, value))
    return resolved, understood


def _moment(site: AppContext, typed: str) -> str:
    """Convert a time to RFC 3339; anything else is unchanged, to be refused by the question."""
    try:
        return typed if typed == "now" else format_instant(typed_time(typed, site.now)).replace(".000000Z", "Z")
    except ValueError:
        return typed

"""The four governance questions over HTTP: which agents were active, what one could do, what it held, what it did."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from lineage.deliver.http.callers import Caller
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.answer_formats import as_table
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.cursors import continued
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.parameters import AGENT, FROM, KNOWN_AT, PAGES, TIMES, TO
from lineage.serve.http.core.query import ParameterError, Query, usable_id
from lineage.serve.http.core.question import Question
from lineage.serve.queries.activity import governance

_FROM: Final = FROM._replace(required=False, description="From then; by default from the beginning.")
_TO: Final = TO._replace(required=False, description="Until before then; by default until now.")
_BETWEEN: Final = (_FROM, _TO, KNOWN_AT)


def active(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List the agents that acted, or were granted anything, between two instants."""
    return _page(site, "active", query, partial(governance.active, site.service, **_between(query)))


def allowed(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List what an agent could do at an instant."""
    return _page(site, "allowed", query, partial(governance.allowed, site.service, _agent(query), at=query.at))


def held(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List what an agent held between two instants."""
    return _page(site, "held", query, partial(governance.held, site.service, _agent(query), **_between(query)))


def done(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List what an agent did between two instants."""
    return _page(site, "done", query, partial(governance.done, site.service, _agent(query), **_between(query)))


def _page(site: AppContext, question: str, query: Query, ask: Callable[..., Document | None]) -> Document:
    def page(after: str | None, limit: int) -> Document:
        document = ask(known_at=query.known_at, after=after, limit=limit)
        if document is None:
            raise NotFoundError(query.the("agent"))
        return document

    return continued(site, question, query, page)


def _agent(query: Query) -> str:
    """Return an agent's id, given as such or as ``principal:ID``."""
    return usable_id(query.the("agent").removeprefix("principal:"), parameter="agent")


def _between(query: Query) -> dict[str, Any]:
    start, end = query.instant("from"), query.instant("to")
    between = {"start": 0 if start is None else start, "end": query.now if end is None else end}
    if between["start"] >= between["end"]:
        raise ParameterError("from", "is not before 'to': nothing lies between them")
    return between


def _question(name: str, ask: Callable[[AppContext, Caller, Query], Document], title: str, **more: Any) -> Question:
    about = () if name == "active" else ("agent",)
    return as_table(Question(path=f"/governance/{name}", ask=ask, title=title, about=about, **more), name)


GOVERNANCE: Final = (
    _question(
        "active",
        active,
        "The agents that acted, or were given anything, between two instants",
        parameters=(*_BETWEEN, *PAGES),
        answer="ActiveAgents",
    ),
    _question(
        "allowed",
        allowed,
        "What an agent might do at an instant: its live grants with their effective scopes",
        parameters=(AGENT, *TIMES, *PAGES),
        answer="Allowed",
    ),
    _question(
        "held",
        held,
        "The delegations and tokens that an agent held between two instants, and what ended each",
        parameters=(AGENT, *_BETWEEN, *PAGES),
        answer="Held",
    ),
    _question(
        "done",
        done,
        "What an agent did between two instants, each with its chain",
        parameters=(AGENT, *_BETWEEN, *PAGES),
        answer="Done",
    ),
)

"""Find things by what people know: actions by who stood behind them, tool, time and words; and the inventory."""

from collections.abc import Sequence
from typing import Final

from ingest.codec import limits
from lineage.core.authority.action_filter import ActionFilter
from lineage.core.model.keys import KINDS
from lineage.core.model.vocabulary import ACTION_OUTCOMES
from lineage.deliver.http.callers import Caller
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.answer_formats import as_table
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.cursors import continued
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.parameters import (
    ACTION_FILTERS,
    DELEGATION_FILTERS,
    PAGES,
    PEOPLE_FILTERS,
    TIMES,
    TOKEN_FILTERS,
    USED,
)
from lineage.serve.http.core.query import ParameterError, Query, kind_and_id, usable_id
from lineage.serve.http.core.question import Question
from lineage.serve.queries.activity.actions import actions as actions_of
from lineage.serve.queries.activity.usage import UsageSubject
from lineage.serve.queries.activity.usage import usage as usage_of
from lineage.serve.queries.inventory import inventory
from lineage.serve.queries.lists.list_pages import OVER_HTTP, WORDS_OVER_HTTP
from lineage.serve.queries.overviews.attention import attention

_IDS: Final = ("human", "agent", "actor", "token", "delegation", "session", "client")
_VALUES: Final = ("tool", "operation", "resource", "text")


def actions(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List the matching actions, latest first."""
    filters = action_filter(query)
    budget = OVER_HTTP if filters.text is None else WORDS_OVER_HTTP

    def ask(after: str | None, limit: int) -> Document:
        found = actions_of(
            site.service, filters, at=query.at, known_at=query.known_at, after=after, limit=limit, budget=budget
        )
        if found is None:
            raise NotFoundError(query.the("of"))
        return found

    return continued(site, "actions", query, ask)


def action_filter(query: Query) -> ActionFilter:
    """Parse the filter of a query.

    Raises:
        ParameterError: A value is invalid, or the end is before the start.
    """
    values = {name: value for name in _IDS if (value := _id(query, name)) is not None}
    values |= {name: value for name in _VALUES if (value := _text(query, name)) is not None}
    outcome = _word(query, "outcome", ACTION_OUTCOMES)
    start, end = query.instant("from"), query.instant("to")
    if start is not None and end is not None and end < start:
        raise ParameterError("to", "is before `from`, so nothing can lie between them")
    if (of := query.text("of")) is not None:
        values["of"] = ":".join(kind_and_id(of, kinds=KINDS))
    return ActionFilter(outcome=outcome, start=start, end=end, **values)


def usable_text(value: str, *, parameter: str) -> str:
    """Check a search text.

    Raises:
        ParameterError: It is empty, or no event can contain it.
    """
    if not value.strip():
        raise ParameterError(parameter, "is empty: leave it out to ask for any")
    if fault := limits.fault_of_text(value):
        raise ParameterError(parameter, fault)
    return value


def principals(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List principals."""
    filters = inventory.PrincipalFilter(
        _word(query, "kind", inventory.KINDS),
        _id(query, "owner"),
        _word(query, "state", inventory.NAME_STATES),
        _text(query, "text"),
    )
    return continued(
        site, "principals", query, lambda after, limit: inventory.principals(
            site.service, filters, at=query.at, known_at=query.known_at, after=after, limit=limit,
            looked_at=inventory.LOOKED_AT,
        )
    )  # fmt: skip


def tokens(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List tokens."""
    return _held(site, query, "token", _text(query, "kind"), _text(query, "issuer"))


def delegations(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List delegations."""
    return _held(site, query, "delegation", None, _id(query, "issuer"))


def usage(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Return how a tool, a resource or an operation was used."""
    used = [UsageSubject(one.name, value) for one in USED if (value := _text(query, one.name)) is not None]
    if len(used) != 1:
        raise ParameterError("tool", "give exactly one of tool, resource and operation")
    found = usage_of(site.service, used[0], at=query.at, known_at=query.known_at)
    if found is None:
        raise NotFoundError(used[0].id, f"no known action used this {used[0].kind}")
    return found


def _held(site: AppContext, query: Query, kind: str, type_: str | None, issuer: str | None) -> Document:
    filters = inventory.ElementFilter(
        type_,
        _id(query, "owner"),
        _word(query, "state", inventory.STATES),
        _id(query, "holder"),
        issuer,
        _text(query, "text"),
    )
    return continued(
        site, f"{kind}s", query, lambda after, limit: inventory.held(
            site.service, kind, filters, at=query.at, known_at=query.known_at, after=after, limit=limit,
            looked_at=inventory.LOOKED_AT,
        )
    )  # fmt: skip


def _id(query: Query, name: str) -> str | None:
    value = query.text(name)
    return None if value is None else usable_id(value, parameter=name)


def _text(query: Query, name: str) -> str | None:
    value = query.text(name)
    return None if value is None else usable_text(value, parameter=name)


def _word(query: Query, name: str, words: Sequence[str]) -> str | None:
    value = query.text(name)
    if value is not None and value not in words:
        raise ParameterError(name, f"{value[:64]!r} is none of {', '.join(words)}")
    return value


def overview(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Return what needs attention."""
    return attention(site.service, at=query.at, known_at=query.known_at)


ASKING: Final = (
    Question(
        path="/overview",
        ask=overview,
        parameters=TIMES,
        title="What needs attention, and the amount of activity",
        answer="Overview",
        about=(),
    ),
    as_table(
        Question(
            path="/actions",
            ask=actions,
            parameters=(*ACTION_FILTERS, *TIMES, *PAGES),
            title="The matching actions, latest first",
            answer="Actions",
            about=("of", *_IDS),
        ),
        "actions",
    ),
    Question(
        path="/usage",
        ask=usage,
        parameters=(*USED, *TIMES),
        title="How a tool, a resource or an operation was used: by whom, for whom, and what is wrong with it",
        answer="Usage",
        about=(),
    ),
    as_table(
        Question(
            path="/principals",
            ask=principals,
            parameters=(*PEOPLE_FILTERS, *TIMES, *PAGES),
            title="Principals: people, agents, services and workloads",
            answer="Principals",
            about=("owner",),
        ),
        "principals",
    ),
    as_table(
        Question(
            path="/tokens",
            ask=tokens,
            parameters=(*TOKEN_FILTERS, *TIMES, *PAGES),
            title="Tokens, latest first",
            answer="Tokens",
            about=("owner", "holder"),
        ),
        "tokens",
    ),
    as_table(
        Question(
            path="/delegations",
            ask=delegations,
            parameters=(*DELEGATION_FILTERS, *TIMES, *PAGES),
            title="Delegations, latest first",
            answer="Delegations",
            about=("owner", "holder", "issuer"),
        ),
        "delegations",
    ),
)

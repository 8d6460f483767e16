"""Find actions by what people know: who stood behind them, tool, time and words."""

from typing import Final

from ingest.codec import limits
from lineage.core.authority.action_filter import ActionFilter
from lineage.core.model.errors import RefusedError
from lineage.core.model.keys import KINDS
from lineage.core.model.vocabulary import ACTION_OUTCOMES
from lineage.deliver.http.callers import Caller
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.app_context import Site
from lineage.serve.http.core.cursors import after_of, cursor, limit_of
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.parameters import ACTION_FILTERS, PAGES, TIMES
from lineage.serve.http.core.query import ParameterError, Query, kind_and_id, usable_id
from lineage.serve.http.core.question import Question
from lineage.serve.queries.actions import OVER_HTTP
from lineage.serve.queries.actions import actions as actions_of

_IDS: Final = ("human", "agent", "actor", "token", "delegation", "session", "client")
_VALUES: Final = ("tool", "operation", "resource", "text")


def actions(site: Site, _caller: Caller, query: Query) -> Document:
    """List the matching actions, latest first."""
    after = after_of("actions", query)
    try:
        found = actions_of(
            site.service,
            action_filter(query),
            at=query.at,
            known_at=query.known_at,
            after=after,
            limit=limit_of(site, query),
            budget=OVER_HTTP,
        )
    except RefusedError as fault:
        raise _named(fault) from fault
    if found is None:
        raise NotFoundError(query.the("of"))
    following = found["next"]
    return {**found, "next": None if following is None else cursor("actions", following)}


def _named(fault: RefusedError) -> RefusedError:
    """Attribute an error about the cursor to its parameter; leave any other unchanged."""
    name, _, detail = str(fault).partition(": ")
    return ParameterError(name, detail) if name == "after" and not isinstance(fault, ParameterError) else fault


def action_filter(query: Query) -> ActionFilter:
    """Parse the filter of a query.

    Raises:
        ParameterError: A value is invalid, or the end is before the start.
    """
    said: dict[str, str] = {}
    for name in _IDS:
        if (value := query.text(name)) is not None:
            said[name] = usable_id(value, parameter=name)
    for name in _VALUES:
        if (value := query.text(name)) is not None:
            said[name] = usable_text(value, parameter=name)
    outcome = query.text("outcome")
    if outcome is not None and outcome not in ACTION_OUTCOMES:
        raise ParameterError("outcome", f"{outcome[:64]!r} is none of {', '.join(ACTION_OUTCOMES)}")
    start, end = query.instant("from"), query.instant("to")
    if start is not None and end is not None and end < start:
        raise ParameterError("to", "is before `from`, so nothing can lie between them")
    if (of := query.text("of")) is not None:
        said["of"] = ":".join(kind_and_id(of, kinds=KINDS))
    return ActionFilter(outcome=outcome, start=start, end=end, **said)


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


ASKING: Final = (
    Question(
        path="/actions",
        ask=actions,
        parameters=(*ACTION_FILTERS, *TIMES, *PAGES),
        title="The actions that are asked for, the latest first",
        answer="Actions",
        about=("of", *_IDS),
    ),
)

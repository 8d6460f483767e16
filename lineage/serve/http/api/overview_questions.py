"""The questions behind what pages show at once: the graph around a thing, who it is, how it stands, a whole case."""

from typing import Final

from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS
from lineage.deliver.http.callers import Caller
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.app_context import Site
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.parameters import ONE, TIMES
from lineage.serve.http.core.query import Parameter, Query, kind_and_id
from lineage.serve.http.core.question import Question
from lineage.serve.queries.case import case
from lineage.serve.queries.graph_view import MOST, graph
from lineage.serve.queries.identity import identity
from lineage.serve.queries.projection_status import standing

_MOST: Final = Parameter(
    "most", {"type": "integer", "minimum": 1, "maximum": MOST}, "Elements at most; what is beyond is counted."
)
_PRINCIPAL: Final = ONE._replace(description="`principal:ID`.", example="principal:agent:mailer")
CASES: Final = (*sorted(ELEMENT_KINDS | NAME_KINDS), "action")


def graph_around(site: Site, _caller: Caller, query: Query) -> Document:
    """What a thing hangs on, and what hangs on it, laid out."""
    kind, id_ = _one(query, tuple(sorted(ELEMENT_KINDS | NAME_KINDS)))
    most = query.number("most", default=MOST, most=MOST)
    document = graph(site.service, kind, id_, at=query.at, known_at=query.known_at, most=most)
    return _found(document, query)


def who_it_is(site: Site, _caller: Caller, query: Query) -> Document:
    """What was stated of a principal."""
    _, id_ = _one(query, ("principal",))
    return _found(identity(site.service, id_, at=query.at, known_at=query.known_at), query)


def health(site: Site, _caller: Caller, _query: Query) -> Document:
    """How the projection stands."""
    return standing(site.service)


def whole_case(site: Site, _caller: Caller, query: Query) -> Document:
    """Everything about one thing, to be kept."""
    kind, id_ = _one(query, CASES)
    return _found(case(site.service, kind, id_, at=query.at, known_at=query.known_at), query)


def _one(query: Query, kinds: tuple[str, ...]) -> tuple[str, str]:
    return kind_and_id(query.the("of"), kinds=kinds)


def _found(document: Document | None, query: Query) -> Document:
    if document is None:
        raise NotFoundError(query.the("of"))
    return document


OVERVIEW: Final = (
    Question(
        path="/graph",
        ask=graph_around,
        parameters=(ONE, *TIMES, _MOST),
        title="What a thing hangs on and what hangs on it, laid out",
        answer="Graph",
    ),
    Question(
        path="/identity",
        ask=who_it_is,
        parameters=(_PRINCIPAL, *TIMES),
        title="Who a principal is: its name, owner, purpose, aliases and workloads, and whose word that is",
        answer="Identity",
    ),
    Question(
        path="/health",
        ask=health,
        parameters=(),
        title="How the projection stands: lag, positions, the last event by source",
        answer="Health",
        about=(),
    ),
    Question(
        path="/case",
        ask=whole_case,
        parameters=(ONE, *TIMES),
        title="Everything about one thing, to be kept",
        answer="Case",
    ),
)

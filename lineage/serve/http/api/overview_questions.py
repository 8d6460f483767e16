"""The questions behind composite pages: graph, identity, health, and a whole case."""

from typing import Final

from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS
from lineage.deliver.http.callers import Caller
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.answer_formats import PICTURES, format_of
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.parameters import ONE, TIMES
from lineage.serve.http.core.query import Parameter, ParameterError, Query, kind_and_id
from lineage.serve.http.core.question import Question
from lineage.serve.queries.graphs.dossier import dossier
from lineage.serve.queries.graphs.graph_view import MOST, PRINCIPALS, VIEWS, graph
from lineage.serve.queries.graphs.principals_drawn import PRINCIPAL_KINDS, STATES, Shown
from lineage.serve.queries.graphs.principals_view import principals_view
from lineage.serve.queries.inventory.identity import identity
from lineage.serve.queries.records.projection_status import projection_status

_MOST: Final = Parameter(
    "most", {"type": "integer", "minimum": 1, "maximum": MOST}, "The most elements; the rest is counted."
)
_VIEW: Final = Parameter(
    "view",
    {"type": "string", "enum": list(VIEWS)},
    "`elements`: tokens and delegations around a thing; `principals`: who handed what to whom. By default `elements`.",
)
_KIND: Final = Parameter(
    "kind",
    {"type": "string", "enum": list(PRINCIPAL_KINDS)},
    "Of the principals: only relations with one of this kind at an end.",
    repeatable=True,
)
_STATE: Final = Parameter(
    "state",
    {"type": "string", "enum": list(STATES)},
    "Of the principals: only tokens and delegations in this state.",
    repeatable=True,
)
_TOOL: Final = Parameter(
    "tool",
    {"type": "string", "minLength": 1, "maxLength": 4_096},
    "Of the principals: only what this tool was used under, and what that depends on.",
)
_FINDINGS: Final = Parameter("findings", {"type": "boolean"}, "`false`: do not look for findings.")
_TARGET: Final = ONE._replace(
    name="target",
    required=False,
    description="Of the principals: what a revocation of this, `KIND:ID`, would end is laid over the graph.",
    example=None,
)
STATED: Final = tuple(sorted(ELEMENT_KINDS | NAME_KINDS))
_PRINCIPAL: Final = ONE._replace(description="`principal:ID`.", example="principal:agent:mailer")
DOSSIER_KINDS: Final = (*sorted(ELEMENT_KINDS | NAME_KINDS), "action")


def graph_around(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Return what a thing depends on and what depends on it, laid out; or who handed what to whom."""
    if query.choice("view", VIEWS) == PRINCIPALS:
        return _principals(site, query)
    if given := [name for name in ("kind", "state", "tool", "target") if query.all(name)]:
        raise ParameterError(given[0], f"it is for view={PRINCIPALS} alone")
    if query.text("of") is None:
        raise ParameterError("of", f"is missing; only view={PRINCIPALS} goes without")
    kind, id_ = _one(query, STATED)
    most = query.number("most", default=MOST, most=MOST)
    findings = query.flag("findings", default=True)
    document = graph(site.service, kind, id_, at=query.at, known_at=query.known_at, most=most, findings=findings)
    return _found(document, query)


def _principals(site: AppContext, query: Query) -> Document:
    of, target = (
        None if query.text(name) is None else kind_and_id(query.the(name), kinds=STATED, parameter=name)
        for name in ("of", "target")
    )
    shown = Shown(
        of=of,
        kinds=tuple(query.choices("kind", PRINCIPAL_KINDS)),
        states=tuple(query.choices("state", STATES)),
        tool=query.text("tool"),
        target=target,
        most=query.number("most", default=MOST, most=MOST),
    )
    document = principals_view(site.service, shown, at=query.at, known_at=query.known_at)
    if document is None:
        raise NotFoundError(query.text("of") or query.the("target"))
    return document


def who_it_is(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Return what was stated about a principal."""
    _, id_ = _one(query, ("principal",))
    return _found(identity(site.service, id_, at=query.at, known_at=query.known_at), query)


def health(site: AppContext, _caller: Caller, _query: Query) -> Document:
    """Return the status of the projection."""
    return projection_status(site.service)


def whole_dossier(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Return everything about one thing, for a dossier."""
    kind, id_ = _one(query, DOSSIER_KINDS)
    return _found(dossier(site.service, kind, id_, at=query.at, known_at=query.known_at), query)


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
        parameters=(
            ONE._replace(required=False),
            _VIEW,
            *TIMES,
            _KIND,
            _STATE,
            _TOOL,
            _TARGET,
            _MOST,
            _FINDINGS,
            format_of(*PICTURES),
        ),
        title="What a thing depends on and what depends on it, laid out; or who handed what to whom",
        answer="Graph",
        other_answer="PrincipalGraph",
        formats=PICTURES,
        about=("of", "target"),
    ),
    Question(
        path="/identity",
        ask=who_it_is,
        parameters=(_PRINCIPAL, *TIMES),
        title="Who a principal is: its name, owner, purpose, aliases and workloads, and which source states it",
        answer="Identity",
    ),
    Question(
        path="/health",
        ask=health,
        parameters=(),
        title="The progress of the projection: lag, positions, the last event by source",
        answer="ProjectionHealth",
        about=(),
    ),
    Question(
        path="/dossier",
        ask=whole_dossier,
        parameters=(ONE, *TIMES),
        title="Everything about one thing, for a dossier",
        answer="Dossier",
    ),
)

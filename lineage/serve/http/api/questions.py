"""The main questions, in one table: each is a plain function from site, caller and query to a document."""

from collections.abc import Callable, Collection
from typing import Any, Final

from lineage.core.model.events import Target
from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS
from lineage.core.model.vocabulary import MODES
from lineage.core.revocation.reach import Proposal
from lineage.deliver.http.callers import Caller
from lineage.serve.documents.core_documents import Document, listing
from lineage.serve.http.api.activity_questions import AROUND
from lineage.serve.http.api.asking_questions import ASKING
from lineage.serve.http.api.case_endpoints import CASES
from lineage.serve.http.api.evidence_questions import EVIDENCE
from lineage.serve.http.api.governance_questions import GOVERNANCE
from lineage.serve.http.api.overview_questions import OVERVIEW
from lineage.serve.http.api.receiver_endpoints import RECEIVERS
from lineage.serve.http.api.retention_endpoints import RETENTION
from lineage.serve.http.core.answer_formats import as_pictures
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.parameters import ACTION, HOW, OF, STALE, TIMES, UNSEEN
from lineage.serve.http.core.query import ParameterError, Query, kind_and_id, usable_id
from lineage.serve.http.core.question import Question
from lineage.serve.queries.activity.uses import findings_about

STATED: Final = ELEMENT_KINDS | NAME_KINDS  # the kinds with a state, which an order can target


def who(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Answer who stood behind an action."""
    return each(
        site,
        query,
        "action",
        lambda action: site.service.who(usable_id(action, parameter="action"), at=query.at, known_at=query.known_at),
    )


def chain(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Answer who stood behind a token or a delegation."""
    return each_of(
        site,
        query,
        ELEMENT_KINDS,
        lambda kind, id_: site.service.chain(kind, id_, at=query.at, known_at=query.known_at),
    )


def status(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Answer the state of something."""
    return each_of(
        site,
        query,
        STATED,
        lambda kind, id_: site.service.status(kind, id_, at=query.at, known_at=query.known_at),
    )


def reach(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Answer what a revocation would end."""
    at, stale, unseen = query.at, query.flag("stale", default=False), query.flag("unseen", default=False)

    def planned(kind: str, id_: str) -> Document | None:
        proposal = Proposal(
            target=Target(kind, id_),
            at=at,
            mode=query.choice("mode", MODES),
            issued_before=query.instant("issued_before"),
            cascade=query.flag("cascade", default=True),
        )
        plan = site.service.reach(proposal, known_at=query.known_at, stale=stale, unseen=unseen)
        if plan is None:
            return None
        return {**plan, **findings_about(site.service, kind, id_, at, query.known_at)}

    return each_of(site, query, STATED, planned, missing="unseen=true plans an order on it anyway")


def each_of(
    site: AppContext,
    query: Query,
    kinds: Collection[str],
    ask: Callable[[str, str], Document | None],
    *,
    missing: str = "",
) -> Document:
    """Answer a question about ``KIND:ID``; for several, return a list."""
    return each(site, query, "of", lambda of: ask(*kind_and_id(of, kinds=kinds)), missing=missing)


def each(
    site: AppContext, query: Query, parameter: str, ask: Callable[[str], Document | None], *, missing: str = ""
) -> Document:
    """Answer a question about one id; for several, return a list in the order asked.

    Args:
        site: The application context.
        query: The query.
        parameter: The parameter with the ids.
        ask: Answers for one id; None if no fact names it.
        missing: The remedy in that case.

    Raises:
        NotFoundError: No fact names the only id.
    """
    values = query.all(parameter)
    if len(values) > site.limits.asked:
        raise ParameterError(parameter, f"is given {len(values):,} times; one question takes {site.limits.asked}")
    if len(values) == 1:
        document = ask(values[0])
        if document is None:
            raise NotFoundError(values[0], site.service.why_missing(values[0]) or missing)
        return document
    items: list[Any] = []
    for id_ in values:
        document = ask(id_)
        items.append(_not_found(site, id_) if document is None else document)
    return listing(items, total=len(items))


def _not_found(site: AppContext, id_: str) -> Document:
    why = site.service.why_missing(id_)
    return {"error": "not_found", "id": id_, **({"why": why} if why else {})}


QUESTIONS: Final = (
    as_pictures(
        Question(
            path="/who",
            ask=who,
            parameters=(ACTION, *TIMES),
            title="Who stood behind an action: human, agents, tokens, hop by hop",
            answer="Who",
            about=("action",),
            non_blocking=True,
        )
    ),
    as_pictures(
        Question(
            path="/chain",
            ask=chain,
            parameters=(OF, *TIMES),
            title="Who stood behind an element",
            answer="Chain",
            non_blocking=True,
        )
    ),
    Question(
        path="/status",
        ask=status,
        parameters=(OF, *TIMES),
        title="The state, and because of what",
        answer="Status",
        non_blocking=True,
    ),
    Question(
        path="/reach",
        ask=reach,
        parameters=(OF, *TIMES, *HOW, STALE, UNSEEN),
        title="What a revocation would end of what is alive: the blast radius",
        answer="Reach",
    ),
    *ASKING,
    *AROUND,
    *OVERVIEW,
    *GOVERNANCE,
    *RECEIVERS,
    *CASES,
    *EVIDENCE,
    *RETENTION,
)

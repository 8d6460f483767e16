"""Lookups and the board of revocations: questions other than the main four, as plain functions."""

from collections.abc import Collection
from typing import Final

from lineage.core.model.errors import TooManyError
from lineage.core.model.keys import ELEMENT_KINDS, KINDS, NAME_KINDS
from lineage.deliver.http.callers import Caller
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.answer_formats import as_table
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.cursors import after_of, continued, limit_of, whole_number_of, with_cursor
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.parameters import (
    AFTER,
    EVERYTHING,
    FEWER,
    FINDING,
    FINDINGS,
    FRAMEWORK,
    FROM,
    KNOWN_AT,
    NAMED_BY,
    ONE,
    PAGES,
    REVOCATION,
    TEXT,
    TIMES,
    TO,
)
from lineage.serve.http.core.query import ParameterError, Query, kind_and_id, usable_id
from lineage.serve.http.core.question import Question
from lineage.serve.queries.activity.uses import uses as uses_of
from lineage.serve.queries.findings.findings import SUBJECT_KINDS, FindingFilter
from lineage.serve.queries.findings.findings import findings as findings_of
from lineage.serve.queries.findings.one_finding import finding as finding_of
from lineage.serve.queries.findings.posture import posture as posture_of
from lineage.serve.queries.history.diff import diff as diff_of
from lineage.serve.queries.history.timeline import timeline as timeline_of
from lineage.serve.queries.inventory.search import LOOKED_AT
from lineage.serve.queries.inventory.search import search as search_of
from lineage.serve.queries.lists.list_pages import OVER_HTTP
from lineage.serve.queries.records import quarantine_and_conflicts
from lineage.serve.queries.revocations import revocations


def search(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Find names by the words in them."""
    text = query.the("q")
    if len(text) > _LONGEST_TEXT:
        raise ParameterError("q", f"has {len(text):,} characters; {_LONGEST_TEXT} are enough")
    if not text.strip():
        raise ParameterError("q", "holds no word: give a part of an id, a name or a tool")
    return continued(
        site, "search", query, lambda after, limit: search_of(
            site.service, text, at=query.instant("at"), known_at=query.known_at, after=after, limit=limit,
            looked_at=LOOKED_AT,
        )
    )  # fmt: skip


def uses(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List where a token was used."""
    kind, id_ = _one(query, ELEMENT_KINDS)

    def ask(after: str | None, limit: int) -> Document:
        found = uses_of(
            site.service, kind, id_, at=query.at, known_at=query.known_at, after=after, limit=limit, budget=_LISTED
        )
        return _found(found, query)

    return continued(site, "uses", query, ask)


def timeline(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List every fact that mentions a thing."""
    kind, id_ = _one(query)

    def ask(after: str | None, limit: int) -> Document:
        found = timeline_of(site.service, kind, id_, known_at=query.known_at, after=after, limit=limit, budget=_LISTED)
        return _found(found, query)

    return continued(site, "timeline", query, ask)


def diff(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List what changed its state between two instants."""
    kind, id_ = _one(query, ELEMENT_KINDS | NAME_KINDS)
    start, end = query.instant("from"), query.instant("to")
    assert start is not None  # noqa: S101 (both are required)
    assert end is not None  # noqa: S101

    def ask(after: str | None, limit: int) -> Document:
        found = diff_of(
            site.service, kind, id_, start=start, end=end, known_at=query.known_at, after=after, limit=limit
        )
        return _found(found, query)

    return continued(site, "diff", query, ask)


def finding_filter_of(query: Query) -> FindingFilter:
    """Return which findings a query asks for."""
    of = query.text("of")
    return FindingFilter(
        None if of is None else ":".join(kind_and_id(of, kinds=SUBJECT_KINDS)),
        tuple(query.all("kind")),
        tuple(query.all("severity")),
        tuple(query.all("status")),
        query.instant("since"),
        query.flag("all", default=False),
    )


def findings(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List what is wrong, worst first."""
    fresh = query.flag("fresh", default=False)
    try:
        found = findings_of(
            site.service,
            at=query.at,
            known_at=query.known_at,
            filters=finding_filter_of(query),
            after=after_of("findings", query),
            limit=limit_of(site, query),
            fresh=fresh,
        )
    except TooManyError as fault:
        raise (TooManyError(f"{fault}; without 'fresh' an index answers if one is kept") if fresh else fault) from fault
    return with_cursor("findings", found)


def finding(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Return one finding, with its evidence and what it is connected with."""
    id_ = usable_id(query.the("id"), parameter="id")
    document = finding_of(site.service, id_, at=query.at, known_at=query.known_at)
    if document is None:
        raise NotFoundError(id_, "there is no such finding at this time: a later fact may have resolved it")
    return document


def posture(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Return every check with its outcome."""
    framework = query.text("framework")
    return posture_of(site.service, at=query.at, known_at=query.known_at, framework=framework)


def quarantine(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List the records that could not be read."""
    found = quarantine_and_conflicts.quarantine(
        site.service,
        after=whole_number_of("quarantine", query) or 0,
        limit=limit_of(site, query),
        everything=query.flag("all", default=False),
    )
    return with_cursor("quarantine", found)


def conflicts(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List the identities under which different contents were sent."""
    return continued(
        site,
        "conflicts",
        query,
        lambda after, limit: quarantine_and_conflicts.conflicts(site.service, after=after, limit=limit),
    )


def board(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List all revocations, latest first, each with its verdict."""
    found = revocations.revocations(
        site.service,
        at=query.at,
        known_at=query.known_at,
        after=after_of("revocations", query),
        limit=limit_of(site, query, most=revocations.PAGE),
    )
    return with_cursor("revocations", found)


def revocation(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Return one revocation, and whether it is enforced."""
    id_ = usable_id(query.the("id"), parameter="id")
    document = revocations.revocation(site.service, id_, at=query.at, known_at=query.known_at)
    if document is None:
        raise NotFoundError(id_)
    return document


_LONGEST_TEXT: Final = 512
_LISTED: Final = OVER_HTTP._replace(counted=2_000)


def _one(query: Query, kinds: Collection[str] = KINDS) -> tuple[str, str]:
    return kind_and_id(query.the("of"), kinds=kinds)


def _found(document: Document | None, query: Query) -> Document:
    if document is None:
        raise NotFoundError(query.the("of"))
    return document


AROUND: Final = (
    as_table(
        Question(
            path="/search",
            ask=search,
            parameters=(TEXT, *NAMED_BY, *PAGES),
            title="Ids, names, tools, operations and resources that contain every word of a text",
            answer="Search",
            about=("q",),
        ),
        "search",
    ),
    as_table(
        Question(
            path="/timeline",
            ask=timeline,
            parameters=(ONE, KNOWN_AT, *PAGES),
            title="Every fact that mentions something, earliest first",
            answer="Timeline",
        ),
        "timeline",
    ),
    as_table(
        Question(
            path="/diff",
            ask=diff,
            parameters=(ONE, FROM, TO, KNOWN_AT, *PAGES),
            title="What changed its state between two instants",
            answer="Diff",
        ),
        "diff",
    ),
    as_table(
        Question(
            path="/uses",
            ask=uses,
            parameters=(ONE, *TIMES, *PAGES),
            title="Where a token was used, by whom and when",
            answer="Uses",
        ),
        "uses",
    ),
    as_table(
        Question(
            path="/findings",
            ask=findings,
            parameters=(*TIMES, *FINDINGS, *PAGES),
            title="What is wrong, worst first",
            answer="Findings",
        ),
        "findings",
    ),
    Question(
        path="/findings/{id}",
        ask=finding,
        parameters=(FINDING, *TIMES),
        title="One finding: why, the evidence in time order, what it is connected with, and who judged it",
        answer="FindingDetails",
        about=("id",),
    ),
    Question(
        path="/posture",
        ask=posture,
        parameters=(*TIMES, FRAMEWORK),
        title="Every check with its outcome: pass, fail, suppressed, or not evaluated and why",
        answer="Posture",
        about=(),
    ),
    as_table(
        Question(
            path="/quarantine",
            ask=quarantine,
            parameters=(EVERYTHING, *PAGES),
            title="Records that could not be read",
            answer="Quarantine",
        ),
        "quarantine",
    ),
    as_table(
        Question(
            path="/conflicts",
            ask=conflicts,
            parameters=PAGES,
            title="Identities under which different contents were sent",
            answer="Conflicts",
        ),
        "conflicts",
    ),
    as_table(
        Question(
            path="/revocations",
            ask=board,
            parameters=(*TIMES, AFTER, FEWER),
            title="All revocations, latest first, each with its verdict",
            answer="RevocationBoard",
        ),
        "revocations",
    ),
    Question(
        path="/revocations/{id:path}",
        ask=revocation,
        parameters=(REVOCATION, *TIMES),
        title="One revocation, and whether it is enforced",
        answer="Revocation",
        about=("id",),
    ),
)

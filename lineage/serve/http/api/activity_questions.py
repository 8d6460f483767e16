"""Lookups and the board of revocations: the questions besides the main four, as plain functions."""

from collections.abc import Callable, Collection
from typing import Final

from lineage.core.model.errors import RefusedError
from lineage.core.model.keys import ELEMENT_KINDS, KINDS, NAME_KINDS
from lineage.deliver.http.callers import Caller
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.cursors import after_of, cursor, limit_of, one_page, whole_number_of
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
    ONE,
    PAGES,
    REVOCATION,
    TEXT,
    TIMES,
    TO,
)
from lineage.serve.http.core.query import ParameterError, Query, kind_and_id, usable_id
from lineage.serve.http.core.question import Question
from lineage.serve.queries import activity, activity_pages, revocations
from lineage.serve.queries.diff import diff as diff_of
from lineage.serve.queries.findings import Wanted
from lineage.serve.queries.findings import findings as findings_of
from lineage.serve.queries.findings import posture as posture_of
from lineage.serve.queries.one_finding import finding as finding_of
from lineage.serve.queries.search import search as search_of


def search(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Search ids by substring."""
    text = query.the("q")
    if len(text) > _LONGEST_TEXT:
        raise ParameterError("q", f"has {len(text):,} characters; {_LONGEST_TEXT} are enough")
    if not text.strip():
        raise ParameterError("q", "holds no word: give a part of an id, a name or a tool")
    found = search_of(site.service, text, start=after_of("search", query), limit=limit_of(site, query))
    return _with_cursor("search", found)


def uses(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List where a token was used."""
    return _page_of(site, "uses", query, activity.uses, activity_pages.uses, ELEMENT_KINDS)


def timeline(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List every fact that mentions a thing."""
    return _page_of(site, "timeline", query, activity.timeline, activity_pages.timeline)


def diff(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List what changed its state between two instants."""
    kind, id_ = _one(query, ELEMENT_KINDS | NAME_KINDS)
    start, end = query.instant("from"), query.instant("to")
    assert start is not None  # noqa: S101 (both are required)
    assert end is not None  # noqa: S101
    document = diff_of(site.service, kind, id_, start=start, end=end, known_at=query.known_at)
    return one_page(site, "diff", query, _found(document, query))


def wanted_of(query: Query) -> Wanted:
    """Which findings a query asks for."""
    return Wanted(
        query.text("of"),
        tuple(query.all("kind")),
        tuple(query.all("severity")),
        tuple(query.all("status")),
        query.instant("since"),
        query.flag("all", default=False),
    )


def findings(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List what is wrong, the worst first."""
    found = findings_of(
        site.service,
        at=query.at,
        known_at=query.known_at,
        wanted=wanted_of(query),
        after=after_of("findings", query),
        limit=limit_of(site, query),
    )
    return _with_cursor("findings", found)


def finding(site: AppContext, _caller: Caller, query: Query) -> Document:
    """One finding, with its evidence and what it is connected with."""
    id_ = usable_id(query.the("id"), parameter="id")
    document = finding_of(site.service, id_, at=query.at, known_at=query.known_at)
    if document is None:
        raise NotFoundError(id_, "there is no such finding at this moment: a later fact may have resolved it")
    return document


def posture(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Every check with its outcome."""
    framework = query.text("framework")
    return posture_of(site.service, at=query.at, known_at=query.known_at, framework=framework)


def quarantine(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List the records that could not be read."""
    found = activity.quarantine(
        site.service,
        after=whole_number_of("quarantine", query) or 0,
        limit=limit_of(site, query),
        everything=query.flag("all", default=False),
    )
    return _with_cursor("quarantine", found)


def conflicts(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List the identities under which different contents were sent."""
    return one_page(site, "conflicts", query, activity.conflicts(site.service))


def board(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List all orders, latest first, each with its verdict."""
    found = revocations.revocations(
        site.service,
        at=query.at,
        known_at=query.known_at,
        after=after_of("revocations", query),
        limit=limit_of(site, query, most=revocations.PAGE),
    )
    return _with_cursor("revocations", found)


def revocation(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Return the orders of one id, and whether it is complete."""
    id_ = usable_id(query.the("id"), parameter="id")
    document = revocations.revocation(site.service, id_, at=query.at, known_at=query.known_at)
    if document is None:
        raise NotFoundError(id_)
    return document


_LONGEST_TEXT: Final = 512
_IN_THE_LOG: Final = "log:"  # the prefix of the cursors of long lists


def _page_of(
    site: AppContext,
    question: str,
    query: Query,
    whole: Callable[..., Document | None],
    by_page: Callable[..., Document | None],
    kinds: Collection[str] = KINDS,
) -> Document:
    """Return a page of a list: cut from the whole list, or read by itself if very many facts mention the thing."""
    kind, id_ = _one(query, kinds)
    after = after_of(question, query)
    goes_on = after is not None and after.startswith(_IN_THE_LOG)
    if not goes_on and not activity_pages.is_long(site.service, kind, id_):
        return one_page(site, question, query, _found(whole(site.service, kind, id_, known_at=query.known_at), query))
    if after is not None and not goes_on:
        raise ParameterError("after", "belongs to a list that has become very long since; start again without it")
    page = activity_pages.Page(limit_of(site, query), None if after is None else _places(after))
    document = _found(by_page(site.service, kind, id_, page, known_at=query.known_at), query)
    following = document["next"]
    return _with_cursor(question, {**document, "next": following and f"{_IN_THE_LOG}{following}"})


def _places(after: str) -> activity_pages.LogPlaces:
    try:
        return activity_pages.places_of(after.removeprefix(_IN_THE_LOG))
    except RefusedError as fault:
        raise ParameterError("after", str(fault)) from fault


def _one(query: Query, kinds: Collection[str] = KINDS) -> tuple[str, str]:
    return kind_and_id(query.the("of"), kinds=kinds)


def _found(document: Document | None, query: Query) -> Document:
    if document is None:
        raise NotFoundError(query.the("of"))
    return document


def _with_cursor(question: str, document: Document) -> Document:
    following = document["next"]
    return {**document, "next": None if following is None else cursor(question, following)}


AROUND: Final = (
    Question(
        path="/search",
        ask=search,
        parameters=(TEXT, *PAGES),
        title="What contains every word of a text: ids, names, tools, operations, resources",
        answer="Search",
        about=("q",),
    ),
    Question(
        path="/timeline",
        ask=timeline,
        parameters=(ONE, KNOWN_AT, *PAGES),
        title="Every fact that mentions something, the earliest first",
        answer="Timeline",
    ),
    Question(
        path="/diff",
        ask=diff,
        parameters=(ONE, FROM, TO, KNOWN_AT, *PAGES),
        title="What changed its state between two instants",
        answer="Diff",
    ),
    Question(
        path="/uses",
        ask=uses,
        parameters=(ONE, KNOWN_AT, *PAGES),
        title="Where a token was used, by whom and when",
        answer="Uses",
    ),
    Question(
        path="/findings",
        ask=findings,
        parameters=(*TIMES, *FINDINGS, *PAGES),
        title="What is wrong, the worst first",
        answer="Findings",
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
    Question(
        path="/quarantine",
        ask=quarantine,
        parameters=(EVERYTHING, *PAGES),
        title="Records that could not be read",
        answer="Quarantine",
    ),
    Question(
        path="/conflicts",
        ask=conflicts,
        parameters=PAGES,
        title="Identities under which different contents were sent",
        answer="Conflicts",
    ),
    Question(
        path="/revocations",
        ask=board,
        parameters=(*TIMES, AFTER, FEWER),
        title="All orders, the latest first, each with its verdict",
        answer="Revocations",
    ),
    Question(
        path="/revocations/{id:path}",
        ask=revocation,
        parameters=(REVOCATION, *TIMES),
        title="The orders of one id, and whether it is over",
        answer="Revocation",
        about=("id",),
    ),
)

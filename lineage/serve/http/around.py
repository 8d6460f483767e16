"""Looking around, and the board of revocations: the questions beside the four, as plain functions."""

from collections.abc import Collection
from typing import Final

from lineage.core.elements import ELEMENT_KINDS, NAME_KINDS
from lineage.deliver.callers import Caller
from lineage.serve import looking, revocations
from lineage.serve.documents import Document
from lineage.serve.http.asking import Question
from lineage.serve.http.cursors import after_of, cursor, cut, limit_of, one_page, whole_number, whole_number_of
from lineage.serve.http.faults import NotFoundError
from lineage.serve.http.parameters import (
    AT,
    EVERYTHING,
    FROM,
    KNOWN_AT,
    ONE,
    PAGES,
    REVOCATION,
    TEXT,
    TIMES,
    TO,
)
from lineage.serve.http.query import ParameterError, Query, kind_and_id, usable_id
from lineage.serve.http.site import Site

# Whatever a fact can mention.
FACTS: Final = 3_000  # that are looked at for findings before an answer says that it goes on
KINDS: Final = (*sorted(ELEMENT_KINDS | NAME_KINDS), "action", "decision", "revocation", "receiver")


def search(site: Site, _caller: Caller, query: Query) -> Document:
    """The ids that contain a text."""
    text = query.the("q")
    if len(text) > _LONGEST_TEXT:
        raise ParameterError("q", f"has {len(text):,} characters; {_LONGEST_TEXT} are enough")
    found = looking.search(site.service, text, start=after_of("search", query), limit=limit_of(site, query))
    return _with_cursor("search", found)


def actions(site: Site, _caller: Caller, query: Query) -> Document:
    """The actions that mention something, the latest first."""
    kind, id_ = _one(query)
    document = looking.actions(site.service, kind, id_, known_at=query.known_at)
    return one_page(site, "actions", query, _found(document, query))


def uses(site: Site, _caller: Caller, query: Query) -> Document:
    """Where a token was used."""
    kind, id_ = _one(query, ELEMENT_KINDS)
    document = looking.uses(site.service, kind, id_, known_at=query.known_at)
    return one_page(site, "uses", query, _found(document, query))


def timeline(site: Site, _caller: Caller, query: Query) -> Document:
    """Every fact that mentions a thing."""
    kind, id_ = _one(query)
    document = looking.timeline(site.service, kind, id_, known_at=query.known_at)
    return one_page(site, "timeline", query, _found(document, query))


def diff(site: Site, _caller: Caller, query: Query) -> Document:
    """What changed its state between two instants."""
    kind, id_ = _one(query, ELEMENT_KINDS | NAME_KINDS)
    start, end = query.instant("from"), query.instant("to")
    assert start is not None  # noqa: S101 (both are required)
    assert end is not None  # noqa: S101
    document = looking.diff(site.service, kind, id_, start=start, end=end, known_at=query.known_at)
    return one_page(site, "diff", query, _found(document, query))


def findings(site: Site, _caller: Caller, query: Query) -> Document:
    """What does not fit together: some of the findings of a page of facts, then the rest of them, then the next."""
    facts, _, within = (after_of("findings", query) or "").partition("|")
    after = whole_number(facts) if facts else -1
    limit = limit_of(site, query)
    found = looking.findings(site.service, at=query.at, after=after, limit=limit, most_facts=FACTS)
    page, following = cut(found["items"], within or None, limit)
    if following is None:
        return _with_cursor("findings", {**found, "items": page})
    following = cursor("findings", f"{facts}|{following}")
    return {**found, "items": page, "complete": False, "next": following}


def quarantine(site: Site, _caller: Caller, query: Query) -> Document:
    """Records that could not be read."""
    found = looking.quarantine(
        site.service,
        after=whole_number_of("quarantine", query) or 0,
        limit=limit_of(site, query),
        everything=query.flag("all", default=False),
    )
    return _with_cursor("quarantine", found)


def conflicts(site: Site, _caller: Caller, query: Query) -> Document:
    """Identities under which different contents were sent."""
    return one_page(site, "conflicts", query, looking.conflicts(site.service))


def board(site: Site, _caller: Caller, query: Query) -> Document:
    """All orders, the latest first, each with its verdict."""
    found = revocations.revocations(
        site.service,
        at=query.at,
        known_at=query.known_at,
        after=after_of("revocations", query),
        limit=min(limit_of(site, query), revocations.PAGE),
    )
    return _with_cursor("revocations", found)


def revocation(site: Site, _caller: Caller, query: Query) -> Document:
    """The orders of one id, and whether it is over."""
    id_ = usable_id(query.the("id"), parameter="id")
    document = revocations.revocation(site.service, id_, at=query.at, known_at=query.known_at)
    if document is None:
        raise NotFoundError(id_)
    return document


_LONGEST_TEXT: Final = 512


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
        title="The ids that contain a text",
        answer="Search",
        about=("q",),
    ),
    Question(
        path="/actions",
        ask=actions,
        parameters=(ONE, KNOWN_AT, *PAGES),
        title="The actions that mention something, the latest first",
        answer="Actions",
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
        parameters=(AT, *PAGES),
        title="What does not fit together",
        answer="Findings",
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
        parameters=(*TIMES, *PAGES),
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

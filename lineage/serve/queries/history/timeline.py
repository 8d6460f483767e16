"""Timelines: every fact that mentions a thing, earliest first."""

from collections.abc import Collection

from lineage.core.authority.elements import in_order
from lineage.core.model.events import Fact, document
from lineage.core.model.keys import key_of
from lineage.core.model.references import about
from lineage.core.model.times import Instant, format_instant
from lineage.serve.documents.core_documents import Document, listing
from lineage.serve.queries.lists.list_cursors import cursor_at, digest_of, place_of
from lineage.serve.queries.lists.list_pages import WHOLE_LIST, Budget, filled
from lineage.serve.queries.service import Service
from lineage.store.acts_in_time import EVERY_SORT, Candidate, ListFilter, ListPosition
from lineage.store.reading.list_items import candidates_in_order
from lineage.store.reading.reader import Reader

_Placed = list[tuple[Fact, ListPosition]]


def timeline(
    service: Service,
    kind: str,
    id_: str,
    *,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int | None = None,
    budget: Budget = WHOLE_LIST,
) -> Document | None:
    """List every fact that mentions a thing, earliest first; None if no fact does.

    Args:
        service: The service to query.
        kind, id_: The thing.
        known_at: Only facts recorded by then; None for all.
        after: The ``next`` of the previous page.
        limit: The most items of a page; None for all.
        budget: How much is examined.
    """
    as_of = service.as_of()  # read first, so it never claims more than was loaded
    key = key_of(kind, id_)
    digest = digest_of({"timeline": key})
    start = None if after is None else place_of(after, digest)
    with service.reader(known_at=known_at) as reader:
        page, following, total = page_of(reader, key, start, limit, budget)
    if total == 0 or not (page or following or start):
        return None
    items = [mention_document(fact) for fact in page]
    listed = listing(items, total=total, following=None if following is None else cursor_at(following, digest))
    return {"kind": kind, "id": id_, **listed, "as_of": as_of}


def page_of(
    reader: Reader, key: str, start: ListPosition | None, limit: int | None, budget: Budget
) -> tuple[list[Fact], ListPosition | None, int | None]:
    """Read a page of the facts that mention a key, earliest first.

    On one page, facts of the same time are in the order in which facts combine (clause 3.4), whatever the order of the
    log. On several pages they are in the order of the log, in which each page can be found again.

    Returns:
        The facts, the place after which the next page starts, and the number of all facts; both None if there is none
        or they were not counted.
    """
    numbers = reader.numbers_mentioning(key, budget.gathered)
    if numbers is not None and len(numbers) <= budget.counted:
        everything = _placed(reader, key, numbers)
        rest = [one for one in everything if start is None or one[1] > start]
        page = rest[:limit]
        following = page[-1][1] if len(page) < len(rest) else None
        return _facts(page, start, following), following, len(everything)
    assert limit is not None  # noqa: S101 (only a whole list has no limit)
    candidates = candidates_in_order(
        reader, ListFilter(EVERY_SORT, {}, after=start, numbers=numbers, earliest_first=True)
    )

    def fitting(part: list[Candidate]) -> _Placed:
        return _placed(reader, key, [one.place.n for one in part])

    page, following = filled(candidates, fitting, limit, budget.looked_at)
    return _facts(page, start, following), following, None


def _facts(page: _Placed, start: ListPosition | None, following: ListPosition | None) -> list[Fact]:
    facts = [fact for fact, _ in page]
    return list(in_order(facts)) if start is None and following is None else facts


def _placed(reader: Reader, key: str, numbers: Collection[int]) -> _Placed:
    """Return the facts among some that mention a key, in order."""
    found = [(fact, ListPosition(fact.event.occurred_at, n)) for n, fact in reader.mentioning(key, numbers).items()]
    return sorted(found, key=lambda one: one[1])


def mention_document(fact: Fact) -> Document:
    """Convert a fact to an item of a timeline."""
    return {
        "occurred_at": format_instant(fact.event.occurred_at),
        "recorded_at": format_instant(fact.recorded_at),
        "type": fact.event.type,
        "of": about(fact.event),
        "event": document(fact.event),
    }


def is_mentioned_more_than(service: Service, kind: str, id_: str, most: int) -> bool:
    """Whether more than ``most`` facts mention something, so that listing them takes long."""
    with service.store.reader(trust=None) as reader:  # whether each fact is authorised is not checked
        return reader.is_mentioned_more_than(key_of(kind, id_), most)

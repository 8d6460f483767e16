"""Pages of timelines, actions and uses for things that very many facts mention, in log order.

No list is read or counted as a whole: ``total`` is null. A page that has examined LOOKED_AT facts, or checked
LOOKED_UP of them for being known, ends there and can be continued, whether it found anything or not. Lists of things
with fewer facts are in ``activity``.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, NamedTuple, TypeVar

from lineage.core.authority.elements import stated
from lineage.core.authority.world import World
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import ActionPerformed, DecisionMade, Fact
from lineage.core.model.keys import key_of
from lineage.core.model.records import TOPICS
from lineage.core.model.references import Role
from lineage.core.model.times import Instant
from lineage.serve.documents.core_documents import Document, listing
from lineage.serve.queries import activity as looking
from lineage.serve.queries.closure import confirmation_of
from lineage.serve.queries.service import Service
from lineage.store.reading.log_order import LOOKED_UP, Places, behind
from lineage.store.reading.reader import Reader

MANY: Final = 2_000  # above this many facts a list is read page by page
LOOKED_AT: Final = 3_000  # facts examined for one page
_ORDER: Final = {"order": "recorded_at"}
_LONGEST: Final = 8_192  # characters of a cursor; enough for some hundred partitions
_T = TypeVar("_T")
_Numbered = list[tuple[int, Fact]]

LogPlaces = Places  # the next offset of each partition at which a list continues


class Page(NamedTuple):
    """Which page of a list.

    Attributes:
        limit: The number of items.
        after: The position decoded by ``places_of`` from the previous page's ``next``; None for the first page.
        looked_at: The most facts to examine.
        at_first: The number of facts read first, which usually suffices.
        looked_up: The most facts the database checks for being known.
    """

    limit: int
    after: Places | None = None
    looked_at: int = LOOKED_AT
    at_first: int = 250
    looked_up: int = LOOKED_UP


def is_long(service: Service, kind: str, id_: str) -> bool:
    """Whether very many facts mention a thing."""
    with service.reader() as reader:
        return reader.is_mentioned_more_than(key_of(kind, id_), MANY)


def timeline(service: Service, kind: str, id_: str, page: Page, *, known_at: Instant | None = None) -> Document | None:
    """List the facts that mention a thing, earliest recorded first; None if no fact does."""
    with service.reader(known_at=known_at) as reader:
        facts, following = _gather(reader, key_of(kind, id_), page, lambda _: lambda _, fact: [fact])
    items = [looking.mention_document(fact) for fact in facts]
    named = items or following is not None or page.after is not None
    return _answer(service, kind, id_, items, following) if named else None


def uses(service: Service, kind: str, id_: str, page: Page, *, known_at: Instant | None = None) -> Document | None:
    """List the uses of a token, earliest recorded first; None if no fact names it.

    ``first``, ``last``, ``places`` and ``used_after`` describe the items of the page, and ``whole`` is false. All
    actions of one decision are on the same page, which may therefore exceed its limit.
    """
    looking.refuse_unused(kind)
    key = key_of(kind, id_)
    with service.reader(known_at=known_at) as reader:
        found, following = _gather(reader, key, page, lambda part: _used_by(reader, key, part), of_acts=True)
        world = reader.world()
        reader.load_elements(world, [key])
        reader.load_actions(world, found)
        confirmed = confirmation_of(reader, world, key, service.clock(), successes=False)
        named = bool(found) or following is not None or _is_named(reader, key)
    items = looking.use_documents(world, key, found)
    findings = looking.findings_of(service, kind, id_, known_at) if named else []
    more = {**looking.use_summary(items, confirmed), "findings": findings, "whole": False}
    return _answer(service, kind, id_, items, following, more) if named else None


def _used_by(reader: Reader, key: str, part: _Numbered) -> Callable[[int, Fact], list[str]]:
    """Return a function from a fact to its uses of an element: each where it, or its decision, first mentions it."""
    decided = {f"decision:{body.decision}" for _, fact in part if isinstance(body := fact.event.body, DecisionMade)}
    by_decision: dict[str, list[str]] = {}
    for fact in reader.facts_referring(decided, Role.USES):
        if isinstance(body := fact.event.body, ActionPerformed) and body.decision is not None:
            by_decision.setdefault(f"decision:{body.decision}", []).append(body.action)
    candidates = {*_actions(part), *(one for some in by_decision.values() for one in some)}
    world = reader.world()
    reader.load_actions(world, candidates)
    decisions = {one: _decision(world, one) for one in candidates}
    first = _first_numbers(
        reader,
        key,
        {*(f"action:{one}" for one in candidates), *(decision for decision in decisions.values() if decision)},
    )

    def stands_at(action: str) -> int | None:
        own, decision = first.get(f"action:{action}"), decisions[action]
        of_decision = None if decision is None else first.get(decision)
        return min((number for number in (own, of_decision) if number is not None), default=None)

    def used(number: int, fact: Fact) -> list[str]:
        body = fact.event.body
        ones = by_decision.get(f"decision:{body.decision}", ()) if isinstance(body, DecisionMade) else ()
        return [
            one
            for one in sorted({*_actions([(number, fact)]), *ones})
            if stands_at(one) == number and key in world.authorities_named(one)
        ]

    return used


def _decision(world: World, action: str) -> str | None:
    said = stated(world.actions.get(action), "decision")
    return None if said is None else f"decision:{said.value}"


def _actions(part: Iterable[tuple[int, Fact]]) -> list[str]:
    return [body.action for _, fact in part if isinstance(body := fact.event.body, ActionPerformed)]


def _first_numbers(reader: Reader, key: str, things: Collection[str]) -> dict[str, int]:
    """Map each thing to the number of its first fact that mentions another key."""
    told = reader.numbered_about(things, mentioning=key)
    return {thing: min(numbers) for thing, numbers in told.items()}


def _gather(
    reader: Reader,
    key: str,
    page: Page,
    take: Callable[[_Numbered], Callable[[int, Fact], list[_T]]],
    *,
    latest_first: bool = False,
    of_acts: bool = False,
) -> tuple[list[_T], str | None]:
    """Collect the items of a page, and where the next one begins.

    Args:
        reader: A snapshot of the store.
        key: The key that is mentioned.
        page: Which page.
        take: Examines several facts at once, and returns a function from a fact to its items.
        latest_first: Whether the latest recorded come first.
        of_acts: Whether only actions and decisions are needed.
    """
    places: Places = page.after or {}
    items: list[_T] = []
    looked_at, more = 0, True
    while more and looked_at < page.looked_at and len(items) < page.limit:
        most = page.looked_at - looked_at if looked_at else page.at_first
        stretch = reader.in_log_order(
            key, places, most=most, latest_first=latest_first, of_acts=of_acts, looked_up=page.looked_up
        )
        part, more = list(stretch.facts), stretch.more
        items_at = take([(number, fact) for number, fact in part if fact is not None])
        for place, (number, fact) in enumerate(part, start=1):
            items += items_at(number, fact) if fact is not None else []
            places = behind(places, number, latest_first=latest_first)
            if len(items) >= page.limit and place < len(part):
                return items, said_of(places)
        places = places if stretch.end is None else stretch.end
        looked_at += len(part)
        if stretch.is_spent:
            break
    return items, said_of(places) if more else None


def _is_named(reader: Reader, key: str) -> bool:
    """Whether a fact mentions a thing; assumed if none of the first LOOKED_AT does."""
    facts, following = _gather(reader, key, Page(1), lambda _: lambda _, fact: [fact])
    return bool(facts) or following is not None


def _answer(
    service: Service,
    kind: str,
    id_: str,
    items: list[Document],
    following: str | None,
    more: Document | None = None,
) -> Document:
    listed = {**listing(items, total=None, following=following), **_ORDER}
    return {"kind": kind, "id": id_, **listed, **(more or {}), "as_of": service.as_of()}


# A cursor as text: topic, partition and offset of each partition


def said_of(places: Places) -> str:
    """Encode a cursor.

    Examples:
        >>> said_of({("decisions", 3): 700, ("orders", 0): 4})
        '0.3.2bc,1.0.4'
    """
    return ",".join(f"{TOPICS.index(topic)}.{part:x}.{offset:x}" for (topic, part), offset in sorted(places.items()))


def places_of(said: str) -> LogPlaces:
    """Decode a cursor made by ``said_of``.

    Raises:
        RefusedError: It is not one.
    """
    try:
        return dict(_places(said[:_LONGEST]))
    except ValueError as error:
        raise RefusedError("is not the `next` of this list; start again without it") from error


def _places(said: str) -> Iterator[tuple[tuple[str, int], int]]:
    for one in said.split(","):
        topic, partition, offset = (int(number, 16) for number in one.split("."))
        if not 0 <= topic < len(TOPICS) or not 0 <= partition < 1 << 20 or not 0 <= offset < 1 << 40:
            raise ValueError(one)
        yield (TOPICS[topic], partition), offset

"""Timelines, actions and uses of what very many facts mention: page by page, in the order in which the log took them.

No list is read whole here, and none is counted: ``total`` is null. A page that has looked at LOOKED_AT facts, or at
LOOKED_UP whether they were known, ends there and goes on behind them, whether it found anything or not. Lists of what
fewer facts mention are in ``looking``.
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

MANY: Final = 2_000  # facts that mention something; of more no list is read whole
LOOKED_AT: Final = 3_000  # facts in which the items of one page are looked for
_ORDER: Final = {"order": "recorded_at"}
_LONGEST: Final = 8_192  # characters of where to go on; some hundred partitions
_T = TypeVar("_T")
_Numbered = list[tuple[int, Fact]]

LogPlaces = Places  # the next offset of each partition from which a list goes on


class Page(NamedTuple):
    """Which page of a list.

    Attributes:
        limit: How many items.
        after: What ``places_of`` makes of the ``next`` of the page before; None: it is the first.
        looked_at: Facts in which its items are looked for.
        at_first: Facts that are read at first, since they will mostly do.
        looked_up: Facts of which the database looks up whether they were known.
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
    """The facts that mention a thing, the earliest recorded first; None if no fact does."""
    with service.reader(known_at=known_at) as reader:
        facts, following = _gather(reader, key_of(kind, id_), page, lambda _: lambda _, fact: [fact])
    items = [looking.mention_document(fact) for fact in facts]
    named = items or following is not None or page.after is not None
    return _answer(service, kind, id_, items, following) if named else None


def uses(service: Service, kind: str, id_: str, page: Page, *, known_at: Instant | None = None) -> Document | None:
    """Where a token was used, the earliest recorded first; None if no fact names it.

    ``first``, ``last``, ``places`` and ``used_after`` are of the items of the page, and ``whole`` is false. The actions
    of one decision stand on one page, which may so hold more than its limit.
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
    """Which uses of an element stand where a fact stands: each where it, or its decision, first mentions it."""
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
    """Of some things the number of the first fact about each that mentions another."""
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
    """The items of a page, and where the next begins.

    Args:
        reader: One moment of the store.
        key: What is mentioned.
        page: Which page.
        take: Looks at some facts at once, and says then which items stand where each of them stands.
        latest_first: Whether what the log took last comes first.
        of_acts: Whether actions and decisions are enough.
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
    """Whether a fact mentions a thing; where the first LOOKED_AT do not, it is taken to be so."""
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


# Where to go on, as a text: topic, partition and offset of each partition


def said_of(places: Places) -> str:
    """Where to go on.

    Examples:
        >>> said_of({("decisions", 3): 700, ("orders", 0): 4})
        '0.3.2bc,1.0.4'
    """
    return ",".join(f"{TOPICS.index(topic)}.{part:x}.{offset:x}" for (topic, part), offset in sorted(places.items()))


def places_of(said: str) -> LogPlaces:
    """What ``said_of`` made a text of.

    Raises:
        RefusedError: It made no such text.
    """
    try:
        return dict(_places(said[:_LONGEST]))
    except ValueError as error:
        raise RefusedError("is not the `next` of this list; begin anew without it") from error


def _places(said: str) -> Iterator[tuple[tuple[str, int], int]]:
    for one in said.split(","):
        topic, partition, offset = (int(number, 16) for number in one.split("."))
        if not 0 <= topic < len(TOPICS) or not 0 <= partition < 1 << 20 or not 0 <= offset < 1 << 40:
            raise ValueError(one)
        yield (TOPICS[topic], partition), offset

"""Find the actions and elements of lists in the order of time, and load what is needed to show some of them."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet

from lineage.core.authority.world import World
from lineage.core.model.events import ActionPerformed, Fact
from lineage.core.model.keys import is_element
from lineage.core.model.references import about, mentions
from lineage.core.model.times import Instant
from lineage.store.acts_in_time import STATED, Acts, Candidate, ListFilter, ListPosition, value_hash
from lineage.store.database.dialects import chunks
from lineage.store.reading import statements
from lineage.store.reading.reader import Reader, fact_of


def load_chains(
    reader: Reader,
    world: World,
    actions: Collection[int],
    known: set[str],
    *,
    sieves: Collection[AbstractSet[int]] = (),
) -> dict[str, ListPosition]:
    """Load the evidence for some actions: the facts about them, their decisions and elements, and the parties.

    Orders are not loaded: no chain depends on one.

    Args:
        world: The world to which it is added; only this method adds to it.
        actions: Their hashes.
        known: The names whose parties are in the world already; the names that are loaded are added.
        sieves: Sets of hashes: an action that mentions neither a decision nor a key of each of them is left out.

    Returns:
        The actions with an authorised and known fact, each with its position in a list.
    """
    places: dict[str, ListPosition] = {}
    stated: defaultdict[str, list[Fact]] = defaultdict(list)
    for part in chunks(actions):
        for row in reader.connection.execute(reader.worded(statements.FACTS_ABOUT, len(part)), {"keys": part}):
            found = fact_of(row, reader.decode)
            body = found.event.body
            if isinstance(body, ActionPerformed) and reader.knows_mention(found, f"action:{body.action}"):
                stated[body.action].append(found)
                place = ListPosition(found.event.occurred_at, row.n)
                places[body.action] = min(place, places.get(body.action, place))
    for action, facts in stated.items():
        if sieves and not _may_pass(reader, facts, sieves):
            del places[action]
            continue
        for found in facts:
            world.add(found)
    elements, names = reader.named_by_activity(world, places)
    for found in reader.facts_above(element for element in elements if element not in world.graph):
        world.add(found)
    names = {name for name in (*names, *world.graph.names()) if name not in known}
    reader.load_parties(world, names)
    known |= names
    return places


def _may_pass(reader: Reader, facts: Iterable[Fact], sieves: Iterable[AbstractSet[int]]) -> bool:
    """Whether an action with these facts mentions a decision, which may name anything, or a key of each sieve."""
    keys = {f"{kind}:{id_}" for found in facts for _, kind, id_ in mentions(found.event)}
    if any(key.startswith("decision:") for key in keys):
        return True
    hashes = {reader.keys(key) for key in keys}
    return not any(sieve.isdisjoint(hashes) for sieve in sieves)


def load_held(reader: Reader, world: World, elements: Collection[int]) -> dict[str, ListPosition]:
    """Load what is needed to evaluate some elements, by their hashes.

    Returns:
        The elements that an authorised and known fact grants, each with its position in a list.
    """
    places: dict[str, ListPosition] = {}
    for part in chunks(elements):
        for row in reader.connection.execute(reader.worded(statements.FACTS_ABOUT, len(part)), {"keys": part}):
            found = fact_of(row, reader.decode)
            key = about(found.event)
            if is_element(key) and reader.knows_mention(found, key):
                place = ListPosition(found.event.occurred_at, row.n)
                places[key] = min(place, places.get(key, place))
    reader.load_hashed(world, elements)
    return places


def candidates_in_order(reader: Reader, looked: ListFilter) -> Iterator[Candidate]:
    """Yield facts in chronological order. They are candidates: some may not count, or not at that position."""
    return Acts(reader.connection, reader.keys, reader.decode).in_order(looked)


def candidates_about(reader: Reader, looked: ListFilter) -> Iterator[Candidate]:
    """Yield the same for a filter with subjects, by reading every fact about them: for few, that is faster.

    What the facts state is not compared.
    """
    assert looked.about is not None  # noqa: S101 (only for a filter with subjects)
    found: list[Candidate] = []
    for part in chunks(looked.about):
        for row in reader.connection.execute(reader.worded(statements.FACTS_ABOUT, len(part)), {"keys": part}):
            event = reader.decode(row.value)
            found.append(Candidate(ListPosition(event.occurred_at, row.n), reader.keys(about(event))))
    first = -math.inf if looked.first_at is None else looked.first_at
    last = math.inf if looked.last_at is None else looked.last_at
    found = [one for one in found if first <= one.place.at <= last]
    if looked.after is not None:
        behind = looked.order(looked.after)
        found = [one for one in found if looked.order(one.place) > behind]
    yield from sorted(found, key=lambda one: looked.order(one.place))


def count_by_hour(reader: Reader, start: Instant, end: Instant) -> dict[Instant, int]:
    """Count the facts about actions in each hour that has any, between two instants, the second excluded."""
    return Acts(reader.connection, reader.keys, reader.decode).count_by_hour(start, end)


def hash_of(reader: Reader, kind: str, id_: str) -> int:
    """Return the hash of a key, or of a value that an action states."""
    return value_hash(reader.keys[kind], id_) if kind in STATED else reader.keys[kind][id_]


def hashes_of_party(reader: Reader, id_: str) -> set[int]:
    """Return the hashes of a principal and of all aliases of its party."""
    return reader.party({f"principal:{id_}"})

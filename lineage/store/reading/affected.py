"""Load the part of the graph whose states new facts or due orders may have changed.

``state_changes`` finds in this part what it would find in a graph of everything: the same affected elements, with the
same states. What has ended is read only where something still depends on it.
"""

from collections.abc import Collection, Iterable

from lineage.core.authority.targets import orders_hitting
from lineage.core.authority.world import World
from lineage.core.model.events import Fact, RevocationLifted, RevocationOrdered
from lineage.core.model.keys import is_element, key_of
from lineage.core.model.references import RefRole
from lineage.core.model.times import Instant
from lineage.core.revocation.state_changes import subjects_of
from lineage.store.database.dialects import chunks
from lineage.store.database.tables import span_of
from lineage.store.reading import statements
from lineage.store.reading.descendants import collect_hashes
from lineage.store.reading.reader import Reader


def load_affected(
    reader: Reader, facts: Iterable[Fact], revocations: Iterable[str], elements: Collection[str], at: Instant
) -> World:
    """Load what is needed to publish the state changes after some facts, and for some orders and elements.

    Args:
        reader: A snapshot of the store that contains the facts.
        facts: The new facts.
        revocations: The ids of orders that may have changed states by themselves.
        elements: Further elements to judge.
        at: Subtrees that had ended by then may be omitted.

    Cost:
        The elements, those granted by the facts, and everything that the orders reach and that is alive, each with all
        that it depends on; below a granted element only if an order hits it or something that it depends on.
    """
    world = reader.world()
    granted, ordered, principals = subjects_of(facts)
    _load_orders(reader, world, ordered.union(revocations))
    if principals:
        hashes = reader.party([key_of("principal", id_) for id_ in principals])
        on_parties = reader.facts(statements.FACTS_REFERRING, hashes, role=RefRole.TARGET)
        _load_orders(reader, world, subjects_of(on_parties).revocations)
    targets = {order.key for order in world.orders.all()}
    span = span_of(at)
    starts = {*reader.hashes(filter(is_element, targets)), *_naming(reader, world, targets, span)}
    judged = {*elements, *granted, *filter(is_element, targets)}
    reader.load_elements(world, judged)
    hit = orders_hitting(world, world.graph.above(*granted), lambda _: True)
    starts |= reader.hashes(world.graph.below(hit) & granted)
    if starts:
        loaded = {*judged, *world.graph, *world.graph.names()}
        below: set[int] = set()
        for part in chunks(starts):
            collect_hashes(reader, below, statements.KEYS_BELOW, {"keys": part, "span": span})
        reader.load_around(world, reader.facts_above_hashed(below), judged, loaded=loaded)
    return world


def _load_orders(reader: Reader, world: World, revocations: Iterable[str]) -> None:
    """Load the orders and the lifts of some ids, without their acknowledgements."""
    for found in reader.facts_about([f"revocation:{id_}" for id_ in revocations]):
        if isinstance(found.event.body, RevocationOrdered | RevocationLifted):
            world.add(found)


def _naming(reader: Reader, world: World, targets: Collection[str], span: int) -> set[int]:
    """Return the elements that name targets of orders or their aliases, without those below which nothing is alive."""
    names = {target for target in targets if not is_element(target)}
    principals = {name for name in names if name.startswith("principal:")}
    reader.load_parties(world, principals)
    found: set[int] = set()
    for part in chunks(reader.party(principals) | reader.hashes(names - principals)):
        collect_hashes(reader, found, statements.NAMING, {"keys": part, "span": span, "role": RefRole.NAMES})
    return found

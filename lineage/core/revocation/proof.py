"""Determine when it was known that an order ends an element: when the last part of the evidence was recorded. Pure."""

from collections.abc import Collection, Iterable, Iterator
from heapq import heapify, heappop, heappush

from lineage.core.authority.elements import Element, merge_facts
from lineage.core.authority.known_then import end_for
from lineage.core.authority.orders import Order
from lineage.core.authority.principals import Principals
from lineage.core.authority.targets import aliases
from lineage.core.authority.world import World
from lineage.core.model.events import DelegationGranted, Fact, TokenIssued
from lineage.core.model.keys import split_key
from lineage.core.model.references import dependencies_of, names_of
from lineage.core.model.times import NEVER, Instant


class Proof:
    """The times from which it was known that an order hits an element.

    Attributes:
        joined: The aliases of the order's target, each with when it was known to be one; empty if the order targets
            an element.
    """

    def __init__(self, world: World, order: Order) -> None:
        """Read the registrations of the order's target from a world that contains them."""
        self._world = world
        self._order = order
        self.joined: dict[str, Instant] = {}
        if not order.on_element:
            self.joined = {name: _same_party_at(world, order.key, name) for name in aliases(world, order.key)}

    def of_hit(self, key: str) -> Instant:
        """Return when the order, and all evidence that it hits the element, had been recorded."""
        ordered = self._order.fact.recorded_at
        if self._order.on_element:
            return ordered
        shown = (
            max(fact.recorded_at, self.joined[name])
            for fact in self._world.graph.facts.get(key)
            for name in names_of(_grant(fact))
            if name in self.joined
        )
        return max(ordered, min(shown))


def _same_party_at(world: World, one: str, other: str) -> Instant:
    """Return when two names were first known to be aliases: the last necessary registration of the earliest path."""
    if one == other:
        return 0
    known = Principals()
    ids = split_key(one)[1], split_key(other)[1]

    def joins(fact: Fact) -> bool:
        known.add(fact)
        return known.same(*ids)

    return next(fact.recorded_at for fact in _by_record(world.principals.facts_of(ids[0])) if joins(fact))


def _by_record(facts: Iterable[Fact]) -> list[Fact]:
    return sorted(facts, key=lambda fact: fact.recorded_at)


def linked_at(world: World, child: str, parent: str) -> Instant:
    """Return when the first fact was recorded by which an element depends on another."""
    facts = world.graph.facts.get(child)
    if len(facts) == 1:
        return facts[0].recorded_at
    return min(fact.recorded_at for fact in facts if any(above == parent for above, _ in dependencies_of(_grant(fact))))


def _grant(fact: Fact) -> TokenIssued | DelegationGranted:
    body = fact.event.body
    assert isinstance(body, TokenIssued | DelegationGranted)  # noqa: S101 (only grants stand in the graph)
    return body


def known_since(world: World, order: Order, within: Collection[str]) -> dict[str, Instant]:
    """Map each element that an order ends to when that was first known.

    The lifts of the order count as they are known now. If several paths lead to an element, the one known first
    counts, not the shortest, so that a later fact postpones nothing.

    Args:
        world: The elements, their transitive dependencies, and everything relevant about the order's target.
        order: The order.
        within: The elements and their transitive dependencies.

    Cost:
        Linear in ``within``.
    """
    waiting = list(_known_hits(world, order, within))
    heapify(waiting)
    killed: dict[str, Instant] = {}
    while waiting:
        known_at, key = heappop(waiting)
        if key in killed:
            continue
        killed[key] = known_at
        if order.body.cascade:
            for child in world.graph.children(key):
                if child in within and child not in killed:
                    heappush(waiting, (max(known_at, linked_at(world, child, key)), child))
    found = {}
    for key, known_at in killed.items():
        in_time_at = _in_time_at(world.graph.element(key), order)
        if in_time_at is not None:
            found[key] = max(known_at, in_time_at)
    return found


def _known_hits(world: World, order: Order, within: Collection[str]) -> Iterator[tuple[Instant, str]]:
    """Yield the elements that an order hits directly, each with when that was known."""
    if order.on_element:
        if order.key in within:
            yield order.fact.recorded_at, order.key
        return
    proof = Proof(world, order)
    for key in within:
        element = world.graph.element(key)
        if element is None or proof.joined.keys().isdisjoint(element.names):
            continue
        if element.issued_at < order.hits_issued_before:
            yield max(proof.of_hit(key), _early_enough_at(element, order.hits_issued_before)), key


def _early_enough_at(element: Element, issued_before: Instant) -> Instant:
    """Return when it was known that an element was issued before an instant."""
    if issued_before == NEVER:
        return 0
    facts = element.facts
    return min(fact.recorded_at for fact in facts if merge_facts(element.key, (fact,)).issued_at < issued_before)


def _in_time_at(element: Element | None, order: Order) -> Instant | None:
    """Return when it was known that an order took effect before the end of an element; None if it did not."""
    end = end_for(element, (order,))
    if order.effective_at >= end:
        return None
    if element is None or end == NEVER:
        return 0
    return min(
        fact.recorded_at
        for fact in element.facts
        if (stated := getattr(fact.event.body, "expires_at", None)) is not None and stated > order.effective_at
    )

"""The coverage of a stream's receiver: which state changes are delivered to it.

For an element that a revocation has ended, every registration of the receiver counts that was in force since the
revocation was given, and the element as it was stated when the revocation was recorded (ADR 0030 and 0031). So a stream
cannot be silenced by adding a fact.
"""

import hashlib
from collections.abc import Collection, Iterable
from typing import Any

from lineage.core.authority.elements import audience_of, by_given
from lineage.core.authority.known_then import facts_first
from lineage.core.authority.orders import Order
from lineage.core.authority.receivers import Coverage, Receivers, coverage_class_of, registration_of
from lineage.core.authority.world import World
from lineage.core.model.events import Fact, ReceiverRegistered, canonical_json
from lineage.core.model.times import Instant
from lineage.core.revocation.enforced import orders_ending
from lineage.core.revocation.state_changes import Change


class StreamCoverage:
    """Decides which changes are delivered to a receiver, by its registrations; without any, all of them."""

    def __init__(self, receivers: Receivers) -> None:
        """Use the registrations of the receiver; ``receivers`` must contain no other."""
        self._receivers = receivers
        self._stated = _without_repeats(receivers)
        self._every = Coverage(self._stated)
        self._by_order: dict[Fact, Coverage] = {}

    @property
    def written(self) -> str:
        """Return a short form of everything that the receiver covers or has covered, to detect changes."""
        lists = [canonical_json(_lists(body)).decode() for body in self._stated]
        return "".join(lists) if len(lists) <= 1 else hashlib.sha256("\n".join(lists).encode()).hexdigest()

    def needs_orders(self, world: World, keys: Iterable[str]) -> bool:
        """Whether coverage depends on the revocations that end some elements, and on when these were given."""
        return len(self._stated) > 1 or any(_audiences(world, key) > 1 for key in keys)

    def holds(self, world: World, change: Change, because: Collection[Order], at: Instant) -> bool:
        """Whether a change is delivered to the receiver.

        If no revocation ends the element any more, everything ever stated about it counts: a receiver that was notified
        of its end must also be notified that it is active again.

        Args:
            world: Contains the element and, if ``needs_orders``, everything needed to evaluate it.
            change: The change.
            because: The revocations that caused the state.
            at: The current time.
        """
        if not self._stated:
            return True
        key, element = change.key, world.graph.element(change.key)
        if not change.version.outcome.ended:
            coverage_class = coverage_class_of(key, element)
            if element is not None:
                coverage_class = coverage_class._replace(audience_then=audience_of(facts_first(element)))
            return bool(self._every.of_class(coverage_class))
        if not self.needs_orders(world, [key]):
            return bool(self._every.of(key, element, because))
        ending = orders_ending(world, key)
        orders = {*causing(because, ending), *(order for order in ending if order.in_force(at))}
        return any(self._for(order).of(key, element, (order,)) for order in orders)

    def _for(self, order: Order) -> Coverage:
        found = self._by_order.get(order.fact)
        if found is None:
            found = self._by_order[order.fact] = Coverage(self._receivers.counting_for(order.fact))
        return found


def causing(because: Collection[Order], ending: Collection[Order]) -> list[Order]:
    """Return the orders of a state's id and time that end the element: the id may be reused for another target.

    Args:
        because: The orders with the id and the time of the state.
        ending: Those that end the element.

    Returns:
        All of ``because`` if none of them ends the element any more.
    """
    return [order for order in because if order in ending] or list(because)


def _audiences(world: World, key: str) -> int:
    """Count the different audiences that the facts about an element state; no audience counts as one."""
    return len({getattr(fact.event.body, "audience", ()) for fact in world.graph.facts.get(key)})


def _without_repeats(receivers: Receivers) -> list[ReceiverRegistered]:
    """Return the registrations in the order in which they were given, without those that equal the previous one."""
    facts = [fact for one in receivers.registrations for fact in receivers.registrations.get(one)]
    found: list[ReceiverRegistered] = []
    for body in map(registration_of, by_given(facts)):
        if not found or _lists(found[-1]) != _lists(body):
            found.append(body)
    return found


def _lists(body: ReceiverRegistered) -> dict[str, Any]:
    return {name: sorted(getattr(body, name)) for name in ("issuers", "audiences", "kinds")}

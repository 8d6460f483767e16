"""Statements about an element at the time an order was recorded, which decide what must be enforced. Pure.

Facts about an element combine, and a first value may narrow it: an element without an audience is covered by every
receiver, and one without an end never expires. Anyone who can add facts could therefore silence an enforcement point,
or have an ended element reported as active. So a value that had not been stated when an order was recorded counts as
unstated for that order (clause 10.8, ADR 0031).
"""

from collections.abc import Collection, Sequence

from lineage.core.authority.elements import Element
from lineage.core.authority.orders import Order
from lineage.core.authority.verdict import counting
from lineage.core.model.events import Fact
from lineage.core.model.times import NEVER, Instant


def facts_then(element: Element, orders: Collection[Order]) -> tuple[Fact, ...]:
    """Return the facts about an element that were known when the first of the orders that end it was recorded.

    For an element that became known later, the facts by which it first became known count. An element that an order
    targeted before it was known counts as one about which nothing is stated.
    """
    facts = element.facts
    alone = len(facts) == 1  # the usual case
    first = facts[0].recorded_at if alone else min(fact.recorded_at for fact in facts)
    for order in orders:
        if order.fact.recorded_at < first and order.key == element.key:
            return ()
    if alone:
        return facts
    recorded_at = max(first, min(order.fact.recorded_at for order in orders))
    return tuple(fact for fact in facts if fact.recorded_at <= recorded_at)


def facts_first(element: Element) -> tuple[Fact, ...]:
    """Return the facts by which an element first became known."""
    first = min(fact.recorded_at for fact in element.facts)
    return tuple(fact for fact in element.facts if fact.recorded_at == first)


def end_for(element: Element | None, orders: Collection[Order]) -> Instant:
    """Return when an element ends, as far as some orders are concerned; NEVER if no end had been stated then."""
    if element is None or element.ends_at == NEVER:
        return NEVER
    known = facts_then(element, orders)
    if known is element.facts:
        return element.ends_at
    return element.ends_at if any(_states_end(fact) for fact in known) else NEVER


def in_time(element: Element | None, orders: Sequence[Order]) -> Sequence[Order]:
    """Return the orders that took effect before the end of an element, as far as each is concerned."""
    if not orders:
        return orders
    end = end_for(element, orders)
    literal = NEVER if element is None else element.ends_at
    if end == literal:  # the usual case: then every order took effect in time
        return counting(orders, end)
    return [order for order in orders if counting((order,), end_for(element, (order,)))]


def ends_differ(element: Element | None) -> bool:
    """Whether the end of an element may differ between orders that do not target it directly."""
    if element is None or len(element.facts) == 1 or element.ends_at == NEVER:
        return False
    return not all(_states_end(fact) for fact in element.facts)


def _states_end(fact: Fact) -> bool:
    return getattr(fact.event.body, "expires_at", None) is not None

"""What had been stated of an element when an order was recorded: what is enforced of the order goes by that.

Several facts about an element add up, and a first value may narrow what held without it: an element without an audience
is covered by every receiver, and one without an end never ends by itself. So whoever can add facts could silence an
enforcement point, or have an element that was ended told as active. Therefore what nobody had stated when an order was
recorded counts as unstated for that order (ADR 0031). Pure.
"""

from collections.abc import Collection, Sequence

from lineage.core.authority.elements import Element
from lineage.core.authority.orders import Order
from lineage.core.authority.verdict import counting
from lineage.core.model.events import Fact
from lineage.core.model.times import NEVER, Instant


def facts_then(element: Element, orders: Collection[Order]) -> tuple[Fact, ...]:
    """The facts by which an element was known when the first of some orders was recorded that end it.

    An element that became known only later counts as it was known first; one that an order was aimed at unseen, as one
    of which nothing is stated.
    """
    facts = element.facts
    alone = len(facts) == 1  # nearly always
    first = facts[0].recorded_at if alone else min(fact.recorded_at for fact in facts)
    for order in orders:
        if order.fact.recorded_at < first and order.key == element.key:
            return ()
    if alone:
        return facts
    recorded_at = max(first, min(order.fact.recorded_at for order in orders))
    return tuple(fact for fact in facts if fact.recorded_at <= recorded_at)


def facts_first(element: Element) -> tuple[Fact, ...]:
    """The facts by which an element became known."""
    first = min(fact.recorded_at for fact in element.facts)
    return tuple(fact for fact in element.facts if fact.recorded_at == first)


def end_for(element: Element | None, orders: Collection[Order]) -> Instant:
    """When an element is over by itself, as it counts for some orders; NEVER if no end was stated when they came."""
    if element is None or element.ends_at == NEVER:
        return NEVER
    known = facts_then(element, orders)
    if known is element.facts:
        return element.ends_at
    return element.ends_at if any(_states_end(fact) for fact in known) else NEVER


def in_time(element: Element | None, orders: Sequence[Order]) -> Sequence[Order]:
    """Those of some orders that took effect before the end of an element, as it counts for each."""
    if not orders:
        return orders
    end = end_for(element, orders)
    literal = NEVER if element is None else element.ends_at
    if end == literal:  # nearly always: then it is so for each
        return counting(orders, end)
    return [order for order in orders if counting((order,), end_for(element, (order,)))]


def ends_differ(element: Element | None) -> bool:
    """Whether an element may be over by itself for one order and not for another, beside those aimed at it."""
    if element is None or len(element.facts) == 1 or element.ends_at == NEVER:
        return False
    return not all(_states_end(fact) for fact in element.facts)


def _states_end(fact: Fact) -> bool:
    return getattr(fact.event.body, "expires_at", None) is not None

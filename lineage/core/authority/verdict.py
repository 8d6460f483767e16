"""Decide which orders count for an element, and which state they cause.

The rule, receipts and state changes call this with the orders that kill the element. The numbers are clauses
of docs/rule-of-authority.md.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

from lineage.core.authority.orders import Order
from lineage.core.model.times import Instant


class State(StrEnum):
    """The states, in precedence order: the first that applies is the answer."""

    REVOKED = "revoked"  # 6.1
    CASCADED = "cascaded"  # 6.2
    EXPIRED = "expired"  # 6.3
    SUSPENDED = "suspended"  # 6.4
    UNKNOWN = "unknown"  # 6.5
    NOT_YET_VALID = "not_yet_valid"  # 6.6
    ACTIVE = "active"  # 6.7


class DecidedState(NamedTuple):
    """A state caused by an order: ``revoked``, ``cascaded`` or ``suspended``, and that order."""

    state: State
    order: Order


def counting(orders: Collection[Order], ends_at: Instant) -> list[Order]:
    """Return the orders that count (clause 6.8): those in effect before the element's end.

    Args:
        orders: The orders in force that kill the element, directly or through a dependency.
        ends_at: When it expires; NEVER if it has no end. For enforcement use ``known_then.in_time`` instead, because
            there the end that had been stated when the order came applies.
    """
    return [order for order in orders if order.effective_at < ends_at]


def decided(key: str, counted: Collection[Order]) -> DecidedState | None:
    """Decide the state that the counting orders cause; None if there are none.

    A suspension of an expired element is over, because clause 6.3 precedes 6.4. The caller applies 6.3, since it
    knows the instant asked about.

    Args:
        key: ``KIND:ID`` of the element.
        counted: The orders that count: in force, killing the element, and in effect before its end.
    """
    if not counted:
        return None
    # 6.9: the order on the element itself, else the earliest in effect, then the smallest id.
    if len(counted) == 1:
        [order] = counted
    else:
        among = [order for order in counted if not order.suspends] or counted
        order = min(among, key=lambda each: (each.key != key, each.rank))
    if order.suspends:
        return DecidedState(State.SUSPENDED, order)  # 6.4
    return DecidedState(State.REVOKED if order.key == key else State.CASCADED, order)  # 6.1, 6.2

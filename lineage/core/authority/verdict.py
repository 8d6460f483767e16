"""Which orders count for an element, and the state that they make: one decision, for everyone who needs it.

The rule, receipts and state changes call this, each with the orders that it found to kill the element. The numbers are
those of the clauses in docs/rule-of-authority.md.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

from lineage.core.authority.orders import Order
from lineage.core.model.times import Instant


class State(StrEnum):
    """The states, in the order in which the first that applies is the answer."""

    REVOKED = "revoked"  # 6.1
    CASCADED = "cascaded"  # 6.2
    EXPIRED = "expired"  # 6.3
    SUSPENDED = "suspended"  # 6.4
    UNKNOWN = "unknown"  # 6.5
    NOT_YET_VALID = "not_yet_valid"  # 6.6
    ACTIVE = "active"  # 6.7


class Decided(NamedTuple):
    """A state that an order makes: ``revoked``, ``cascaded`` or ``suspended``, and that order."""

    state: State
    order: Order


def counting(orders: Collection[Order], ends_at: Instant) -> list[Order]:
    """The orders that count (clause 6.8): of those in force that kill an element, those in effect before its end.

    Args:
        orders: The orders in force that kill it, by themselves or through what it depends on.
        ends_at: When it ends by itself; NEVER if it has no end. ``known_then.in_time`` gives the orders that count for
            whoever enforces, since for them its end is the one that had been stated when the order came.
    """
    return [order for order in orders if order.effective_at < ends_at]


def decided(key: str, counted: Collection[Order]) -> Decided | None:
    """What the orders that count for an element make of it; None if there are none.

    A suspension of what has ended is over: clause 6.3 comes before 6.4. The instant asked about is the
    caller's, and so is 6.3.

    Args:
        key: ``KIND:ID`` of the element.
        counted: The orders that count: in force, killing it, and in effect before its end.
    """
    if not counted:
        return None
    revoking = [order for order in counted if not order.suspends]
    # 6.9: the order on the element itself, else the earliest in effect, then the smallest id.
    order = min(revoking or counted, key=lambda each: (each.key != key, each.rank))
    if not revoking:
        return Decided(State.SUSPENDED, order)  # 6.4
    return Decided(State.REVOKED if order.key == key else State.CASCADED, order)  # 6.1, 6.2

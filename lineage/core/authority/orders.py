"""Orders and lifts: when an order is in force, and which issue times it hits.

Section 5 of docs/rule-of-authority.md. Each fact is a separate order or lift; they neither combine nor replace one
another (clause 3.8). What an order hits, and how it spreads down the graph, is in ``targets.py``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from lineage.core.authority.elements import FactIndex
from lineage.core.model.events import Fact, RevocationLifted, RevocationOrdered, Target, fact_order
from lineage.core.model.keys import ELEMENT_KINDS, key_of
from lineage.core.model.times import DAY, NEVER, Instant
from lineage.core.model.trust import TrustTable, may_lift

_YEAR: Final = 366 * DAY


@dataclass(frozen=True, eq=False)
class Order:
    """One order with the lift that applies to it. Two are equal if they are the same fact.

    Attributes:
        fact: The order as recorded.
        body: What was ordered.
        given_at: When it was given (clause 5.1).
        effective_at: When it takes effect: its ``effective_at``, or when it was given (clause 5.2).
        lift: The applicable lift that takes effect first (clause 5.7); None if there is none.
        lifted_at: When that lift takes effect; NEVER if there is none.
    """

    fact: Fact
    body: RevocationOrdered
    given_at: Instant
    effective_at: Instant
    lift: Fact | None
    lifted_at: Instant

    def __eq__(self, other: object) -> bool:
        """Whether it is the same fact."""
        return isinstance(other, Order) and self.fact == other.fact

    def __hash__(self) -> int:
        """Hash by the identity of the fact."""
        return hash((self.fact.event.source, self.fact.event.event_id))

    @property
    def target(self) -> Target:
        """The target, as stated."""
        return self.body.target

    @cached_property
    def key(self) -> str:
        """The key of the target; principals and workloads share a namespace."""
        return key_of(self.body.target.kind, self.body.target.id)

    @property
    def suspends(self) -> bool:
        """Whether it suspends rather than revokes."""
        return self.body.mode == "suspend"

    @property
    def on_element(self) -> bool:
        """Whether it targets a token or a delegation, rather than something that these name."""
        return self.body.target.kind in ELEMENT_KINDS

    @cached_property
    def rank(self) -> tuple[Any, ...]:
        """Its sort key among orders that count: earliest effect, then smallest id, then fact order (clause 6.9)."""
        return self.effective_at, self.body.revocation, fact_order(self.fact)

    @property
    def takes_effect(self) -> bool:
        """Whether it ever takes effect: not if it is lifted before that, or at the same time (clause 5.8)."""
        return self.effective_at < self.lifted_at

    def in_force(self, at: Instant) -> bool:
        """Whether it is in force at an instant (clause 5.2); a suspension only until it is lifted (clause 5.5)."""
        return self.takes_effect and self.effective_at <= at and (at < self.lifted_at or not self.suspends)

    @property
    def is_lifted(self) -> bool:
        """Whether a lift has an effect: none on a revocation of a token or delegation that took effect (clause 5.8)."""
        for_good = self.on_element and not self.suspends and self.takes_effect
        return self.lifted_at != NEVER and not for_good

    def is_over(self, at: Instant) -> bool:
        """Whether it has been lifted by an instant with an effect, or will never take effect (clause 5.8)."""
        return self.is_lifted and (self.lifted_at <= at or not self.takes_effect)

    @cached_property
    def hits_issued_before(self) -> Instant:
        """The issue time before which an element that names the target is hit (clause 5.4); NEVER means any time."""
        before = NEVER if self.body.issued_before is None else self.body.issued_before
        return before if self.suspends else min(before, self.lifted_at)


class Orders:
    """Orders by target, and lifts by the id of their order."""

    def __init__(self, trust: TrustTable | None = None) -> None:
        """Start without orders.

        Args:
            trust: Decides which lifts apply to an order on a target; None means all do.
        """
        self._trust = trust
        self.by_target = FactIndex()
        self.by_id = FactIndex()
        self.lifts = FactIndex()

    def add(self, fact: Fact) -> None:
        """Add an order or a lift."""
        body = fact.event.body
        if isinstance(body, RevocationOrdered):
            self.by_target.add(key_of(body.target.kind, body.target.id), fact)
            self.by_id.add(body.revocation, fact)
        elif isinstance(body, RevocationLifted):
            self.lifts.add(body.revocation, fact)

    def __bool__(self) -> bool:
        """Whether there are any orders."""
        return bool(len(self.by_target))

    def on(self, key: str) -> Iterator[Order]:
        """Yield the orders that target a key."""
        for fact in self.by_target.get(key):
            yield self.resolve(fact)

    def with_id(self, revocation: str) -> list[Order]:
        """Return the orders of an id, each with the lift that applies to it."""
        return [self.resolve(fact) for fact in self.by_id.get(revocation)]

    def all(self) -> Iterator[Order]:
        """Every order."""
        for key in self.by_target:
            yield from self.on(key)

    def without(self, revocation: str) -> "Orders":
        """Return a copy without the orders of one id."""
        others = Orders(self._trust)
        for index in (self.by_id, self.lifts):
            for id_ in index:
                for fact in index.get(id_) if id_ != revocation else ():
                    others.add(fact)
        return others

    def resolve(self, fact: Fact) -> Order:
        """Combine an order with its lift: of the applicable lifts, the first to take effect (clause 5.7)."""
        body = fact.event.body
        assert isinstance(body, RevocationOrdered)  # noqa: S101 (only orders are indexed)
        lifts = [lift for lift in self.lifts.get(body.revocation) if self.applies(lift, fact)]
        lift = min(lifts, key=lambda one: (lift_effect(one), fact_order(one)), default=None)
        effective_at = fact.given_at if body.effective_at is None else body.effective_at
        lifted_at = NEVER if lift is None else lift_effect(lift)
        return Order(fact, body, fact.given_at, effective_at, lift, lifted_at)

    def applies(self, lift: Fact, order: Fact) -> bool:
        """Whether a lift applies to an order of its id.

        The order was given no later than the lift (clause 5.7), and the source of the lift may speak about the order's
        target (clause 2.13).
        """
        body = order.event.body
        assert isinstance(body, RevocationOrdered)  # noqa: S101 (the caller says that it is one)
        return order.given_at <= lift.given_at and may_lift(lift.event, body.target.id, self._trust)


def lift_effect(lift: Fact) -> Instant:
    """Return when a lift takes effect: its ``effective_at`` or when it was given, whichever is later (clause 5.7)."""
    body = lift.event.body
    assert isinstance(body, RevocationLifted)  # noqa: S101 (only lifts are asked about)
    return max(lift.given_at, body.effective_at or 0)


def far_apart(effective_at: Instant, given_at: Instant) -> bool:
    """Whether an order takes effect more than a year before or after it is given, which is rarely intended."""
    return abs(effective_at - given_at) > _YEAR

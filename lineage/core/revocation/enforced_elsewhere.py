"""Enforcement of an element's end under orders of other ids (clause 10.10, ADR 0042). Pure.

An acknowledgement enforces the end of an element, not of an order. So a verdict also considers what a receiver
acknowledged under other orders that end an element, unless the element has been alive since. Anyone who can only add
facts must not be able to hide that it was alive. So its death at some instant counts only if it had been recorded by
then.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from lineage.core.authority.orders import Order, lift_effect
from lineage.core.authority.receivers import ENFORCED, Answer, Answers, Receivers
from lineage.core.authority.targets import orders_hitting
from lineage.core.authority.world import World
from lineage.core.model.events import fact_order
from lineage.core.model.times import NEVER, Instant
from lineage.core.revocation.proof import known_since


class Lifting(NamedTuple):
    """A lift of a suspension: when it was recorded, and when it takes effect."""

    recorded_at: Instant
    effective_at: Instant


class Ending(NamedTuple):
    """An order that ends an element at some time.

    Attributes:
        order: The order.
        known_at: When the order and all evidence that it ends the element had been recorded.
        lifts: If it suspends, the lifts that apply to it.
    """

    order: Order
    known_at: Instant
    lifts: tuple[Lifting, ...]

    @property
    def revocation(self) -> str:
        """The id of the order."""
        return self.order.body.revocation

    def until(self, known_at: Instant) -> Instant:
        """Return when the order stops ending the element, by the lifts recorded by an instant."""
        return min((lift.effective_at for lift in self.lifts if lift.recorded_at <= known_at), default=NEVER)

    def is_spoken_of(self, answer: Answer) -> bool:
        """Whether an acknowledgement under the id of the order applies to this order's end of the element.

        The order must have been given no later than the acknowledgement, by the log's clock too, and known by then to
        end the element. For imported events older than the log, it is enough that this was known as soon as the
        order.
        """
        recorded_at = self.order.fact.recorded_at
        return (
            self.order.given_at <= answer.said_at
            and recorded_at <= answer.fact.recorded_at
            and self.known_at <= max(answer.said_at, recorded_at)
        )


Endings = tuple[Ending, ...]


def endings_elsewhere(world: World, revocation: str, keys: Collection[str]) -> dict[str, Endings]:
    """Return all orders that ever end the given elements, for those that an order of another id ends.

    Args:
        world: The elements, their transitive dependencies, and the orders on these and on everything that they name.
        revocation: The id.
        keys: The elements.

    Cost:
        Nothing if the world has no order of another id; else the transitive dependencies, for each of the orders.
    """
    if all(id_ == revocation for id_ in world.orders.by_id):
        return {}
    above = world.graph.above(*keys)
    own: list[Order] = []
    others: list[Order] = []
    hitting = orders_hitting(world, above, lambda order: order.takes_effect)
    for order in {order for orders in hitting.values() for order in orders}:
        (own if order.body.revocation == revocation else others).append(order)
    found: dict[str, list[Ending]] = {}
    _enter(world, others, above, found, keys)
    if found:
        _enter(world, own, above, found, found.keys())
    return {key: tuple(sorted(endings, key=lambda one: one.order.rank)) for key, endings in found.items()}


def _enter(
    world: World, orders: Iterable[Order], above: Collection[str], found: dict[str, list[Ending]], keys: Collection[str]
) -> None:
    for order in orders:
        known = known_since(world, order, above)
        lifts = _lifts_of(world, order) if known else ()
        for key in known.keys() & keys:
            found.setdefault(key, []).append(Ending(order, known[key], lifts))


def _lifts_of(world: World, order: Order) -> tuple[Lifting, ...]:
    if not order.suspends:
        return ()
    lifts = world.orders.lifts.get(order.body.revocation)
    return tuple(
        Lifting(lift.recorded_at, lift_effect(lift)) for lift in lifts if world.orders.applies(lift, order.fact)
    )


class WordsElsewhere:
    """Acknowledgements under the orders of other ids, as of an instant."""

    def __init__(self, receivers: Receivers, revocation: str, at: Instant) -> None:
        """Store the receivers; the acknowledgements of an id must be loaded before they are first requested."""
        self._receivers = receivers
        self._revocation = revocation
        self._at = at
        self._answers: dict[str, Answers] = {}

    def enforced(
        self, receiver: str, key: str, endings: Endings, delivered_at: Instant | None, used_at: Instant | None
    ) -> Answer | None:
        """Return the last acknowledgement of a receiver that enforced the end of an element not alive since.

        Args:
            receiver: The receiver.
            key: ``KIND:ID`` of the element.
            endings: All orders that ever end it.
            delivered_at: When the element was delivered to the receiver; None if it never was.
            used_at: When it was last used with success; an acknowledgement no later than that enforced nothing.
        """
        latest: tuple[tuple[Any, ...], Answer, list[Ending]] | None = None
        for revocation in {one.revocation for one in endings} - {self._revocation}:
            of_id = [one for one in endings if one.revocation == revocation]
            answer = self._of(revocation).of(receiver, key, delivered_at, min(one.order.given_at for one in of_id))
            if answer is None:
                continue
            about = [one for one in of_id if one.is_spoken_of(answer)]
            if about and (latest is None or place_of(answer) > latest[0]):
                latest = place_of(answer), answer, about
        if latest is None:
            return None
        _, answer, about = latest
        if answer.outcome != ENFORCED or (used_at is not None and used_at >= answer.said_at):
            return None
        said_at = answer.said_at
        stood = [one.order.fact.recorded_at for one in about if one.order.in_force(said_at)]
        return answer if any(_dead_since(endings, said_at, self._at, recorded_at) for recorded_at in stood) else None

    def _of(self, revocation: str) -> Answers:
        if revocation not in self._answers:
            self._answers[revocation] = Answers(self._receivers.acknowledgements.get(revocation), self._at)
        return self._answers[revocation]


def place_of(answer: Answer) -> tuple[Any, ...]:
    """Return the sort key of an acknowledgement; the last is the one given last."""
    return answer.said_at, fact_order(answer.fact)


def _dead_since(endings: Endings, said_at: Instant, at: Instant, recorded_at: Instant) -> bool:
    """Whether an element was dead throughout an interval, by the facts that had been recorded at each instant.

    Facts recorded up to ``recorded_at`` count as recorded in time.
    """
    first = max(said_at, recorded_at)
    if any(
        one.known_at <= first and one.order.effective_at <= said_at and not one.order.suspends for one in endings
    ):  # the usual case: revoked permanently
        return True
    news = {moment for one in endings for moment in (one.known_at, *(lift.recorded_at for lift in one.lifts))}
    known = [first, *sorted(moment for moment in news if moment > first)]
    for known_at, following in zip(known, [*known[1:], NEVER], strict=True):
        in_time = [one for one in endings if one.known_at <= known_at]
        if not _unbroken(in_time, known_at, said_at, min(at, following - 1)):
            return False
    return True


def _unbroken(endings: Sequence[Ending], known_at: Instant, first: Instant, last: Instant) -> bool:
    """Whether at every instant of an interval one of the orders is in force, by the facts known at some time.

    Args:
        endings: The orders, by effective time.
        known_at: Facts recorded later do not count.
        first: The start of the interval.
        last: The end of the interval.
    """
    reached = first
    for one in endings:
        if one.order.effective_at > reached:
            return False
        reached = max(reached, one.until(known_at))
        if reached > last:
            return True
    return False

"""The elements that a revocation has ended, as far as a verdict needs them, one by one and in groups. Pure."""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from copy import copy
from operator import attrgetter
from typing import NamedTuple

from lineage.core.authority.orders import Order
from lineage.core.authority.receivers import Answer, CoverageClass, coverage_class_of
from lineage.core.authority.world import World
from lineage.core.model.keys import FEW, by_id, sorted_by_id
from lineage.core.model.times import NEVER, Instant
from lineage.core.revocation.enforced_elsewhere import Endings
from lineage.core.revocation.late_uses import LateUse, last_used
from lineage.core.revocation.proof import known_since
from lineage.core.revocation.receipt import ReceiptLine


class EndedElement(NamedTuple):
    """The part of a receipt line that a verdict needs; kept small because there may be very many.

    Attributes:
        key: ``KIND:ID`` of the element.
        order: The order that causes its state, among those that count.
        ends_at: When it expires; NEVER if it has no end.
        coverage_class: The properties that determine its receivers.
        others: The other orders of the id that count for it; usually none.
        endings: All orders that ever end it, if one of another id does; usually none.
        used_at: When it was last used with success, if ever.
        known: If there are others: for each of ``orders``, when it was known to end the element.
    """

    key: str
    order: Order
    ends_at: Instant
    coverage_class: CoverageClass
    others: tuple[Order, ...] = ()
    endings: Endings = ()
    used_at: Instant | None = None
    known: tuple[Instant, ...] = ()

    @property
    def orders(self) -> tuple[Order, ...]:
        """All orders of the id that count for it."""
        return (self.order, *self.others)

    @property
    def given_at(self) -> Instant:
        """The time at which the first of these orders was given; older acknowledgements apply to none of them."""
        if not self.others:  # the usual case
            return self.order.given_at
        return min(order.given_at for order in self.orders)

    def is_over(self, at: Instant) -> bool:
        """Whether the order only suspends it, and it has expired."""
        return self.order.suspends and at >= self.ends_at

    def is_spoken_of(self, answer: Answer) -> bool:
        """Whether an acknowledgement under the id applies to one of these orders.

        The order must have been given no later than the acknowledgement. If there are several, it must also have been
        known to end the element when the acknowledgement was recorded; otherwise a link that arrives later would
        close an order given after the acknowledgement. The same holds for an acknowledgement without ``token`` if
        orders of other ids end the element too: it may have been delivered because of those alone.
        """
        if not self.others:
            return self.order.given_at <= answer.said_at and (
                not self.endings or answer.names_token or self._is_known(answer)
            )
        return any(
            order.given_at <= answer.said_at and known_at <= answer.fact.recorded_at
            for order, known_at in zip(self.orders, self.known, strict=True)
        )

    def _is_known(self, answer: Answer) -> bool:
        """Whether it was known that the order ends the element when an acknowledgement was recorded."""
        by = answer.fact.recorded_at
        return any(one.order == self.order and one.known_at <= by for one in self.endings)


def ended_in(
    world: World, lines: Collection[ReceiptLine], endings: Mapping[str, Endings], at: Instant
) -> list[EndedElement]:
    """Extract the data that a verdict needs from receipt lines.

    Args:
        world: The elements, and the actions under those that orders of other ids end.
        lines: The lines.
        endings: The result of ``endings_elsewhere`` for them.
        at: The instant asked about.
    """
    used = last_used(world, endings.keys(), at) if endings else {}
    several = [line for line in lines if len(line.counting) > 1]
    known: dict[Order, dict[str, Instant]] = {}
    if several:  # the rare case
        above = world.graph.above(*(line.key for line in several))
        known = {
            order: known_since(world, order, above) for order in {one for line in several for one in line.counting}
        }
    return [_ended(line, endings.get(line.key, ()), used.get(line.key), known) for line in lines]


def _ended(
    line: ReceiptLine, endings: Endings, used_at: Instant | None, known: Mapping[Order, Mapping[str, Instant]]
) -> EndedElement:
    coverage_class = coverage_class_of(line.key, line.element, line.counting)
    if len(line.counting) == 1:  # the usual case
        return EndedElement(line.key, line.order, line.ends_at, coverage_class, (), endings, used_at)
    others = tuple(order for order in line.counting if order is not line.order)
    known_at = tuple(known[order][line.key] for order in (line.order, *others))
    return EndedElement(line.key, line.order, line.ends_at, coverage_class, others, endings, used_at, known_at)


class EndedGroups:
    """Ended elements that have the same outcome as long as nobody answers for them: those of an order and a class.

    Attributes:
        ended: All elements, in receipt order.
        uses: The successes under them after they ended, by element.
        apart: The elements that belong to no group, because they were used or several orders end them.
        keys: All others, in receipt order.
        ends: When each of these expires; NEVER if it has no end.
        groups: The number of the group of each of these.
        samples: One element of each group.
        sizes: The number of elements of each group.
        first_end: The earliest of ``ends``.
    """

    __slots__ = ("apart", "ended", "ends", "first_end", "groups", "keys", "samples", "sizes", "uses")

    def __init__(self, ended: Mapping[str, EndedElement], uses: Mapping[str, Sequence[LateUse]]) -> None:
        """Group some elements, given by key in receipt order, by the successes under them."""
        self.ended = ended
        self.uses = uses
        self.apart: list[EndedElement] = []
        self.keys: list[str] = []
        self.ends = array("q")
        self.groups = array("i")
        self.samples: list[EndedElement] = []
        numbers: dict[tuple[int, CoverageClass], int] = {}
        for key, one in ended.items():
            if _is_apart(one, uses):
                self.apart.append(one)
                continue
            group = numbers.setdefault((id(one.order), one.coverage_class), len(self.samples))
            if group == len(self.samples):
                self.samples.append(one)  # which also keeps the order, so that its identity is not reused
            self.keys.append(key)
            self.ends.append(one.ends_at)
            self.groups.append(group)
        counted = Counter(self.groups)
        self.sizes = [counted[group] for group in range(len(self.samples))]
        self.first_end = min(self.ends, default=NEVER)

    def updated(
        self, keys: AbstractSet[str], ended: Mapping[str, EndedElement], uses: Mapping[str, Sequence[LateUse]]
    ) -> "EndedGroups":
        """Return the groups after some elements have changed; a group may have become empty.

        Args:
            keys: The elements that may differ, or be new, or be ended no longer.
            ended: All elements now, in receipt order.
            uses: The successes under them.

        Cost:
            Hardly anything for the other elements, unless very many have changed: lists are copied.
        """
        if len(keys) > FEW:
            return EndedGroups(ended, uses)
        found = copy(self)
        found.ended, found.uses = ended, uses
        found.keys, found.samples = self.keys[:], self.samples[:]
        found.ends, found.groups, found.sizes = self.ends[:], self.groups[:], self.sizes[:]
        apart = [one for one in self.apart if one.key not in keys]
        numbers = {_kind_of(one): number for number, one in enumerate(self.samples)}
        for key in keys:
            one, place = ended.get(key), bisect_left(found.keys, by_id(key), key=by_id)
            if place < len(found.keys) and found.keys[place] == key:
                found.sizes[found.groups[place]] -= 1
                for column in (found.keys, found.ends, found.groups):
                    del column[place]
            if one is not None and _is_apart(one, uses):
                apart.append(one)
            elif one is not None:
                group = numbers.setdefault(_kind_of(one), len(found.samples))
                if group == len(found.samples):
                    found.samples.append(one)
                    found.sizes.append(0)
                found.sizes[group] += 1
                found.keys.insert(place, key)
                found.ends.insert(place, one.ends_at)
                found.groups.insert(place, group)
        found.apart = sorted_by_id(apart, attrgetter("key"))
        found.first_end = min(found.ends, default=NEVER)
        return found


def _is_apart(one: EndedElement, uses: Mapping[str, Sequence[LateUse]]) -> bool:
    return bool(one.others or one.endings or one.key in uses)


def _kind_of(one: EndedElement) -> tuple[Order, Instant, CoverageClass]:
    """Return what the elements of a group share; an order is equal to the same fact read again, so its lift counts."""
    return one.order, one.order.lifted_at, one.coverage_class

"""The receipt of a revocation: every element that the orders of one id end, each with the path down to it.

Clauses 10.3 and 10.4. An element is included if those orders alone would make it ``revoked``, ``cascaded`` or
``suspended`` at the instant asked about, whatever other orders do to it. So a receipt is the difference between the
states without and with the orders of the id. It includes elements issued after the revocation, which were never valid.

The paths come from one breadth-first walk down from the target, not from a search per element. In a world that
contains some elements and all their dependencies, the lines of these equal those in a complete world; this allows a
receipt to be computed in parts.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from operator import attrgetter
from typing import Final, NamedTuple

from lineage.core.authority.elements import Element
from lineage.core.authority.known_then import end_for, in_time
from lineage.core.authority.orders import Order
from lineage.core.authority.targets import targets
from lineage.core.authority.verdict import State, decided
from lineage.core.authority.world import World
from lineage.core.model.keys import by_id, sorted_by_id
from lineage.core.model.times import Instant
from lineage.core.revocation.proof import Proof, linked_at

_SHOWN: Final = 32  # the keys written out at each end of a path; the middle of a longer one is omitted


class Step(NamedTuple):
    """One step of a walk: the predecessor of an element on the shortest path, and when that was proven.

    Attributes:
        before: Key of the element it depends on; None if the order hits it directly.
        proven_at: When the last fact that links the path was recorded.
        length: The number of keys on the path, including the order's target and the element.
        head: Key of the last of the first ``_SHOWN`` elements on a longer path.
    """

    before: str | None
    proven_at: Instant
    length: int
    head: str | None = None


_Walked = tuple[Order, Mapping[str, Step]]


class ReceiptLine(NamedTuple):
    """One element of a receipt.

    Attributes:
        key: ``KIND:ID``.
        state: ``revoked``, ``cascaded`` or ``suspended``.
        order: The order that causes the state, among those that count.
        counting: All orders of the id that count for it.
        steps: All steps of the order, this element's among them.
        element: The combined claims about it; None if it was never granted.
    """

    key: str
    state: State
    order: Order
    counting: tuple[Order, ...]
    steps: Mapping[str, Step]
    element: Element | None

    @property
    def path(self) -> tuple[str, ...]:
        """``KIND:ID`` from the target, as the order states it, to the element, both included.

        A path longer than 64 is reduced to its first and last 32 keys: written out in full in every line, the paths
        of a deep chain would be quadratic in its depth. ``path_length`` is the full length.
        """
        step = self.steps[self.key]
        if step.head is None or step.length <= 2 * _SHOWN:
            return self._up(self.key, step.length)
        return self._up(step.head, _SHOWN) + self._up(self.key, _SHOWN)

    def _up(self, key: str, most: int) -> tuple[str, ...]:
        """Return the last ``most`` keys of the path to an element."""
        steps, path = self.steps, [key]
        while len(path) < most and (before := steps[key].before) is not None:
            path.append(before)
            key = before
        if len(path) < most and not self.order.on_element:
            path.append(self.order.target.key)
        return tuple(reversed(path))

    @property
    def path_length(self) -> int:
        """The number of keys on the full path."""
        return self.steps[self.key].length

    @property
    def proven_at(self) -> Instant:
        """The time by which the order and all facts that link the path had been recorded."""
        return self.steps[self.key].proven_at

    @property
    def ends_at(self) -> Instant:
        """The time at which it expires, as far as the orders are concerned; NEVER if it has no end."""
        return end_for(self.element, self.counting)

    @property
    def born_dead(self) -> bool:
        """Whether it was issued while the order was already in effect, and so was never alive."""
        return self.element is not None and self.element.issued_at >= self.order.effective_at

    @property
    def principals(self) -> list[str]:
        """The principals that it names, sorted."""
        return [] if self.element is None else list(_principals(self.element.names))

    @property
    def place(self) -> tuple[str, str]:
        """Its sort key in the receipt: by id, then by kind."""
        return by_id(self.key)


@lru_cache(1 << 13)  # very many elements share their names
def _principals(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(name.removeprefix("principal:") for name in names if name.startswith("principal:")))


def receipt_of(
    world: World, revocation: str, at: Instant, keys: AbstractSet[str] | None = None, *, with_expired: bool = False
) -> list[ReceiptLine]:
    """Compute the lines of a receipt, sorted by id, then by kind.

    Args:
        world: What is known; for some elements only: these and their transitive dependencies, the orders of the id,
            and the registrations of their targets.
        revocation: The id.
        at: The instant asked about.
        keys: The elements to include; None means all.
        with_expired: Whether to include elements whose suspension is over because they have expired, as receipts do
            not.

    Cost:
        What the world contains at and below the targets, and the length of the paths.
    """
    standing = sorted((order for order in world.orders.with_id(revocation) if order.in_force(at)), key=lambda o: o.rank)
    walks: list[_Walked] = [(order, walk(world, order)) for order in standing]
    until = -1 if with_expired else at
    # In the order of the walk, in which neighbours in memory are read together; that of a set takes longer.
    if len(walks) == 1:  # the usual case: the same for all
        [(_, steps)] = walks
        found = (_line(world, key, until, standing, walks) for key in steps if keys is None or key in keys)
    else:
        killing: dict[str, list[_Walked]] = {}
        for walked in walks:
            for key in walked[1]:
                if keys is None or key in keys:
                    killing.setdefault(key, []).append(walked)
        found = (_line(world, key, until, [order for order, _ in those], those) for key, those in killing.items())
    return sorted_by_id((line for line in found if line is not None), attrgetter("key"))


def walk(world: World, order: Order) -> dict[str, Step]:
    """Map everything that an order kills to its step on the shortest path; ties go to the smallest list of keys."""
    graph = world.graph
    level = sorted(set(targets(world, order.key, issued_before=order.hits_issued_before)))
    proven = Proof(world, order)
    first = 1 if order.on_element else 2  # the target precedes what names it
    steps = {key: Step(None, proven.of_hit(key), first) for key in level}
    while level and order.body.cascade:
        # The keys of a level are sorted by the paths to them: the first to reach a child is on its smallest path.
        nearest = []
        for key in level:
            above = steps[key]
            head = key if above.length == _SHOWN else above.head
            for child in sorted(graph.children(key)):
                if child not in steps:
                    proven_at = max(above.proven_at, linked_at(world, child, key))
                    steps[child] = Step(key, proven_at, above.length + 1, head)
                    nearest.append(child)
        level = nearest
    return steps


def _line(world: World, key: str, at: Instant, orders: Sequence[Order], walks: Sequence[_Walked]) -> ReceiptLine | None:
    """Build the line of an element that some orders in force kill; None if they do not affect it at the instant.

    By then expired elements are no longer suspended.
    """
    element = world.graph.element(key)
    counted = in_time(element, orders)
    found = decided(key, counted)
    # The suspension of an expired element is over.
    if found is None or (found.state is State.SUSPENDED and at >= end_for(element, counted)):
        return None
    steps = walks[0][1] if len(walks) == 1 else next(steps for order, steps in walks if order is found.order)
    return ReceiptLine(key, found.state, found.order, tuple(counted), steps, element)

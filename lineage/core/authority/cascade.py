"""Which orders kill which elements: those that hit them, and those that cascade down to them (clauses 1.1 and 5.6)."""

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from lineage.core.authority.orders import Order
from lineage.core.authority.targets import orders_hitting
from lineage.core.authority.world import World
from lineage.core.model.times import Instant


class Cascade:
    """The orders in force at an instant that kill some elements, by themselves or through what these depend on.

    Cost:
        What the elements depend on, at any depth, once, times what each of these names; not the number of orders times
        what they kill.
    """

    def __init__(self, world: World, keys: Iterable[str], at: Instant) -> None:
        """Find the orders.

        Args:
            world: Holds the elements and all that they depend on.
            keys: The elements that are asked about.
            at: The instant asked about.
        """
        self._graph = world.graph
        above = world.graph.above(*keys) if world.orders else set()
        self._hitting = orders_hitting(world, above, lambda order: order.in_force(at))
        # Mode -> element -> of the orders that cascade to it the first by rank.
        self._first: dict[bool, dict[str, Order]] = {True: {}, False: {}}
        if self._hitting:
            self._descend(above)

    def _descend(self, above: set[str]) -> None:
        """Follow the cascading orders down, the first in rank first: each element is entered once in each mode."""
        children: defaultdict[str, list[str]] = defaultdict(list)  # those of which something is asked
        for key in above:
            for parent in self._graph.parents(key):
                children[parent].append(key)
        hit_by: defaultdict[Order, list[str]] = defaultdict(list)
        for key, orders in self._hitting.items():
            for order in orders:
                if order.body.cascade:
                    hit_by[order].append(key)
        for order in sorted(hit_by, key=lambda each: each.rank):
            first = self._first[order.suspends]
            level = hit_by[order]
            while level:
                entered = [key for key in level if key not in first]
                first.update(dict.fromkeys(entered, order))
                level = [child for key in entered for child in children.get(key, ())]

    def deciding(self, key: str) -> list[Order]:
        """The orders that can decide the state of an element; empty if none kills it.

        These are all that hit it, and of those that cascade to it the first of each mode: the others of that mode took
        effect later, so that they neither count where the first does not (clause 6.8) nor go before it (clause 6.9).
        """
        found = list(self._hitting.get(key, ()))
        found.extend(first[key] for first in self._first.values() if key in first)
        return found

    def revoked(self, keys: AbstractSet[str]) -> set[str]:
        """Those of the elements asked about that a revocation kills, in time or not."""
        hit = {key for key, orders in self._hitting.items() if any(not order.suspends for order in orders)}
        return (hit | self._first[False].keys()) & keys

    def killing(self, key: str) -> list[Order]:
        """All orders that kill an element, each once, in the order of their ranks."""
        found = {
            order
            for node in (self._graph.above(key) if self._hitting else ())
            for order in self._hitting.get(node, ())
            if node == key or order.body.cascade
        }
        return sorted(found, key=lambda order: order.rank)

    def path(self, order: Order, key: str) -> tuple[str, ...]:
        """The shortest path from the target of an order that kills an element down to it (clause 6.10)."""
        # Level by level up from the element; `down` remembers every way back that is as short as any.
        down: dict[str, list[str]] = {key: []}
        level = [key]
        while not (starts := [node for node in level if order in self._hitting.get(node, ())]):
            above: dict[str, list[str]] = {}
            for node in level:
                for parent in self._graph.parents(node):
                    if parent not in down:
                        above.setdefault(parent, []).append(node)
            down.update(above)
            level = list(above)
            assert level, f"{order.key} does not reach {key}"  # noqa: S101 (the caller says that it does)
        path = [min(starts)]
        while path[-1] != key:
            path.append(min(down[path[-1]]))
        return tuple(path) if order.on_element else (order.target.key, *path)

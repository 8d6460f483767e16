"""Find which orders kill which elements: by a direct hit, or by cascading down (clauses 1.1 and 5.6)."""

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from lineage.core.authority.orders import Order
from lineage.core.authority.targets import orders_hitting
from lineage.core.authority.world import World
from lineage.core.model.times import Instant


class Cascade:
    """The orders in force at an instant that kill some elements, directly or through a dependency.

    Cost:
        Linear in the elements and their transitive dependencies, times the names of each. It does not grow with the
        product of orders and elements killed.
    """

    def __init__(self, world: World, keys: Iterable[str], at: Instant) -> None:
        """Find the orders.

        Args:
            world: A world with the elements and everything that they depend on.
            keys: The elements asked about.
            at: The instant asked about.
        """
        self._graph = world.graph
        above = world.graph.above(*keys) if world.orders else set()
        self._hitting = orders_hitting(world, above, lambda order: order.in_force(at))
        # Mode -> element -> the first order, by rank, that cascades to it.
        self._first: dict[bool, dict[str, Order]] = {True: {}, False: {}}
        if self._hitting:
            self._descend(above)

    def _descend(self, above: set[str]) -> None:
        """Follow the cascading orders down in rank order, entering each element once per mode."""
        children: defaultdict[str, list[str]] = defaultdict(list)  # the elements asked about
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
        """Return the orders that can decide the state of an element; empty if none kills it.

        These are all orders that hit it, and the first of each mode that cascades to it. Later orders of the same
        mode took effect later, so they neither count where the first does not (clause 6.8) nor precede it (clause
        6.9).
        """
        found = list(self._hitting.get(key, ()))
        found.extend(first[key] for first in self._first.values() if key in first)
        return found

    def revoked(self, keys: AbstractSet[str]) -> set[str]:
        """Return the given elements that a revocation kills, whether or not it took effect before their end."""
        hit = {key for key, orders in self._hitting.items() if any(not order.suspends for order in orders)}
        return (hit | self._first[False].keys()) & keys

    def killing(self, key: str) -> list[Order]:
        """Return all orders that kill an element, each once, in rank order."""
        found = {
            order
            for node in (self._graph.above(key) if self._hitting else ())
            for order in self._hitting.get(node, ())
            if node == key or order.body.cascade
        }
        return sorted(found, key=lambda order: order.rank)

    def path(self, order: Order, key: str) -> tuple[str, ...]:
        """Return the shortest path from the target of an order down to an element that it kills (clause 6.10)."""
        # Breadth-first upwards from the element; `down` records every equally short way back.
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

"""Determine what orders hit: directly, and by cascading down.

The numbers are clauses of docs/rule-of-authority.md: 4.2, 4.3, 5.3 and 5.4 for direct hits, 1.1 and 5.6 for the
cascade.

An order on an element hits that element. An order on a principal, workload, session or client hits the elements that
name it or an alias and were issued before the instant that the order states. Both directions are here: from an order
down to the elements, and from elements up to the orders.
``Cascade`` adds what spreads further down.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet

from lineage.core.authority.orders import Order
from lineage.core.authority.world import World
from lineage.core.model.keys import is_element, split_key
from lineage.core.model.times import NEVER, Instant


def aliases(world: World, name: str) -> Iterator[str]:
    """Yield the keys of all aliases of a key's party (clause 4.3); sessions and clients have none."""
    kind, id_ = split_key(name)
    if kind == "principal":
        for member in world.principals.party(id_):
            yield f"principal:{member}"
    else:
        yield name


def targets(world: World, target: str, *, issued_before: Instant = NEVER, after: Instant = -1) -> Iterator[str]:
    """Yield the elements that an order hits directly; one that names several aliases may be repeated.

    Args:
        world: The world to search.
        target: The key of the order's target.
        issued_before: The issue time before which an element that names the target is hit
            (``Order.hits_issued_before``).
        after: Subtrees that ended at or before this instant may be omitted.
    """
    if is_element(target):
        yield target  # 5.3
        return
    for name in aliases(world, target):
        for key in world.graph.naming(name, after=after):
            element = world.graph.element(key)
            if element is not None and element.issued_at < issued_before:  # 5.4
                yield key


def orders_hitting(world: World, keys: Iterable[str], counts: Callable[[Order], bool]) -> dict[str, list[Order]]:
    """Map each element to the orders that hit it directly; elements without such orders are omitted.

    Args:
        world: The elements and the orders.
        keys: The elements.
        counts: A filter for orders, such as whether one is in force at an instant.
    """
    orders_on: dict[str, list[Order]] = {}  # target -> the orders on it, resolved once
    names_hit: dict[str, list[str]] = {}  # name -> its aliases that orders target

    def on(target: str) -> list[Order]:
        if target not in orders_on:
            orders_on[target] = [order for order in world.orders.on(target) if counts(order)]
        return orders_on[target]

    found: dict[str, list[Order]] = {}
    for key in keys:
        hitting = on(key).copy()  # 5.3
        element = world.graph.element(key)
        if element is not None:
            aimed_at: set[str] = set()  # two names may be aliases
            for name in element.names:
                if name not in names_hit:
                    names_hit[name] = [alias for alias in aliases(world, name) if on(alias)]
                aimed_at.update(names_hit[name])
            issued_at = element.issued_at
            hitting += [order for each in aimed_at for order in on(each) if issued_at < order.hits_issued_before]  # 5.4
        if hitting:
            found[key] = hitting
    return found


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

    @property
    def killed(self) -> set[str]:
        """The elements asked about, and their dependencies, that an order kills, whether or not it counts there."""
        return self._hitting.keys() | self._first[False].keys() | self._first[True].keys()

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

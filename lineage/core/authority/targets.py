"""Determine what an order hits directly (clauses 4.2, 4.3, 5.3 and 5.4 of docs/rule-of-authority.md).

An order on an element hits that element. An order on a principal, workload, session or client hits the elements that
name it or an alias and were issued before the instant that the order states. Both directions are here: from an order
down to the elements, and from elements up to the orders. What spreads further down is in ``cascade.py``.
"""

from collections.abc import Callable, Iterable, Iterator

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

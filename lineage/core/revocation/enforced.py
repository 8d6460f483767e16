"""Which orders end an element, whenever they do: for what receivers have to enforce, and have enforced. Pure."""

from collections.abc import Iterator

from lineage.core.authority.known_then import in_time
from lineage.core.authority.orders import Order
from lineage.core.authority.rule import aliases
from lineage.core.authority.world import World


def orders_ending(world: World, key: str) -> list[Order]:
    """The orders that end an element at some time, by themselves or through what it depends on.

    Args:
        world: Holds the element, all that it depends on, and the orders on these and on what they name.
        key: ``KIND:ID``.

    Cost:
        What the element depends on, times what each of these names.
    """
    found = dict.fromkeys(
        order
        for node in world.graph.above(key)
        for order in _striking(world, node)
        if (node == key or order.body.cascade) and order.effective_at < order.lifted_at
    )
    ending = in_time(world.graph.element(key), list(found)) if found else ()
    return sorted(ending, key=lambda order: order.rank)


def _striking(world: World, key: str) -> Iterator[Order]:
    """The orders that hit an element by itself, whenever they are in force."""
    yield from world.orders.on(key)
    element = world.graph.element(key)
    if element is not None:
        for target in {target for name in element.names for target in aliases(world, name)}:
            for order in world.orders.on(target):
                if not order.spares(element):
                    yield order

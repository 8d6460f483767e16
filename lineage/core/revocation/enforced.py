"""Find the orders that ever end an element, to determine what receivers must enforce and have enforced. Pure."""

from lineage.core.authority.known_then import in_time
from lineage.core.authority.orders import Order
from lineage.core.authority.targets import orders_hitting
from lineage.core.authority.world import World


def orders_ending(world: World, key: str) -> list[Order]:
    """Return the orders that end an element at any time, directly or through a dependency.

    Args:
        world: The element, its transitive dependencies, and the orders on these and on everything that they name.
        key: ``KIND:ID``.

    Cost:
        The transitive dependencies, times the names of each.
    """
    above = world.graph.above(key)
    hitting = orders_hitting(world, above, lambda order: order.takes_effect)
    found = {order for node, orders in hitting.items() for order in orders if node == key or order.body.cascade}
    return sorted(in_time(world.graph.element(key), list(found)), key=lambda order: order.rank)

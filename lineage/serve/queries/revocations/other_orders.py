"""Orders of other ids that end the same elements as a revocation, and their acknowledgements (ADR 0042)."""

from collections.abc import Collection, Iterable
from typing import Final

from lineage.core.authority.targets import aliases
from lineage.core.authority.world import World
from lineage.core.model.events import Fact
from lineage.core.revocation.ended import EndedElement
from lineage.store.reading.reader import Reader
from lineage.store.reading.revocation_facts import first_orders, load_acknowledgements

_FEW: Final = 200  # orders and lifts; up to this number, reading all is faster than looking some up


class OtherOrders:
    """Loads other orders into the parts of receipts, from one snapshot of the store."""

    def __init__(self, reader: Reader) -> None:
        """Use the reader of that snapshot."""
        self._reader = reader
        self._facts: list[Fact] | None = None  # all of them with the aliases of their targets, if they are few
        self._targets: dict[str, set[str]] | None = None  # id -> the targets with all their aliases

    def bring(self, part: World, revocation: str, keys: Collection[str]) -> None:
        """Load the orders of other ids that end some elements of a part; this may load others too.

        Args:
            part: The granted elements and all their dependencies.
            revocation: The id.
            keys: The elements; an order may target one that was never granted.

        Cost:
            In a store with few orders, one check for each target; otherwise a lookup of everything in the part.
        """
        if self._targets is None:
            self._begin()
        if self._facts is None:
            self._reader.load_orders_on(part, keys)
        elif self._targets and any(
            target in keys or _stands_in(part, target)
            for id_, targets in self._targets.items()
            if id_ != revocation
            for target in targets
        ):
            for fact in self._facts:
                part.add(fact)

    def _begin(self) -> None:
        self._targets = {}
        facts = first_orders(self._reader, _FEW)
        if facts is None:
            return
        world = self._reader.world()
        for fact in facts:
            world.add(fact)
        self._reader.load_parties(world, [order.key for order in world.orders.all()])
        self._facts = list(world.facts())
        for id_ in world.orders.by_id:
            self._targets[id_] = {name for order in world.orders.with_id(id_) for name in aliases(world, order.key)}


def _stands_in(part: World, target: str) -> bool:
    """Whether an order on a target may end an element of a part."""
    return target in part.graph or next(part.graph.naming(target), None) is not None


class OtherWords:
    """Loads acknowledgements of orders with other ids into the world of a verdict, each id once."""

    def __init__(self, reader: Reader, world: World, revocation: str) -> None:
        """Use the reader of the verdict's snapshot, and the world with the orders of its id."""
        self._reader = reader
        self._world = world
        self._known = {revocation}

    def bring(self, ended: Iterable[EndedElement]) -> None:
        """Load the acknowledgements of the other orders that end some elements.

        Cost:
            For each id, as much as its own verdict reads of them.
        """
        ids = {ending.revocation for one in ended if one.endings for ending in one.endings} - self._known
        if ids:
            load_acknowledgements(self._reader, self._world, ids)
            self._known |= ids

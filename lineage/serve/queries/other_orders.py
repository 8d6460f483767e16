"""Orders of other ids that end what a revocation ends, and what receivers said under these (ADR 0042)."""

from collections.abc import Collection, Iterable
from typing import Final

from lineage.core.authority.targets import aliases
from lineage.core.authority.world import World
from lineage.core.model.events import Fact
from lineage.core.revocation.closure import Ended
from lineage.core.revocation.receipt import orders_of
from lineage.store.reading.reader import Reader

_FEW: Final = 200  # orders and lifts; where there are no more, reading all is quicker than looking some up


class OtherOrders:
    """Brings them into the parts of receipts, from one moment of the store."""

    def __init__(self, reader: Reader) -> None:
        """Take what reads that moment."""
        self._reader = reader
        self._facts: list[Fact] | None = None  # all of them, with what their targets are called, if these are few
        self._targets: dict[str, set[str]] | None = None  # of each id what it is aimed at, by all its names

    def bring(self, part: World, revocation: str, keys: Collection[str]) -> None:
        """Bring the orders of other ids into a part that end some of its elements; with them may come others.

        Args:
            part: Holds the elements that were granted, and all that they depend on.
            revocation: The id.
            keys: The elements; an order may be aimed at one that nobody granted.

        Cost:
            Of a store with few orders a look at the target of each; else a look-up of all that is in the part.
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
        facts = self._reader.first_orders(_FEW)
        if facts is None:
            return
        world = self._reader.world()
        for fact in facts:
            world.add(fact)
        self._reader.load_parties(world, [order.key for order in world.orders.all()])
        self._facts = list(world.facts())
        for id_ in world.orders.by_id:
            self._targets[id_] = {name for order in orders_of(world, id_) for name in aliases(world, order.key)}


def _stands_in(part: World, target: str) -> bool:
    """Whether an order on something may end an element of a part."""
    return target in part.graph or next(part.graph.naming(target), None) is not None


class OtherWords:
    """Brings what receivers said under other ids into the world of a verdict, each id once."""

    def __init__(self, reader: Reader, world: World, revocation: str) -> None:
        """Take what reads the moment of the verdict, and the world with the orders of its id."""
        self._reader = reader
        self._world = world
        self._known = {revocation}

    def bring(self, ended: Iterable[Ended]) -> None:
        """Bring what was said under the ids whose orders end some elements.

        Cost:
            For an id as much as its own verdict has to read of what was said.
        """
        ids = {ending.revocation for one in ended if one.endings for ending in one.endings} - self._known
        if ids:
            self._reader.load_acknowledgements(self._world, ids)
            self._known |= ids

"""The living elements under a party, a client or a token: their number, their agents, and the one granted first.

For things with many living elements these are stored, so that adding or removing one requires no walk over all of them.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

from lineage.core.authority.elements import Element
from lineage.core.authority.world import World
from lineage.core.model.maps import ELEMENTS, IN_MEMORY, Maps
from lineage.core.model.times import Instant

_PRINCIPAL: Final = "principal:"
_Member = tuple[Instant, tuple[str, ...]]  # when an element was granted, and the agents that it names


class ReachSize(NamedTuple):
    """The effect of a revocation: the number of elements, the number of their agents, and the element granted first."""

    elements: int
    agents: int
    first: str


def reach_of(world: World, elements: Iterable[str]) -> ReachSize | None:
    """Summarise some living elements; None if there are none."""
    return _Hub({key: _member(world, key) for key in elements}).reach()


def most_added(element: Element | None) -> int:
    """Return an upper bound of what an element adds to a reach: to its elements, and to its agents."""
    names = element.names if element is not None else ()
    return max(1, sum([name.startswith(_PRINCIPAL) for name in names]))


class Reaches:
    """The living elements under every thing that has more than a few; for all others, an upper bound of their number.

    The bound also holds for the agents that they name. It only grows: it counts an element each time that it changes
    while it is alive.
    """

    def __init__(
        self, world: World, below: Callable[[str, int], set[str] | None], most: int, maps: Maps = IN_MEMORY
    ) -> None:
        """Start empty.

        Args:
            world: The elements and parties.
            below: Finds the living elements at or below a thing; None if there are certainly at most the given number.
            most: The largest number of elements that no rule needs to know about.
            maps: Creates the map of bounds.
        """
        self._world = world
        self._below = below
        self._few = most
        self._most = maps.of_collections(ELEMENTS, int, int)
        self._hubs: dict[str, _Hub] = {}

    def are_few(self, key: str) -> bool:
        """Whether there certainly are, and were, few living elements under a thing."""
        return key not in self._hubs and self._most.get(key, 0) <= self._few

    def of(self, key: str) -> ReachSize | None:
        """Return the living elements under a thing; None if there are few."""
        hub = self._hubs.get(key)
        if hub is None:
            if self.are_few(key):
                return None
            elements = self._below(key, 0) or ()
            hub = self._hubs[key] = _Hub({one: _member(self._world, one) for one in elements})
        return hub.reach()

    def forget(self, keys: Iterable[str]) -> None:
        """Search again for the elements under some things, because their parties have changed."""
        for key in keys:
            self._hubs.pop(key, None)
            self._most[key] = self._few + 1

    def update(self, changed: Iterable[str], alive: Collection[str]) -> None:
        """Process elements that changed, became alive or ended."""
        hubs, most = self._hubs, self._most
        above: dict[str, set[str]] = {}
        for key in changed:
            is_alive = key in alive
            units = self._above(key, above)
            if is_alive:
                added = most_added(self._world.graph.element(key))
                for unit in units:
                    most[unit] += added
            if not hubs.keys().isdisjoint(units):
                member = _member(self._world, key) if is_alive else None
                for unit in hubs.keys() & units:
                    hubs[unit].replace(key, member)

    def _above(self, key: str, known: dict[str, set[str]]) -> set[str]:
        """Return every thing whose reach includes an element, from what is known for others."""
        graph = self._world.graph
        parents = graph.parents(key)
        found = {key, *self._named_by(key)}
        for parent in parents:
            if parent not in known:
                for node in graph.above(parent):
                    found.add(node)
                    found.update(self._named_by(node))
            else:
                found |= known[parent]
        known[key] = found
        return found

    def _named_by(self, node: str) -> Iterable[str]:
        """Return everything that an element names, with the aliases of principals."""
        element, principals = self._world.graph.element(node), self._world.principals
        names = element.names if element is not None else ()
        if not principals.have_aliases:
            return names
        ids = [name[len(_PRINCIPAL) :] for name in names if name.startswith(_PRINCIPAL)]
        return {*names, *(f"{_PRINCIPAL}{member}" for id_ in ids for member in principals.party(id_))}


def _member(world: World, key: str) -> _Member:
    """Return when an element was granted, and the agents that it names."""
    principals = world.principals
    element = world.graph.element(key)
    names = element.names if element is not None else ()
    ids = [name[len(_PRINCIPAL) :] for name in names if name.startswith(_PRINCIPAL)]
    agents = {principals.one_of(id_) for id_ in ids if principals.kind(id_) == "agent"}
    return world.graph.facts.get(key)[0].given_at, tuple(agents)


class _Hub:
    """The living elements under one thing, with the agents that each names."""

    def __init__(self, members: dict[str, _Member]) -> None:
        self.members = members
        self._agents = Counter(agent for _, agents in members.values() for agent in agents)
        self._first = [(given_at, key) for key, (given_at, _) in members.items()]
        heapify(self._first)

    def replace(self, key: str, member: _Member | None) -> None:
        """Enter the current state of an element; None if it is not alive."""
        before = self.members.get(key)
        if before == member:
            return
        if before is not None:
            del self.members[key]
            for agent in before[1]:
                self._agents[agent] -= 1
                if not self._agents[agent]:
                    del self._agents[agent]
        if member is not None:
            self.members[key] = member
            for agent in member[1]:
                self._agents[agent] += 1
            heappush(self._first, (member[0], key))

    def reach(self) -> ReachSize | None:
        """Summarise the remaining elements."""
        while self._first:
            given_at, key = self._first[0]
            member = self.members.get(key)
            if member is not None and member[0] == given_at:
                return ReachSize(len(self.members), len(self._agents), key)
            heappop(self._first)
        return None

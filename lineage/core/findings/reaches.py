"""What lives under a party, a client or a token: how much, of how many agents, and what of it was given first.

Of those with much under them the living elements are kept, so that one more or less costs no walk over all of them.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from lineage.core.authority.world import World
from lineage.core.model.times import Instant


class Reach(NamedTuple):
    """What a revocation would end: how many elements, of how many agents, and the one that was given first."""

    elements: int
    agents: int
    first: str


def reach_of(world: World, elements: Iterable[str]) -> Reach | None:
    """Add up some living elements; None if there are none."""
    return _Hub(world, elements).reach()


class Reaches:
    """The living elements under everything with more than a few of them."""

    def __init__(self, world: World, below: Callable[[str, int], set[str] | None], most: int) -> None:
        """Start empty.

        Args:
            world: The elements and parties.
            below: Looks for what is alive at or below a thing; None if it certainly is at most so many elements.
            most: How many elements are few: these are looked for when they are asked for.
        """
        self._world = world
        self._below = below
        self._most = most
        self._hubs: dict[str, _Hub] = {}

    def of(self, key: str) -> Reach | None:
        """Return what lives under a thing; None if that is few elements."""
        hub = self._hubs.get(key)
        if hub is None:
            elements = self._below(key, self._most)
            if elements is None:
                return None
            hub = _Hub(self._world, elements)
            if len(elements) > self._most:
                self._hubs[key] = hub
        elif len(hub.members) <= self._most // 2:
            del self._hubs[key]
        return hub.reach()

    def forget(self, keys: Iterable[str]) -> None:
        """Look for what is under some things again: their parties are others now."""
        for key in keys:
            self._hubs.pop(key, None)

    def update(self, changed: Iterable[str], alive: Collection[str]) -> None:
        """Take note of elements that changed, came to life or ended."""
        if not self._hubs:
            return
        for key in changed:
            is_alive = key in alive
            for unit in self._above(key):
                hub = self._hubs.get(unit)
                if hub is not None:
                    hub.remove(key)
                    if is_alive:
                        hub.add(key)

    def _above(self, key: str) -> set[str]:
        """Everything that reaches an element."""
        graph, party = self._world.graph, self._world.principals.party
        found: set[str] = set()
        for node in graph.above(key):
            found.add(node)
            element = graph.element(node)
            for name in element.names if element is not None else ():
                if name.startswith("principal:"):
                    found.update(f"principal:{member}" for member in party(name.removeprefix("principal:")))
                else:
                    found.add(name)
        return found


class _Hub:
    """Living elements, with the agents that each names."""

    def __init__(self, world: World, elements: Iterable[str]) -> None:
        self._world = world
        self.members: dict[str, tuple[Instant, tuple[str, ...]]] = {}
        self._agents: Counter[str] = Counter()
        self._first: list[tuple[Instant, str]] = []
        for key in elements:
            self._enter(key)
        self._first = [(given_at, key) for key, (given_at, _) in self.members.items()]
        heapify(self._first)

    def _enter(self, key: str) -> Instant:
        graph, principals = self._world.graph, self._world.principals
        element = graph.element(key)
        names = (
            (name.removeprefix("principal:") for name in element.names if name[:10] == "principal:") if element else ()
        )
        agents = tuple({min(principals.party(name)) for name in names if principals.kind(name) == "agent"})
        given_at = graph.facts.get(key)[0].given_at
        self.members[key] = (given_at, agents)
        self._agents.update(agents)
        return given_at

    def add(self, key: str) -> None:
        heappush(self._first, (self._enter(key), key))

    def remove(self, key: str) -> None:
        if (known := self.members.pop(key, None)) is not None:
            for agent in known[1]:
                self._agents[agent] -= 1
                if not self._agents[agent]:
                    del self._agents[agent]

    def reach(self) -> Reach | None:
        """Add up what is left."""
        while self._first:
            given_at, key = self._first[0]
            member = self.members.get(key)
            if member is not None and member[0] == given_at:
                return Reach(len(self.members), len(self._agents), key)
            heappop(self._first)
        return None
